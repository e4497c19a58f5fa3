package eventstore

import (
	"context"
	"errors"
	"fmt"
)

// SessionID numbers the sessions of a store, from 1. A session is one
// connection to the leader; a new one is made after each loss of the old.
type SessionID uint64

// Guard decides whether an append to a stream of the ledger may be sent on a
// session. The store asks it before each try, once that try has its session. A
// guard may wait, within ctx, and may read from the store. Its error refuses
// the append: this try sends nothing. ErrReplaced has the store try again on the
// session that is there then.
type Guard func(ctx context.Context, on SessionID) error

// ErrReplaced is returned for work that belongs to one session, when there is
// another one by now.
var ErrReplaced = errors.New("the connection to the event store was replaced")

// AddGuard adds a guard behind those that are there. Call it before the store
// is used by several goroutines.
func (s *Store) AddGuard(g Guard) { s.guards = append(s.guards, g) }

// AddFirstGuard adds a guard before those that are there. It is for one that may
// wait: the answer of the claim gets old meanwhile.
func (s *Store) AddFirstGuard(g Guard) { s.guards = append([]Guard{g}, s.guards...) }

// Session returns the newest session that was made, 0 for none yet, and a
// channel that is closed when the next one is made.
func (s *Store) Session() (SessionID, <-chan struct{}) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.made, s.conn.renewed
}

// Renew has the store make a new session, for instance to ask the server that
// leads now. Calls under way may finish on the old session, and streams are
// taken up again on the new one. It logs nothing; it does nothing while the
// store is away or closed.
func (s *Store) Renew() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.current; old != nil && !c.isClosed() {
		c.retireLocked(old, errRenewed)
		c.closeIfIdleLocked(old)
	}
}

// errRenewed is why a session was retired that Renew has replaced.
var errRenewed = errors.New("a new connection is being made")

// guardError is the error of a guard; the request was not sent.
type guardError struct{ err error }

func (e *guardError) Error() string { return fmt.Sprintf("not sent: %v", e.err) }
func (e *guardError) Unwrap() error { return e.err }
