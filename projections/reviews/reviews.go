// Package reviews is the reviewers' queue: the applications that wait for a
// decision, in the order in which the money held for them runs out.
//
// Whether a hold is live, what is warned of and which flags an application has
// depends on when one looks, and on the other permits as they are then: all of
// that is computed by the query. Begin reading at Reader.Queue.
package reviews

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "reviews"

const version = 1

//go:embed schema.sql
var schema string

// Model is the fold.
type Model struct{}

// New makes the model.
func New() Model { return Model{} }

// Name is the model's name.
func (Model) Name() string { return Name }

// Schema is the tables and their version.
func (Model) Schema() (int, string) { return version, schema }

// Follows is permits, their money, and accounts because they may be erased.
func (Model) Follows() []string { return []string{"account-", "permit-", "payment-"} }

// Apply folds one event.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	switch body := e.Body.(type) {
	case account.AccountErased:
		return erase(ctx, tx, e)
	case account.Event:
		return nil
	case permit.Event:
		return foldPermit(ctx, tx, e, body)
	case payment.Event:
		return foldPayment(ctx, tx, e, body)
	}
	return fmt.Errorf("an event of the type %T is not expected in stream %s", e.Body, e.Stream)
}

func foldPermit(ctx context.Context, tx *sql.Tx, e projections.Event, body permit.Event) error {
	id, ok := strings.CutPrefix(e.Stream, permit.Stream(""))
	if !ok {
		return fmt.Errorf("a permit's event is not expected in stream %s", e.Stream)
	}
	state, _, err := projections.Load[permit.State](ctx, tx, `SELECT state FROM permits WHERE permit_id = ?`, id)
	if err != nil {
		return err
	}
	state = permit.Evolve(state, body, e.Meta())
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	// Neither of the two ever changes by the clock alone.
	status := state.Status(e.RecordedAt)
	err = projections.Exec(ctx, tx, `INSERT INTO permits
		(permit_id, account_id, ledger, revision, pending, rejected, free, submitted_at, zone, mark, state)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?)
		ON CONFLICT DO UPDATE SET revision = excluded.revision, pending = excluded.pending, rejected = excluded.rejected,
			zone = excluded.zone, mark = excluded.mark, state = excluded.state`,
		id, state.Account, e.Ledger, e.Revision, status == permit.StatusPending, status == permit.StatusRejected,
		state.Price == 0, state.SubmittedAt.UnixMicro(), state.Zone, state.Vehicle.Mark, text)
	return err
}

func foldPayment(ctx context.Context, tx *sql.Tx, e projections.Event, body payment.Event) error {
	id, term, ok := payment.ParseStream(e.Stream)
	if !ok {
		return fmt.Errorf("a payment's event is not expected in stream %s", e.Stream)
	}
	if term != 1 {
		return nil // a renewal's, which nobody reviews
	}
	kept, found, err := projections.Load[*payment.State](ctx, tx, `SELECT coalesce(payment, 'null') FROM permits WHERE permit_id = ?`, id)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the payment in %s is for no application", e.Stream)
	}
	var state payment.State
	if kept != nil {
		state = *kept
	}
	state = payment.Evolve(state, body, e.Meta())
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	live, ended := holds(state)
	err = projections.Exec(ctx, tx, `UPDATE permits SET payment = ?, hold_ends_at = ?, hold_ended_at = ? WHERE permit_id = ?`,
		text, projections.Micros(live), projections.Micros(ended), id)
	return err
}

// holds gives the end of the hold that stands, or, when none does, when the
// last one ended; whether the first is still ahead is for the reader to see.
// An earlier hold counts also when the next attempt has begun.
func holds(s payment.State) (live, ended time.Time) {
	for _, a := range s.Attempts {
		if !a.Authorised {
			continue
		}
		over := earliest(a.LapsedAt, a.ReleasedAt, a.FailedAt, a.CapturedAt)
		switch {
		case over.IsZero():
			live = a.HoldEndsAt
		case over.After(ended):
			ended = over
		}
	}
	if !live.IsZero() {
		return live, time.Time{}
	}
	return time.Time{}, ended
}

// earliest gives the first of some instants that did come.
func earliest(instants ...time.Time) (first time.Time) {
	for _, t := range instants {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// erase blanks what is personal in the permits of an account.
func erase(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	id, ok := strings.CutPrefix(e.Stream, account.Stream(""))
	if !ok {
		return fmt.Errorf("an account's event is not expected in stream %s", e.Stream)
	}
	states := make(map[domain.PermitID]permit.State)
	err := projections.Each(ctx, tx, func(scan func(...any) error) error {
		var permitID domain.PermitID
		var state projections.Column[permit.State]
		err := scan(&permitID, &state)
		states[permitID] = state.State.Erase()
		return err
	}, `SELECT permit_id, state FROM permits WHERE account_id = ?`, id)
	if err != nil {
		return err
	}
	for permitID, state := range states {
		text, err := projections.JSON(state)
		if err != nil {
			return err
		}
		if err := projections.Exec(ctx, tx, `UPDATE permits SET mark = NULL, state = ? WHERE permit_id = ?`, text, permitID); err != nil {
			return err
		}
	}
	return nil
}
