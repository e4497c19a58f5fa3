package audit

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"permitledger/domain"
	"permitledger/projections"
)

// Seen is an event as a file of this read model has it.
type Seen struct {
	Ledger     uint64
	Stream     string
	Revision   uint64
	EventID    string
	Type       string
	RecordedAt time.Time
	Account    domain.AccountID // empty: about no account
}

// SeenIn reads the events after a ledger number from a file that a process has
// left, in order, whatever its schema: the columns that it needs are in all so
// far. It yields an error where the file has another form, or cannot be read.
func SeenIn(ctx context.Context, left projections.Left, after uint64) iter.Seq2[Seen, error] {
	return func(yield func(Seen, error) bool) {
		stopped := false
		err := left.View(ctx, func(tx *sql.Tx) error {
			rows, err := tx.QueryContext(ctx, `SELECT ledger, stream, revision, event_id, type, recorded_at, coalesce(account_id, '')
				FROM events WHERE ledger > ? ORDER BY ledger`, after)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var e Seen
				var at int64
				if err := rows.Scan(&e.Ledger, &e.Stream, &e.Revision, &e.EventID, &e.Type, &at, &e.Account); err != nil {
					return err
				}
				if e.RecordedAt = time.UnixMicro(at).UTC(); !yield(e, nil) {
					stopped = true
					return nil
				}
			}
			return rows.Err()
		})
		if err != nil && !stopped {
			yield(Seen{}, err)
		}
	}
}
