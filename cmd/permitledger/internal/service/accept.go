package service

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/streams"
)

// acceptShorter goes on with a log that lacks events, because an admin has
// accepted it. The lost events are listed already. LogSetBack makes the
// acceptance known to every later start, so it is written last: after a crash
// before it, a start under the same flag does everything again. The read models
// are made again when they find that their last event is not in the log.
func (s *Service) acceptShorter(ctx context.Context, lost *known.SetBackError) error {
	s.cfg.Logger.Warn("a log that was set back is accepted", "known", lost.Known.Ledger, "agreed", lost.Agreed, "lost", lost.List)
	if err := s.keepDocuments(lost); err != nil {
		return err
	}
	s.whole.Accept(lost)
	// Later than anything that was seen: the event also says which of two
	// histories a mark with a number between both is from.
	now := s.firstInstant()
	if !now.After(lost.Known.Clock) {
		now = lost.Known.Clock.Add(time.Microsecond)
	}
	if err := s.bindVault(ctx); err != nil {
		return err
	}
	if err := s.eraseAgain(ctx, lost, now); err != nil {
		return err
	}
	if err := s.dropAgain(ctx, lost, now); err != nil {
		return err
	}
	return eventstore.RecordSetBack(ctx, s.Ledger, lost.Known, lost.Agreed, now)
}

// keepDocuments marks the documents that a lost event may name: those of every
// account in the list. If some events cannot be listed, their accounts are not
// known, and it marks all documents.
func (s *Service) keepDocuments(lost *known.SetBackError) error {
	if lost.Listed < lost.Known.Ledger {
		return s.papers.Keep("")
	}
	done := map[domain.AccountID]bool{"": true}
	for _, e := range lost.Lost {
		if done[e.Account] {
			continue
		}
		done[e.Account] = true
		if err := s.papers.Keep(e.Account); err != nil {
			return err
		}
	}
	return nil
}

// unknownGround is the ground of an erasure whose own event is lost and was not
// copied.
const unknownGround = "request"

// eraseAgain records the erasures that the log has lost: the keys are gone, so
// the accounts must say so.
func (s *Service) eraseAgain(ctx context.Context, lost *known.SetBackError, now time.Time) error {
	persons, err := s.vault.Erased()
	if err != nil {
		return err
	}
	for _, person := range persons {
		ground, cause, err := s.lostErasure(ctx, lost, person)
		if err == nil {
			err = s.again(ctx, person, now, "erase "+lost.Known.ID, cause, func(state account.State) ([]account.Event, error) {
				return account.Erase(state, ground)
			})
		}
		if err != nil {
			return fmt.Errorf("record an erasure again: %w", err)
		}
	}
	return nil
}

// lostErasure finds why somebody was erased, and by which lost event.
func (s *Service) lostErasure(ctx context.Context, lost *known.SetBackError, person domain.AccountID) (ground, eventID string, err error) {
	ground = unknownGround
	for _, e := range lost.Lost {
		if e.Type == account.TypeAccountErased && e.Stream == account.Stream(person) {
			eventID = e.EventID
		}
	}
	if eventID == "" {
		return ground, "", nil
	}
	left, err := projections.Marks(ctx, filepath.Join(s.cfg.Data, folder.Projections))
	if err != nil {
		return "", "", err
	}
	for _, l := range left {
		if l.Model != streams.Name {
			continue
		}
		var data []byte
		err := l.View(ctx, func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT data FROM events WHERE stream = ? AND event_id = ?`, account.Stream(person), eventID).Scan(&data)
		})
		var erased account.AccountErased
		if err == nil && json.Unmarshal(data, &erased) == nil && erased.Ground != "" {
			ground = erased.Ground
		}
	}
	return ground, eventID, ctx.Err()
}

// dropAgain records again the removals of documents that the log has lost:
// otherwise an account would name documents that are not there.
func (s *Service) dropAgain(ctx context.Context, lost *known.SetBackError, now time.Time) error {
	for _, e := range lost.Lost {
		if e.Type != account.TypeDocumentDropped {
			continue
		}
		person := personOf(e.Stream)
		err := s.again(ctx, person, now, "drop "+e.EventID, e.EventID, func(state account.State) (events []account.Event, err error) {
			for _, sum := range slices.Sorted(maps.Keys(state.Documents)) {
				if !s.papers.Has(person, sum) {
					dropped, err := account.Drop(state, sum)
					if err != nil {
						return nil, err
					}
					events = append(events, dropped...)
				}
			}
			return events, nil
		})
		if err != nil {
			return fmt.Errorf("record again that a document was removed: %w", err)
		}
	}
	return nil
}

// accountStates folds the accounts' streams.
var accountStates = eventstore.Aggregate[account.State, account.Event]{
	Evolve: func(s account.State, e account.Event, env eventstore.Envelope) account.State {
		return account.Evolve(s, e, env.Meta())
	},
}

// again appends to an account the consequence of a fact outside the log. An account
// that is lost itself, or was erased, needs nothing.
func (s *Service) again(ctx context.Context, person domain.AccountID, now time.Time, what, cause string, decide func(account.State) ([]account.Event, error)) error {
	cmd := eventstore.Command{ID: domain.CommandID(eventstore.DerivedID("", "after a set back, "+what+" "+string(person))),
		Actor: domain.System(), Now: now, Causation: cause}
	_, err := eventstore.Handle(ctx, s.Ledger, account.Stream(person), accountStates, cmd, func(state account.State, _ time.Time) ([]account.Event, error) {
		return decide(state)
	})
	if errors.Is(err, account.ErrNotOpen) || errors.Is(err, account.ErrErased) {
		return nil
	}
	return err
}
