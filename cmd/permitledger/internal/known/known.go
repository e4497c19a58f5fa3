// Package known finds out whether the log still has what a data folder has seen
// of it.
//
// A server that was restored from an older backup lacks acknowledged events, and
// does not report that. The folder has the evidence: its read models, the mark of
// erasures beside the keys and the newest acknowledged append each name an event
// that was in the log. Watch looks for these after every new session, and until
// it has found them nothing is appended, nothing acts and no read model follows.
//
// Begin reading at Watch.Run, then at Compare for the events that are lost.
package known

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permitledger/domain/ledger"
	"permitledger/eventstore"
)

// SetBackError says that the log lacks events that this folder has seen.
type SetBackError struct {
	Difference
	List string // the file with the lost events
	// Refused is the number that an admin has accepted and that is not Agreed;
	// nil when none was given.
	Refused *uint64
}

// Error names the loss, the other possible causes, and the next step.
func (e *SetBackError) Error() string {
	text := fmt.Sprintf("the log was set back: the newest event that this folder has seen has ledger number %d (event %s), and the log lacks it. "+
		"Both agree up to number %d. The server was restored from an older backup, a copy to it is not finished, or --eventstore names another server. "+
		"The lost events are listed in %s. Restore a newer log, or accept the loss with serve --accept-shorter-log=%d",
		e.Known.Ledger, e.Known.ID, e.Agreed, e.List, e.Agreed)
	if e.Refused != nil {
		text += fmt.Sprintf("; --accept-shorter-log=%d names another number", *e.Refused)
	}
	return text
}

// MissingError says that an event was missed once, which is no verdict: a
// server that led once may have answered.
type MissingError struct {
	Known eventstore.Place
	Again time.Time // when it is looked for again at the latest
}

// Error says which event it is, and when it is looked for again.
func (e *MissingError) Error() string {
	return fmt.Sprintf("the newest event that this folder has seen, ledger number %d, is not in the log. The service takes no command until it finds the event; it looks again at %s",
		e.Known.Ledger, e.Again.UTC().Format(time.RFC3339))
}

// ErrUndecided is returned while it is not known yet whether the log is whole.
var ErrUndecided = errors.New("the service does not know yet whether the log has every event that this folder has seen")

// verdict is the result of one search for all known events.
type verdict struct {
	worst eventstore.Whereabouts // of the event that is worst off
	place eventstore.Place       // that event, where it is missing or rewritten
}

// look finds each place in the log. A place that an admin has given up counts
// no more. Places that have moved are changed to where they are.
func look(ctx context.Context, store *eventstore.Store, places []*eventstore.Place) (verdict, error) {
	v := verdict{worst: eventstore.InPlace}
	for _, p := range places {
		where, at, err := store.Locate(ctx, *p)
		if errors.Is(err, eventstore.ErrDamaged) {
			continue // the event is there, though the server cannot read it
		}
		if err != nil {
			return v, err
		}
		if where == eventstore.Missing || where == eventstore.Rewritten {
			gone, err := givenUp(ctx, store, *p)
			if err != nil {
				return v, err
			}
			if gone {
				continue
			}
		}
		switch {
		case where == eventstore.Moved:
			p.Position = at
			if v.worst == eventstore.InPlace {
				v.worst = where
			}
		case where == eventstore.InPlace, where == eventstore.Missing && v.worst == eventstore.Rewritten:
		case where != v.worst || p.Ledger > v.place.Ledger: // the newest of those that are as badly off
			v.worst, v.place = where, *p
		}
	}
	return v, nil
}

// LookOnce looks for places once. A miss is an error, though no verdict.
func LookOnce(ctx context.Context, store *eventstore.Store, places []*eventstore.Place) error {
	v, err := look(ctx, store, places)
	if err == nil && (v.worst == eventstore.Missing || v.worst == eventstore.Rewritten) {
		err = fmt.Errorf("the log lacks an event that this folder has seen, ledger number %d (event %s); serve looks for it again and lists the lost events", v.place.Ledger, v.place.ID)
	}
	return err
}

// givenUp reports whether an admin has accepted that the log lacks an event.
// Numbers are used again after that, so the event must also have been seen
// before it was accepted.
func givenUp(ctx context.Context, store *eventstore.Store, p eventstore.Place) (bool, error) {
	for r, err := range store.Read(ctx, ledger.VaultStream, 0) {
		if err != nil {
			return false, err
		}
		b, at, ok := setBack(r)
		if ok && (b.KnownID != "" && string(b.KnownID) == p.ID ||
			b.Agreed < p.Ledger && p.Ledger <= b.Known && !p.Clock.IsZero() && p.Clock.Before(at)) {
			return true, nil
		}
	}
	return false, nil
}
