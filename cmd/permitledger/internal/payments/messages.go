package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// NextDue gives the instant of the earliest message that the provider sends
// by itself and that was not acknowledged yet, and false when there is none.
// The instant may be past: Deliver gives the message until it is acknowledged.
func (s *Simulator) NextDue(ctx context.Context) (time.Time, bool, error) {
	var due int64
	err := s.db.QueryRowContext(ctx, `SELECT due_us FROM charge WHERE told = 0 ORDER BY due_us LIMIT 1`).Scan(&due)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("payments: next message: %w", err)
	}
	return fromMicros(due), true, nil
}

// Deliver gives the messages that fell due up to and including upTo and were
// not acknowledged, the earliest first. Each comes again until Delivered names
// its ID, so whoever crashes between the two loses nothing.
func (s *Simulator) Deliver(ctx context.Context, upTo time.Time) ([]Message, error) {
	var messages []Message
	err := s.transact(ctx, func(tx *sql.Tx) error {
		records, err := dueUpTo(ctx, tx, upTo)
		if err != nil {
			return err
		}
		for _, r := range records {
			r.advance(r.dueAt)
			m := r.verdict()
			m.ID = r.providerID
			messages = append(messages, m)
			if err := update(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("payments: deliver: %w", err)
	}
	return messages, nil
}

// Delivered acknowledges messages by their IDs; they are not delivered again.
// An ID that is not known, or was acknowledged before, is passed over.
func (s *Simulator) Delivered(ctx context.Context, ids ...string) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			// Only what was delivered can be acknowledged: an awaited charge is not decided yet.
			if _, err := tx.ExecContext(ctx, `UPDATE charge SET told = 1 WHERE provider_id = ? AND state <> ?`, id, KindAwaited); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("payments: acknowledge: %w", err)
	}
	return nil
}
