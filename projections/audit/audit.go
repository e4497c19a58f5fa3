// Package audit is the index of the whole ledger: one row for every event,
// with its ledger number, where it lies, when it was recorded and known, who
// acted, and which permit and account it concerns.
//
// It holds no content of an event and nothing personal: who wants an event
// itself reads it from its stream. Begin reading at Model.
package audit

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "audit"

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

// Follows is every stream of the ledger: an event that cannot be read must
// not be missing from its audit without a word.
func (Model) Follows() []string { return eventstore.LedgerPrefixes() }

// Impersonal says that the rows hold nothing personal.
func (Model) Impersonal() bool { return true }

// Apply adds the event to the index.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	category, rest, _ := strings.Cut(e.Stream, "-")
	permitID, accountID := concerns(category, rest, e.Body)
	if permitID != "" && accountID == "" {
		var err error
		if accountID, err = applicant(ctx, tx, permitID); err != nil {
			return err
		}
	}
	err := projections.Exec(ctx, tx, `INSERT INTO events
		(ledger, position, event_id, category, stream, revision, type, recorded_at, clock, permit_id, account_id, actor, actor_role)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?)`,
		e.Ledger, e.Position, e.ID.String(), category, e.Stream, e.Revision, e.Type,
		e.RecordedAt.UnixMicro(), e.Clock.UnixMicro(), permitID, accountID, e.Actor.ID, e.Actor.Role)
	if err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	return nil
}

// concerns tells which permit and which account an event is about, as far as
// it says so itself. What the stream's name says goes first.
func concerns(category, rest string, body domain.Event) (permitID domain.PermitID, accountID domain.AccountID) {
	switch category {
	case "permit", "notice":
		permitID = domain.PermitID(rest)
	case "payment":
		// payment-<permit>-<term>
		if i := strings.LastIndexByte(rest, '-'); i >= 0 {
			permitID = domain.PermitID(rest[:i])
		}
	case "account", "access":
		accountID = domain.AccountID(rest)
	}
	switch b := body.(type) {
	case permit.Applied:
		accountID = b.Account
	case payment.PaymentRequested:
		accountID = b.Account
	case notice.InformationRequested:
		permitID = b.Permit
	case notice.InformationSupplied:
		permitID = b.Permit
	case property.SlotTaken:
		permitID = b.Permit
	case access.RecordRead:
		permitID, accountID = b.Permit, b.Account
	case access.PeopleSearched:
		accountID = "" // about everybody whom it showed, and so about no one account
	case ledger.ProviderInstructed:
		accountID = b.Account
	}
	return permitID, accountID
}

// applicant finds the account of a permit by its application. There is none
// yet when a slot was taken for an application that is still to be written.
func applicant(ctx context.Context, tx *sql.Tx, id domain.PermitID) (domain.AccountID, error) {
	var account sql.NullString
	row := tx.QueryRowContext(ctx, `SELECT account_id FROM events WHERE stream = ? AND revision = 0`, permit.Stream(id))
	if err := row.Scan(&account); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("looking for the applicant: %w", err)
	}
	return domain.AccountID(account.String), nil
}
