package eventstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Read yields the events of a stream forwards, from a revision on. A stream
// that does not exist yields nothing. A broken connection is taken up again
// where it broke, within Config.Wait. After an error nothing more is yielded.
func (s *Store) Read(ctx context.Context, stream string, from uint64) iter.Seq2[Recorded, error] {
	return s.read(ctx, stream, from, s.cfg.Wait)
}

func (s *Store) read(ctx context.Context, stream string, from uint64, bound time.Duration) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		next := from
		open := func(ctx context.Context, c *esdb.Client, emit func(Recorded) bool) error {
			rs, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{
				Direction: esdb.Forwards,
				From:      esdb.Revision(next),
			}, math.MaxInt64)
			if err != nil {
				return err
			}
			return receive(rs, emit)
		}
		deliver(yield, takeUp(ctx, s, need{RightRead, stream}, bound, open, func(r Recorded) error {
			next = r.Revision + 1
			return hand(yield, r)
		}))
	}
}

// ReadAll yields the ledger's events strictly after a position, in the order
// of the log, up to its end as it was reached. It is for work that takes
// minutes and is as patient as an append: within Config.Bound a broken
// connection is taken up again where it broke.
func (s *Store) ReadAll(ctx context.Context, from Position) iter.Seq2[Recorded, error] {
	return s.readAll(ctx, from, IsLedgerStream)
}

func (s *Store) readAll(ctx context.Context, from Position, wanted func(stream string) bool) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		last := from
		open := func(ctx context.Context, c *esdb.Client, emit func(Recorded) bool) error {
			rs, err := c.ReadAll(ctx, esdb.ReadAllOptions{
				Direction: esdb.Forwards,
				From:      clientPosition(last), // the server includes it
			}, math.MaxInt64)
			if err != nil {
				return err
			}
			return receive(rs, emit)
		}
		deliver(yield, takeUp(ctx, s, need{right: RightReadAll}, s.cfg.Bound, open, func(r Recorded) error {
			if r.Position <= last {
				return nil
			}
			last = r.Position
			if !wanted(r.Stream) {
				return nil // the client cannot send a filter with this request
			}
			return hand(yield, r)
		}))
	}
}

// Head is the position of the last event of the ledger in the log, 0 when
// there is none.
func (s *Store) Head(ctx context.Context) (Position, error) { return s.head(ctx, IsLedgerStream) }

func (s *Store) head(ctx context.Context, wanted func(stream string) bool) (Position, error) {
	var head Position
	open := func(ctx context.Context, c *esdb.Client, emit func(Recorded) bool) error {
		rs, err := c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, math.MaxInt64)
		if err != nil {
			return err
		}
		return receive(rs, func(r Recorded) bool { return emit(r) && !wanted(r.Stream) })
	}
	err := takeUp(ctx, s, need{right: RightReadAll}, s.cfg.Wait, open, func(r Recorded) error {
		if wanted(r.Stream) {
			head = r.Position
		}
		return nil
	})
	return head, err
}

// hand gives an event to a range loop, and stops when the loop was left.
func hand(yield func(Recorded, error) bool, r Recorded) error {
	if !yield(r, nil) {
		return errStopped
	}
	return nil
}

// deliver gives the error that ended a stream to the range loop, if one did.
func deliver(yield func(Recorded, error) bool, err error) {
	if err != nil && !errors.Is(err, errStopped) {
		yield(Recorded{}, err)
	}
}

// receive hands on what a read yields, to its end. A stream that was not
// found is an empty one.
func receive(rs *esdb.ReadStream, emit func(Recorded) bool) error {
	defer rs.Close()
	for {
		e, err := rs.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if noSuchStream(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Event == nil {
			continue // a link whose event is gone; the ledger writes none
		}
		if !emit(recorded(e.Event)) {
			return nil
		}
	}
}

// noSuchStream tells the server's message that there is no such stream from a
// failed request that has the same code, such as one to a wrong address.
func noSuchStream(err error) bool {
	e, ok := errors.AsType[*esdb.Error](err)
	return ok && e.Code() == esdb.ErrorCodeResourceNotFound && rootStatus(err) == nil
}

func clientPosition(p Position) esdb.AllPosition {
	if p == 0 {
		return esdb.Start{}
	}
	return esdb.Position{Commit: uint64(p), Prepare: uint64(p)}
}

// contentJSON is how a server names the content type of a JSON event.
const contentJSON = "application/json"

func recorded(e *esdb.RecordedEvent) Recorded {
	return Recorded{
		ID:       e.EventID,
		Stream:   e.StreamID,
		Revision: e.EventNumber,
		Position: Position(e.Position.Commit),
		Type:     e.EventType,
		JSON:     e.ContentType == contentJSON,
		Data:     e.Data,
		Metadata: e.UserMetadata,
		Created:  e.CreatedDate,
	}
}
