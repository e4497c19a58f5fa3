package projections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"permitledger/domain/account"
)

// item is an event that waits to be applied.
type item struct {
	Event
	pass bool // counted, and not given to the model
}

// rejection is a model's error over one event, as against trouble with the file.
type rejection struct {
	index int
	err   error
}

func (r *rejection) Error() string { return r.err.Error() }
func (r *rejection) Unwrap() error { return r.err }

// apply folds a batch into the file, with the mark, in one transaction. It is
// the one way by which events get into any file: into the live one, and into
// one that is made beside it. When the model rejects an event, all before it
// are kept and a *rejection is returned; at any other error nothing is, and a
// file that is being filled is of no more use after either. It gives the number
// of events that the model was given and has applied.
func (f *file) apply(ctx context.Context, m Model, batch []item) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	applied, erased := 0, f.erased
	// A statement that can be cancelled costs a goroutine, so they cannot: a
	// batch is short, and is given up between two events.
	whole := context.WithoutCancel(ctx)
	err := f.update(whole, func(tx *sql.Tx) error {
		each := f.known.with(whole, tx)
		for i, it := range batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			if it.pass {
				continue
			}
			if it.Type == account.TypeAccountErased && !impersonal(m) {
				erased = erasureInFile
			}
			if err := applyOne(each, m, tx, it.Event); err != nil {
				return &rejection{i, err}
			}
			applied++
		}
		if erased != f.erased {
			if err := setErasure(whole, tx, erased); err != nil {
				return err
			}
		}
		return writeMark(each, tx, markAt(batch[len(batch)-1].Event))
	})
	if err == nil {
		f.mark, f.erased = markAt(batch[len(batch)-1].Event), erased
		return applied, f.known.compile(whole)
	}
	var rejected *rejection
	if !errors.As(err, &rejected) {
		return 0, err
	}
	if ctx.Err() != nil || ofTheMachine(rejected.err) {
		return 0, rejected.err // and so no *rejection: the event is not to blame
	}
	if f.filling {
		return 0, rejected
	}
	// The transaction is gone with the good events in it: they go in again.
	applied, err = f.apply(ctx, m, batch[:rejected.index])
	if err != nil {
		return applied, err
	}
	return applied, rejected
}

// applyOne turns a panic into an error: a fold that trips over one event must
// stop one model and not the process.
func applyOne(ctx context.Context, m Model, tx *sql.Tx, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// What was panicked with may hold clear data; its type is enough
			// to find the place, and the event is named beside it.
			err = fmt.Errorf("the fold panicked with a %T", p)
			if re, ok := p.(runtime.Error); ok {
				err = fmt.Errorf("the fold panicked: %w", re)
			}
		}
	}()
	return m.Apply(ctx, tx, e)
}

func markAt(e Event) Mark {
	return Mark{Ledger: e.Ledger, Position: e.Position, Stream: e.Stream, Revision: e.Revision,
		EventID: e.ID.String(), Clock: e.Clock}
}

func writeMark(ctx context.Context, tx *sql.Tx, m Mark) error {
	clock := int64(0)
	if !m.Clock.IsZero() {
		clock = m.Clock.UnixMicro()
	}
	return Exec(ctx, tx, `UPDATE projection SET ledger = ?, position = ?, stream = ?, revision = ?, event_id = ?, clock = ?`,
		m.Ledger, m.Position, m.Stream, m.Revision, m.EventID, clock)
}

// impersonal reports whether a model says that it never holds anything
// personal, so that an erasure need not be followed through its file.
func impersonal(m Model) bool {
	i, ok := m.(interface{ Impersonal() bool })
	return ok && i.Impersonal()
}

// asStored reports whether a model wants events as the log holds them.
func asStored(m Model) bool {
	s, ok := m.(interface{ AsStored() bool })
	return ok && s.AsStored()
}

// ofTheMachine tells an error that is none of the event's: it goes away by
// itself or by somebody's help, and the same event can then be applied.
func ofTheMachine(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return true
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

// broken tells an error after which the file is not worth another try.
func broken(err error) bool {
	code := primaryCode(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

func primaryCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
