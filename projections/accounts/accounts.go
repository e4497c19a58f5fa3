// Package accounts is the account view: every account with its permits, their
// payments and what the council asked for, each as its own events made it.
//
// What may be done with a permit, and whether it is active, is not kept here:
// the domain answers that from the states when somebody asks. Begin reading
// at Model.
package accounts

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "accounts"

const version = 1

//go:embed schema.sql
var schema string

// Model is the fold.
type Model struct {
	hash func(subject string) string
}

// New makes the model. hash is a keyed hash of a sign-in subject: accounts are
// found by it. With another key the files have to be made again.
func New(hash func(subject string) string) Model { return Model{hash} }

// Name is the model's name.
func (Model) Name() string { return Name }

// Schema is the tables and their version.
func (Model) Schema() (int, string) { return version, schema }

// Follows is what an account view is made of.
func (Model) Follows() []string { return []string{"account-", "permit-", "payment-", "notice-"} }

// Apply folds one event.
func (m Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	switch body := e.Body.(type) {
	case account.Event:
		return m.account(ctx, tx, e, body)
	case permit.Event:
		return foldPermit(ctx, tx, e, body)
	case payment.Event:
		return foldPayment(ctx, tx, e, body)
	case notice.Event:
		return foldNotice(ctx, tx, e, body)
	}
	return fmt.Errorf("an event of the type %T is not expected in stream %s", e.Body, e.Stream)
}

func (m Model) account(ctx context.Context, tx *sql.Tx, e projections.Event, body account.Event) error {
	id, err := named[domain.AccountID](e, account.Stream(""))
	if err != nil {
		return err
	}
	state, _, err := projections.Load[account.State](ctx, tx, `SELECT state FROM accounts WHERE account_id = ?`, id)
	if err != nil {
		return err
	}
	state = account.Evolve(state, body, e.Meta())
	var owner sql.NullString
	if state.Subject != "" {
		owner = sql.NullString{String: m.hash(state.Subject), Valid: true}
	}
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO accounts (account_id, owner, revision, state) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET owner = excluded.owner, revision = excluded.revision, state = excluded.state`,
		id, owner, e.Revision, text)
	if _, erased := body.(account.AccountErased); err == nil && erased {
		err = erase(ctx, tx, id)
	}
	return err
}

func foldPermit(ctx context.Context, tx *sql.Tx, e projections.Event, body permit.Event) error {
	id, err := named[domain.PermitID](e, permit.Stream(""))
	if err != nil {
		return err
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
	err = projections.Exec(ctx, tx, `INSERT INTO permits (permit_id, account_id, ledger, revision, position, zone, mark, state)
		VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''), ?)
		ON CONFLICT DO UPDATE SET revision = excluded.revision, position = excluded.position,
			zone = excluded.zone, mark = excluded.mark, state = excluded.state`,
		id, state.Account, e.Ledger, e.Revision, e.Position, state.Zone, state.Vehicle.Mark, text)
	return err
}

func foldPayment(ctx context.Context, tx *sql.Tx, e projections.Event, body payment.Event) error {
	id, term, ok := payment.ParseStream(e.Stream)
	if !ok {
		return fmt.Errorf("a payment's event is not expected in stream %s", e.Stream)
	}
	state, _, err := projections.Load[payment.State](ctx, tx, `SELECT state FROM payments WHERE permit_id = ? AND term = ?`, id, term)
	if err != nil {
		return err
	}
	text, err := projections.JSON(payment.Evolve(state, body, e.Meta()))
	if err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO payments (permit_id, term, state) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state`, id, term, text)
	return err
}

func foldNotice(ctx context.Context, tx *sql.Tx, e projections.Event, body notice.Event) error {
	id, err := named[domain.PermitID](e, notice.Stream(""))
	if err != nil {
		return err
	}
	state, _, err := projections.Load[notice.State](ctx, tx, `SELECT state FROM referrals WHERE permit_id = ?`, id)
	if err != nil {
		return err
	}
	return saveReferral(ctx, tx, id, notice.Evolve(state, body, e.Meta()))
}

func saveReferral(ctx context.Context, tx *sql.Tx, id domain.PermitID, state notice.State) error {
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO referrals (permit_id, state) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state`, id, text)
	return err
}

// erase blanks what is personal in everything of an account. The account's own
// row was folded already.
func erase(ctx context.Context, tx *sql.Tx, id domain.AccountID) error {
	permits := make(map[domain.PermitID]permit.State)
	referrals := make(map[domain.PermitID]notice.State)
	err := projections.Each(ctx, tx, func(scan func(...any) error) error {
		var permitID domain.PermitID
		var state projections.Column[permit.State]
		var referral projections.Column[*notice.State]
		if err := scan(&permitID, &state, &referral); err != nil {
			return err
		}
		permits[permitID] = state.State.Erase()
		if referral.State != nil {
			referrals[permitID] = referral.State.Erase()
		}
		return nil
	}, `SELECT p.permit_id, p.state, r.state FROM permits p LEFT JOIN referrals r USING (permit_id) WHERE p.account_id = ?`, id)
	if err != nil {
		return err
	}
	for permitID, state := range permits {
		text, err := projections.JSON(state)
		if err != nil {
			return err
		}
		if err := projections.Exec(ctx, tx, `UPDATE permits SET mark = NULL, state = ? WHERE permit_id = ?`, text, permitID); err != nil {
			return err
		}
	}
	for permitID, state := range referrals {
		if err := saveReferral(ctx, tx, permitID, state); err != nil {
			return err
		}
	}
	return nil
}

// named gives the id in the name of an event's stream.
func named[ID ~string](e projections.Event, prefix string) (ID, error) {
	id, ok := strings.CutPrefix(e.Stream, prefix)
	if !ok || id == "" {
		return "", fmt.Errorf("an event of the type %s is not expected in stream %s", e.Type, e.Stream)
	}
	return ID(id), nil
}
