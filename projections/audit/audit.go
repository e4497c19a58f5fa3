// Package audit is the index of the whole ledger: one row for every event,
// with its ledger number, where it lies, when it was recorded and known, who
// acted, and which permit and account it concerns; and a full-text index of
// what every event says in clear.
//
// It holds no content of an event and nothing personal: who wants an event
// itself reads it from its stream. Begin reading at Model, then at
// Reader.Search.
package audit

import (
	"context"
	"database/sql"
	_ "embed"
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

const version = 3

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

// Lookups are the indexes that only queries use.
func (Model) Lookups() []string {
	return []string{"events_permit", "events_account", "events_clock", "events_type", "events_actor"}
}

// Apply adds the event to the index.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	category, rest, _ := strings.Cut(e.Stream, "-")
	permitID, accountID := concerns(category, rest, e.Body)
	about, err := applicationOf(ctx, tx, permitID, e.Body)
	if err != nil {
		return err
	}
	if accountID == "" {
		accountID = about.account
	}
	if accountID == "" && category == "property" {
		accountID = asker(e.Actor) // the application is still to be written
	}
	err = projections.Exec(ctx, tx, `INSERT INTO events
		(ledger, position, event_id, category, stream, revision, type, recorded_at, clock, permit_id, account_id, actor, actor_role)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?)`,
		e.Ledger, e.Position, e.ID.String(), category, e.Stream, e.Revision, e.Type,
		e.RecordedAt.UnixMicro(), e.Clock.UnixMicro(), permitID, accountID, e.Actor.ID, e.Actor.Role)
	if err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	err = projections.Exec(ctx, tx, `INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last`,
		dayOf(e.RecordedAt), e.Ledger, e.Ledger)
	if err != nil {
		return fmt.Errorf("indexing its day: %w", err)
	}
	if err := showed(ctx, tx, e); err != nil {
		return err
	}
	err = projections.Exec(ctx, tx, `INSERT INTO search (rowid, words, what, who) VALUES (?, ?, ?, ?)`,
		e.Ledger, wordsOf(e, permitID, about), e.Type, e.Actor.ID)
	if err != nil {
		return fmt.Errorf("indexing its words: %w", err)
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

// asker is the account of the resident who acted, or for whom staff did.
func asker(a domain.Actor) domain.AccountID {
	if a.Role == domain.RoleResident {
		return domain.AccountID(a.ID)
	}
	return a.OnBehalfOf
}

// showed keeps the accounts that a search brought up, each of which it
// concerns.
func showed(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	searched, ok := e.Body.(access.PeopleSearched)
	if !ok {
		return nil
	}
	for _, id := range searched.Shown {
		if err := projections.Exec(ctx, tx, `INSERT OR IGNORE INTO shown VALUES (?, ?)`, id, e.Ledger); err != nil {
			return fmt.Errorf("indexing whom it showed: %w", err)
		}
	}
	return nil
}

// application is what a permit's application says of it in clear.
type application struct {
	account domain.AccountID
	kind    domain.Kind
	zone    domain.Zone
}

// applicationOf keeps an application, or finds that of the permit which an
// event is about. There is none yet when a slot was taken for an application
// that is still to be written.
func applicationOf(ctx context.Context, tx *sql.Tx, id domain.PermitID, body domain.Event) (a application, err error) {
	if applied, ok := body.(permit.Applied); ok {
		a = application{applied.Account, applied.Kind, applied.Zone}
		err = projections.Exec(ctx, tx, `INSERT INTO permits VALUES (?, ?, ?, ?)`, id, a.account, a.kind, a.zone)
		if err != nil {
			return application{}, fmt.Errorf("keeping the application: %w", err)
		}
		return a, nil
	}
	if id == "" {
		return application{}, nil
	}
	err = projections.Each(ctx, tx, func(scan func(...any) error) error { return scan(&a.account, &a.kind, &a.zone) },
		`SELECT account_id, kind, zone FROM permits WHERE permit_id = ?`, id)
	if err != nil {
		return application{}, fmt.Errorf("looking for the application: %w", err)
	}
	return a, nil
}
