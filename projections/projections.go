// Package projections keeps the read models: whatever anybody looks at, made
// by folding the ledger and thrown away and made again whenever that is
// simpler than repairing it.
//
// It holds no rule (those are the domain's, and a model folds with the
// domain's own Evolve), it never writes to the log and nothing it does has an
// effect outside its own files. What is derived from the clock is never
// stored: pending, active and expired are computed when somebody reads.
//
// Each read model is one SQLite file. Its rows, the ledger number and the
// place of the last event applied are committed in the same transaction, so
// that every event counts once whatever is cut off when.
//
// Begin reading at Model, which is what a read model has to be, then at
// Runner.Run for how it is kept up to date. The models lie in the folders
// below this one.
package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"permitledger/eventstore"
)

// Event is an event of the ledger with its place in history.
type Event struct {
	eventstore.Event
	// Ledger is the ledger number: this is the Ledger-th event of the ledger,
	// from 1.
	Ledger uint64
	// Clock is the knowledge clock: the greatest recorded instant at or
	// before this event in log order.
	Clock time.Time
	// Stored is the event exactly as the log holds it, for a model that asks
	// for that; nil for all others.
	Stored *eventstore.Recorded
}

// Model is a read model: a schema and a fold. Its queries are methods of its
// own package over a Projection.
//
// A model must be a function of the events alone. Apply reads and writes
// nothing but tx, keeps nothing in memory between calls, looks at no clock
// and must not depend on where one transaction ends and the next begins: the
// same events give the same rows, in whatever batches. It is called by one
// goroutine at a time, in log order, and may be called concurrently for
// another file of the same model (a rebuild beside the live one).
//
// Exec, Load and Each keep the statements of a fold compiled; a statement that
// is sent for every event belongs into one of them.
//
// An error or a panic of Apply stops this model at that event, until the next
// Run or a rebuild; nothing of the event is kept. An error of SQLite that tells of the
// machine (a full disk) is returned wrapped, and then the event is tried again.
//
// No row about one person may be made from another person's clear data, and
// folding AccountErased must leave the rows that a fold without the person's
// key would have left. The runner sees to it that what was overwritten also
// leaves the file, which means writing the file anew; a model that never holds
// anything personal may say so by a method Impersonal() bool, and is spared.
//
// A model may ask by a method AsStored() bool for what the log holds in place of
// what it means: Stored is set then and the body is not decoded, so that no
// event is beyond reading. Of the envelope there are the place and, where it can
// be read, the instant.
//
// A model may name by a method Lookups() []string the indexes that none of its
// folds uses, for queries alone. They are made last when a file is filled
// beside the live one. SQLite sorts them in temporary files, so they are not
// to hold anything personal.
type Model interface {
	// Name is the model's name and part of its file's. It never changes.
	Name() string
	// Schema is the statements that make an empty file, and their version. It
	// is raised with every change of the schema or of what Apply writes; a
	// file with another version is made again from the log. The table
	// "projection" belongs to the runner.
	Schema() (version int, ddl string)
	// Follows lists the prefixes of the streams whose events Apply is given.
	// All other events are counted and passed over, also those that cannot
	// be decoded. It must not change without the schema version.
	Follows() []string
	// Apply folds one event into the rows.
	Apply(ctx context.Context, tx *sql.Tx, e Event) error
}

// State is what a projection is doing.
type State string

// The states of a projection.
const (
	// CatchingUp: the end of the log has not been reached since the start, or
	// the log or the file is in trouble and will be tried again.
	CatchingUp State = "catching-up"
	// Running: the end of the log was reached, and what is new is applied as
	// it arrives.
	Running State = "running"
	// Stopped: an event could not be decoded or applied.
	Stopped State = "stopped"
)

// Status is how a projection is.
type Status struct {
	Name     string
	Ledger   uint64              // number of the last event applied
	Position eventstore.Position // of the last event applied
	Clock    time.Time           // knowledge clock at it
	State    State
	// Behind is how many ledger events lie between this projection and the
	// furthest one that any part of the process has seen.
	Behind uint64
	// LastMessageAge is how long ago the log was last heard of, whatever it
	// said. It is negative when it was never heard of.
	LastMessageAge time.Duration
	Error          *Poison // why it is stopped; nil when it is not
	Trouble        string  // what is being tried again; empty when all is well
	// Erasing says that an erasure was applied to the rows and that the bytes
	// that it overwrote may still lie in the file. It ends by itself soon after
	// the end of the log was reached.
	Erasing bool
	// Verifying says that a verification goes on; its scratch file has come to
	// the number Verified.
	Verifying bool
	Verified  uint64
	Rebuild   *Rebuild // the one under way, or the last one of this process; nil: none yet
}

// Poison is an event that stopped a projection. It holds nothing of the
// event's content. Where the log is damaged only its place is known.
type Poison struct {
	EventID string
	Stream  string
	Type    string
	Ledger  uint64
	Since   time.Time
	Err     error
}

// Error says which event it was and what is wrong with it.
func (p *Poison) Error() string {
	if p.EventID == "" {
		return fmt.Sprintf("ledger number %d: %v", p.Ledger, p.Err)
	}
	return fmt.Sprintf("event %s (%s, ledger number %d): %v", p.EventID, p.Type, p.Ledger, p.Err)
}

// Unwrap gives the cause.
func (p *Poison) Unwrap() error { return p.Err }

var (
	// ErrStopped is returned when something is waited for that a stopped
	// projection will not reach.
	ErrStopped = errors.New("the read model is stopped")
	// ErrNotRunning is returned for what needs Run, when it does not run.
	ErrNotRunning = errors.New("the read models are not being kept up to date")
	// ErrClosed is returned by a projection whose runner was closed.
	ErrClosed = errors.New("the read models are closed")
)
