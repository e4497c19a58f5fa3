// Package access answers "who looked": for each account, who read the record
// of its person, when, and what of it.
//
// It holds nothing personal: not why somebody looked, nor what was searched
// for. Begin reading at Model.
package access

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "access"

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

// Follows is the reads.
func (Model) Follows() []string { return []string{"access-"} }

// Impersonal says that the rows hold nothing personal.
func (Model) Impersonal() bool { return true }

// Apply adds a row for each person whose record was read.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	switch body := e.Body.(type) {
	case access.RecordRead:
		return save(ctx, tx, e, body.Account, body.What, body.Permit)
	case access.PeopleSearched:
		shown := slices.Clone(body.Shown)
		slices.Sort(shown)
		for _, account := range slices.Compact(shown) {
			if err := save(ctx, tx, e, account, access.ReadSearch, ""); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("an event of the type %T is not expected in stream %s", e.Body, e.Stream)
}

func save(ctx context.Context, tx *sql.Tx, e projections.Event, account domain.AccountID, what string, permit domain.PermitID) error {
	return projections.Exec(ctx, tx, `INSERT INTO reads (account_id, ledger, at, actor, role, what, permit_id)
		VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''))`,
		account, e.Ledger, e.RecordedAt.UnixMicro(), e.Actor.ID, e.Actor.Role, what, permit)
}

// Read is that somebody read a person's record.
type Read struct {
	Ledger uint64
	At     time.Time
	Actor  string
	Role   domain.Role
	What   string
	Permit domain.PermitID // empty: of no one permit
}

// Reader answers from the rows. It is safe for concurrent use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// Of lists who read a person's record, the latest first. next is empty after
// the first that ever did.
func (r Reader) Of(ctx context.Context, id domain.AccountID, cursor string, limit int) (reads []Read, next string, err error) {
	before := int64(1<<63 - 1)
	if err := projections.DecodeCursor(cursor, &before); err != nil {
		return nil, "", err
	}
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			var read Read
			var at int64
			err := scan(&read.Ledger, &at, &read.Actor, &read.Role, &read.What, &read.Permit)
			read.At = time.UnixMicro(at).UTC()
			reads = append(reads, read)
			return err
		}, `SELECT ledger, at, actor, role, what, coalesce(permit_id, '') FROM reads
			WHERE account_id = ? AND ledger < ? ORDER BY ledger DESC LIMIT ?`, id, before, limit+1)
	})
	if err != nil {
		return nil, "", fmt.Errorf("who looked: %w", err)
	}
	if len(reads) > limit {
		reads = reads[:limit]
		next, err = projections.EncodeCursor(reads[limit-1].Ledger)
	}
	return reads, next, err
}
