// Package search finds people and their permits for the council's staff, by
// what somebody says on the telephone: a reference, a name, a vehicle mark, a
// postcode, an e-mail address or a telephone number.
//
// A row about one person is made of that person's events alone. Who may
// search, and that each use is recorded, is no matter of this package. Begin
// reading at Model for the rows, and at Reader.Find for the answers.
package search

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/permit"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "search"

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

// Follows is what people and permits are found by.
func (Model) Follows() []string { return []string{"account-", "permit-"} }

// Apply folds one event.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	switch body := e.Body.(type) {
	case account.DocumentUploaded, account.DocumentDropped:
		return nil // nobody is found by their papers
	case account.Event:
		return foldAccount(ctx, tx, e, body)
	case permit.Event:
		return foldPermit(ctx, tx, e, body)
	}
	return fmt.Errorf("an event of the type %T is not expected in stream %s", e.Body, e.Stream)
}

func foldAccount(ctx context.Context, tx *sql.Tx, e projections.Event, body account.Event) error {
	id, ok := strings.CutPrefix(e.Stream, account.Stream(""))
	if !ok {
		return fmt.Errorf("an account's event is not expected in stream %s", e.Stream)
	}
	state, _, err := projections.Load[account.State](ctx, tx, `SELECT state FROM accounts WHERE account_id = ?`, id)
	if err != nil {
		return err
	}
	renamed := state.Name
	state = account.Evolve(state, body, e.Meta())
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO accounts (account_id, ledger, email, phone, state)
		VALUES (?, ?, nullif(?, ''), nullif(?, ''), ?)
		ON CONFLICT DO UPDATE SET email = excluded.email, phone = excluded.phone, state = excluded.state`,
		id, e.Ledger, emailKey(state.Email), phoneKey(state.Phone), text)
	if err == nil && state.Name != renamed {
		err = saveWords(ctx, tx, id, state.Name)
	}
	if _, erased := body.(account.AccountErased); err == nil && erased {
		err = erasePermits(ctx, tx, id)
	}
	return err
}

func saveWords(ctx context.Context, tx *sql.Tx, id, name string) error {
	if err := projections.Exec(ctx, tx, `DELETE FROM words WHERE account_id = ?`, id); err != nil {
		return err
	}
	for n, word := range words(name) {
		if err := projections.Exec(ctx, tx, `INSERT INTO words (account_id, n, word) VALUES (?, ?, ?)`, id, n, word); err != nil {
			return err
		}
	}
	return nil
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
	return savePermit(ctx, tx, domain.PermitID(id), e.Ledger, permit.Evolve(state, body, e.Meta()))
}

// savePermit writes a permit's row; the ledger number is kept from the first.
func savePermit(ctx context.Context, tx *sql.Tx, id domain.PermitID, ledger uint64, state permit.State) error {
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO permits (permit_id, account_id, ledger, reference, mark, folded, postcode, state)
		VALUES (?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), ?)
		ON CONFLICT DO UPDATE SET mark = excluded.mark, folded = excluded.folded, postcode = excluded.postcode, state = excluded.state`,
		id, state.Account, ledger, id.Reference(), state.Vehicle.Mark, state.Vehicle.Mark.Fold(), state.Property.Postcode, text)
	return err
}

// erasePermits blanks what is personal in the permits of an account.
func erasePermits(ctx context.Context, tx *sql.Tx, id string) error {
	permits := make(map[domain.PermitID]permit.State)
	err := projections.Each(ctx, tx, func(scan func(...any) error) error {
		var permitID domain.PermitID
		var state projections.Column[permit.State]
		err := scan(&permitID, &state)
		permits[permitID] = state.State.Erase()
		return err
	}, `SELECT permit_id, state FROM permits WHERE account_id = ?`, id)
	for permitID, state := range permits {
		if err == nil {
			err = savePermit(ctx, tx, permitID, 0, state)
		}
	}
	return err
}
