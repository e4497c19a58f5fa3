package eventstore

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Copy keeps streams of the ledger beside the log, for reads that have to go
// on while the log is away. It may be behind the log, and is safe for
// concurrent use.
type Copy interface {
	// Stream gives what the copy has of a stream, oldest first, each event with
	// the id, type, place and bytes that it has in the log, and the position up to
	// which the copy has all events. It fails rather than give what it does not
	// know to be whole.
	Stream(ctx context.Context, stream string) (events []Recorded, reached Position, err error)
}

// UseCopy gives the ledger a copy. It is to be called before others read from
// the ledger.
func (l *Ledger) UseCopy(c Copy) { l.copy = c }

// CopyUse tells of a read under AllowCopy what it was answered from. It is safe
// for concurrent use.
type CopyUse struct {
	least Position

	mu   sync.Mutex
	asOf time.Time // zero while all came from the log
}

type copyUseKey struct{}

// AllowCopy lets History answer from the ledger's copy where the log cannot be
// reached, if the copy has at least what lies up to a position. It is for what
// may be shown a little old and leaves no trace in the ledger. What is written
// never rests on a copy, also under such a context.
func AllowCopy(ctx context.Context, least Position) (context.Context, *CopyUse) {
	use := &CopyUse{least: least}
	return context.WithValue(ctx, copyUseKey{}, use), use
}

func copyUse(ctx context.Context) *CopyUse {
	use, _ := ctx.Value(copyUseKey{}).(*CopyUse)
	return use
}

// Used reports whether anything came from the copy, and then since when the
// log has been away. A nil CopyUse was never used.
func (u *CopyUse) Used() (asOf time.Time, used bool) {
	if u == nil {
		return time.Time{}, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asOf, !u.asOf.IsZero()
}

// From notes that what follows comes from the copy, under a connection that is
// away. The first use sets the instant.
func (u *CopyUse) From(c Connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !u.asOf.IsZero():
	case c.Up: // it has come back this moment
		u.asOf = time.Now()
	default:
		u.asOf = c.Since
	}
}

func (l *Ledger) fromCopy(ctx context.Context, stream string, use *CopyUse) ([]Event, error) {
	stored, reached, err := l.copy.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("%w, nor is the copy: %w", ErrUnavailable, err)
	}
	if reached < use.least {
		return nil, fmt.Errorf("%w, and the copy goes only to position %s", ErrUnavailable, reached)
	}
	events := make([]Event, len(stored))
	for i, r := range stored {
		if events[i], err = l.codec.Decode(r); err != nil {
			return nil, err
		}
	}
	use.From(l.store.Connection())
	return events, nil
}
