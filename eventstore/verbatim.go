package eventstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Verbatim is the log as it lies on the server, for whoever moves it to
// another: every stream of it, not only the ledger's, and nothing decoded. All
// else that a Store promises of reads and appends holds.
type Verbatim struct{ s *Store }

// Verbatim gives the whole log.
func (s *Store) Verbatim() Verbatim { return Verbatim{s} }

// ReadAll yields every event strictly after a position, system events too, up
// to the end of the log as it was reached.
func (v Verbatim) ReadAll(ctx context.Context, from Position) iter.Seq2[Recorded, error] {
	return v.s.readAll(ctx, from, anyStream)
}

// Read is Store.Read, as patient as ReadAll.
func (v Verbatim) Read(ctx context.Context, stream string, from uint64) iter.Seq2[Recorded, error] {
	return v.s.read(ctx, stream, from, v.s.cfg.Bound)
}

// Head is the position of the last event in the log, whatever its stream, 0
// when there is none.
func (v Verbatim) Head(ctx context.Context) (Position, error) { return v.s.head(ctx, anyStream) }

// Append writes events to their stream as another log holds them: the same ids,
// types, bytes and content types at the same revisions. They are of one stream
// and follow each other. It waits for a store that is away as for an answer;
// otherwise it is Store.Append.
func (v Verbatim) Append(ctx context.Context, batch []Recorded) (Appended, error) {
	if len(batch) == 0 {
		return Appended{}, errEmptyBatch
	}
	events := make([]esdb.EventData, len(batch))
	for i, r := range batch {
		events[i] = esdb.EventData{EventID: r.ID, EventType: r.Type, Data: r.Data, Metadata: r.Metadata}
		if r.JSON {
			events[i].ContentType = esdb.ContentTypeJson
		}
	}
	return v.s.append(ctx, batch[0].Stream, After(int64(batch[0].Revision)-1), events, nil, forEver)
}

// Delete hides the events of a stream, as EventStoreDB deletes softly. It is
// tried once: when its outcome is unknown the log tells.
func (v Verbatim) Delete(ctx context.Context, stream string) error {
	return v.end(ctx, stream, func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
		return c.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}, Deadline: &v.s.cfg.TryTimeout})
	})
}

// Tombstone ends a stream for good, as Delete hides it.
func (v Verbatim) Tombstone(ctx context.Context, stream string) error {
	return v.end(ctx, stream, func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
		return c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}, Deadline: &v.s.cfg.TryTimeout})
	})
}

func (v Verbatim) end(ctx context.Context, stream string, do func(context.Context, *esdb.Client) (*esdb.DeleteResult, error)) error {
	_, err := call(ctx, v.s.conn, forEver, v.s.cfg.TryTimeout, do)
	switch denied := accessError(err, "delete ($d) the stream "+stream); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case denied != nil:
		return fmt.Errorf("delete refused: %w", denied)
	case definite(err):
		return fmt.Errorf("delete refused: %v", err)
	}
	return fmt.Errorf("delete: %w: %v", ErrUnavailable, err)
}

func anyStream(string) bool { return true }
