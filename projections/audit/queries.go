package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections"
)

// Entry is one event of the ledger in the index.
type Entry struct {
	Ledger     uint64
	Position   eventstore.Position
	EventID    domain.EventID
	Stream     string
	Revision   uint64
	Type       string
	RecordedAt time.Time
	Clock      time.Time        // knowledge clock at the event
	Permit     domain.PermitID  // empty: about no permit
	Account    domain.AccountID // empty: about no account
	Actor      string
	Role       domain.Role
}

// InHistory reports whether the event is part of its permit's history: of its
// life, its payments, its correspondence or its disputes. A slot taken for it
// and a read of its record are about it, and are not.
func (e Entry) InHistory() bool {
	category, _, _ := strings.Cut(e.Stream, "-")
	switch category {
	case "permit", "payment", "notice", "dispute":
		return true
	}
	return false
}

// Reader answers from the index. It is safe for concurrent use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// Projection is what the reader reads.
func (r Reader) Projection() *projections.Projection { return r.p }

const columns = `ledger, position, event_id, stream, revision, type, recorded_at, clock,
	coalesce(permit_id, ''), coalesce(account_id, ''), actor, actor_role`

func scan(row interface{ Scan(...any) error }) (Entry, error) { return scanFrom(row.Scan) }

func scanFrom(scan func(...any) error) (Entry, error) {
	var e Entry
	var recorded, clock int64
	err := scan(&e.Ledger, &e.Position, &e.EventID, &e.Stream, &e.Revision, &e.Type, &recorded, &clock,
		&e.Permit, &e.Account, &e.Actor, &e.Role)
	e.RecordedAt, e.Clock = time.UnixMicro(recorded).UTC(), time.UnixMicro(clock).UTC()
	return e, err
}

// ForPermit lists the events of a permit, its payments, its correspondence and
// its disputes, in log order. Slots taken for it and reads of its record are
// about it too, but not its history.
func (r Reader) ForPermit(ctx context.Context, id domain.PermitID) ([]Entry, error) {
	var entries []Entry
	err := r.p.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM events
			WHERE permit_id = ? AND category IN ('permit', 'payment', 'notice', 'dispute') ORDER BY ledger`, id)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			e, err := scan(rows)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("history of a permit: %w", err)
	}
	return entries, nil
}

// KnownAt gives the last event that the ledger knew at an instant: the last
// whose knowledge clock is not later. It is false before the first one.
func (r Reader) KnownAt(ctx context.Context, at time.Time) (Entry, bool, error) {
	return r.one(ctx, `SELECT `+columns+` FROM events WHERE clock <= ? ORDER BY clock DESC, ledger DESC LIMIT 1`, at.UnixMicro())
}

// ByID finds an event by its id.
func (r Reader) ByID(ctx context.Context, id domain.EventID) (Entry, bool, error) {
	return r.one(ctx, `SELECT `+columns+` FROM events WHERE event_id = ?`, id)
}

// Ledger gives the ledger number of an event.
func (r Reader) Ledger(ctx context.Context, id domain.EventID) (uint64, bool, error) {
	e, ok, err := r.ByID(ctx, id)
	return e.Ledger, ok, err
}

func (r Reader) one(ctx context.Context, query string, args ...any) (e Entry, found bool, err error) {
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		e, err = scan(tx.QueryRowContext(ctx, query, args...))
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Entry{}, false, nil
	case err != nil:
		return Entry{}, false, fmt.Errorf("looking up an event: %w", err)
	}
	return e, true, nil
}

// Counts gives the number of events by type.
func (r Reader) Counts(ctx context.Context) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	err := r.p.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT type, count(*) FROM events GROUP BY type`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			var n uint64
			if err := rows.Scan(&name, &n); err != nil {
				return err
			}
			counts[name] = n
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("counting events: %w", err)
	}
	return counts, nil
}
