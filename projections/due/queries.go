package due

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/projections"
)

// Item is one thing that falls due.
type Item struct {
	Kind      Kind
	Permit    domain.PermitID // empty for a document
	Account   domain.AccountID
	Term      int    // of Settle, Lapse and AutoRenewal; else 0
	SHA256    string // of a document
	DueAt     time.Time
	ExpiresAt time.Time      // zero: it does not expire
	Ledger    uint64         // of the event that made it due
	EventID   domain.EventID // of that event
}

// Reader answers from the rows. It is safe for concurrent use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// Projection is what the reader reads.
func (r Reader) Projection() *projections.Projection { return r.p }

// Next gives the earliest of all items, whether or not it has come; false when
// nothing is to come. What had expired by an instant is left out, and so is
// all up to and including an item: whoever has tried that one in vain goes on
// after it. The zero Item is before all.
func (r Reader) Next(ctx context.Context, now time.Time, after Item) (Item, bool, error) {
	items, err := r.items(ctx, now, time.Unix(1<<40, 0), after, 1)
	if err != nil || len(items) == 0 {
		return Item{}, false, err
	}
	return items[0], true, nil
}

// Until lists what is due now or falls due up to a later instant, the earliest
// first, and at most so many. What has expired by now is left out; what will
// have expired by the later instant is not: on the way there its time comes.
func (r Reader) Until(ctx context.Context, now, until time.Time, limit int) ([]Item, error) {
	return r.items(ctx, now, until, Item{}, limit)
}

// ForPermit lists all that is or falls due to a permit, expired or not.
func (r Reader) ForPermit(ctx context.Context, id domain.PermitID) ([]Item, error) {
	return r.read(ctx, `WHERE permit_id = ? ORDER BY due_at, ledger, kind, term`, id)
}

func (r Reader) items(ctx context.Context, now, until time.Time, after Item, limit int) ([]Item, error) {
	start := int64(-1 << 62)
	if !after.DueAt.IsZero() {
		start = after.DueAt.UnixMicro()
	}
	return r.read(ctx, `WHERE due_at <= ? AND coalesce(expires_at > ?, 1)
		AND (due_at, ledger, kind, permit_id, account_id, term, sha256) > (?, ?, ?, ?, ?, ?, ?)
		ORDER BY due_at, ledger, kind, permit_id, account_id, term, sha256 LIMIT ?`,
		until.UnixMicro(), now.UnixMicro(),
		start, after.Ledger, after.Kind, after.Permit, after.Account, after.Term, after.SHA256, limit)
}

func (r Reader) read(ctx context.Context, where string, args ...any) ([]Item, error) {
	var items []Item
	err := r.p.View(ctx, func(tx *sql.Tx) error {
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			var it Item
			var at int64
			var expires sql.NullInt64
			err := scan(&it.Kind, &it.Permit, &it.Account, &it.Term, &it.SHA256, &at, &expires, &it.Ledger, &it.EventID)
			it.DueAt, it.ExpiresAt = time.UnixMicro(at).UTC(), projections.Instant(expires)
			items = append(items, it)
			return err
		}, `SELECT kind, permit_id, account_id, term, sha256, due_at, expires_at, ledger, event_id FROM due `+where, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("what falls due: %w", err)
	}
	return items, nil
}
