package eventstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Place is an event of the ledger where it was once seen in the log.
type Place struct {
	Ledger   uint64 // its ledger number; 0: not known
	Position Position
	Stream   string
	Revision uint64
	ID       string
	// Clock is an instant that the event was not recorded after, such as the
	// knowledge clock at it. The zero time is not known.
	Clock time.Time
}

// Whereabouts says how the log has an event that was seen there before.
type Whereabouts uint8

// The whereabouts of an event.
const (
	// Missing: the log does not have the event.
	Missing Whereabouts = iota
	// InPlace: the log has the event where it was.
	InPlace
	// Moved: the log has the event at another position and under the same
	// ledger number. The log was copied.
	Moved
	// Rewritten: the log has the event under another ledger number, or recorded
	// later. The same command was done once more after the event was lost:
	// ids are derived from commands, so they repeat.
	Rewritten
)

// Locate looks for an event by its stream, revision and id. Where the stream
// cannot be read, it looks in $all at the position. An event that is not in its
// place is counted, which reads the log from its beginning up to the event. The
// position is where an event that has moved is now.
func (s *Store) Locate(ctx context.Context, p Place) (Whereabouts, Position, error) {
	r, found, err := s.seek(ctx, p)
	switch {
	case err != nil:
		return Missing, 0, err
	case !found:
		return Missing, 0, nil
	case p.writtenAgain(r):
		return Rewritten, r.Position, nil
	case r.Position == p.Position:
		return InPlace, r.Position, nil
	case p.Ledger == 0:
		return Moved, r.Position, nil
	}
	number := uint64(0)
	for other, err := range s.ReadAll(ctx, 0) {
		if err != nil {
			return Missing, 0, err
		}
		if number++; other.Position >= r.Position {
			break
		}
	}
	if number != p.Ledger {
		return Rewritten, r.Position, nil
	}
	return Moved, r.Position, nil
}

// writtenAgain reports whether an event was recorded after the one that was seen.
func (p Place) writtenAgain(r Recorded) bool {
	if p.Clock.IsZero() {
		return false
	}
	at, err := RecordedAt(r)
	return err == nil && at.After(p.Clock)
}

// seek finds the event of a place in its stream, or in $all.
func (s *Store) seek(ctx context.Context, p Place) (r Recorded, found bool, err error) {
	for r, err = range s.Read(ctx, p.Stream, p.Revision) {
		if err == nil && r.Revision == p.Revision {
			return r, r.ID.String() == p.ID, nil
		}
		break
	}
	if err != nil && passing(err) && !errors.Is(err, ErrRefused) {
		return Recorded{}, false, err
	}
	// The stream is not there, or it was deleted, truncated or closed to this user.
	r, err = s.at(ctx, p.Position)
	switch {
	case err != nil && (passing(err) || errors.Is(err, ErrDenied)):
		return Recorded{}, false, err
	case err != nil: // servers refuse a position at which no record begins
		return Recorded{}, false, nil
	}
	return r, r.Stream == p.Stream && r.Revision == p.Revision && r.ID.String() == p.ID, nil
}

// passing reports whether an error says nothing about where an event is.
func passing(err error) bool {
	for _, kind := range []error{ErrUnavailable, ErrClosed, ErrDamaged, ErrCredentials, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// at reads the record that begins at a position.
func (s *Store) at(ctx context.Context, p Position) (first Recorded, err error) {
	open := func(ctx context.Context, c *esdb.Client, emit func(Recorded) bool) error {
		rs, err := c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Forwards, From: clientPosition(p)}, math.MaxInt64)
		if err != nil {
			return err
		}
		return receive(rs, func(r Recorded) bool { emit(r); return false })
	}
	err = takeUp(ctx, s, need{right: RightReadAll}, s.cfg.Wait, open, func(r Recorded) error {
		if r.Position == p {
			first = r
		}
		return nil
	})
	return first, err
}

// acknowledged is the last event of an append that the store has acknowledged.
type acknowledged struct {
	place    Place
	metadata []byte
}

// acknowledge remembers an append to the ledger, unless a later one is known.
func (s *Store) acknowledge(stream string, done Appended, last esdb.EventData) {
	if !IsLedgerStream(stream) {
		return
	}
	a := &acknowledged{Place{Position: done.Position, Stream: stream, Revision: done.Revision, ID: last.EventID.String()}, last.Metadata}
	for {
		known := s.newest.Load()
		if known != nil && known.place.Position >= done.Position || s.newest.CompareAndSwap(known, a) {
			return
		}
	}
}

// Newest returns the last event that was appended to the ledger through this
// store and acknowledged; false when there was none.
func (s *Store) Newest() (Place, bool) {
	a := s.newest.Load()
	if a == nil {
		return Place{}, false
	}
	p := a.place
	p.Clock, _ = RecordedAt(Recorded{Metadata: a.metadata}) // an instant that cannot be read is not known
	return p, true
}
