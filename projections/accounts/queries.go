package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/projections"
)

// Account is an account as the ledger knows it.
type Account struct {
	ID       domain.AccountID
	State    account.State
	Revision uint64
}

// Row is a permit with its money and its correspondence.
type Row struct {
	PermitID  domain.PermitID
	AccountID domain.AccountID
	Permit    permit.State
	Payments  map[int]payment.State // by term; none where nothing was ever asked for
	Referral  notice.State
	Revision  uint64              // of the permit's stream
	Position  eventstore.Position // of the permit's last event
	Applied   uint64              // ledger number of the application
}

// Payment is the payment of the permit's latest term; of the application while
// there is no term. It is the zero state when nothing was asked for.
func (r Row) Payment() payment.State { return r.Payments[max(1, r.Permit.Latest().Term)] }

// Reader answers from the rows. It is safe for concurrent use.
type Reader struct {
	p    *projections.Projection
	hash func(string) string
}

// NewReader reads the runner's projection of this model. hash is the one that
// the model was made with.
func NewReader(p *projections.Projection, hash func(subject string) string) Reader {
	return Reader{p, hash}
}

// Projection is what the reader reads.
func (r Reader) Projection() *projections.Projection { return r.p }

// ByOwner lists the accounts that belong to a sign-in subject, by their ids.
func (r Reader) ByOwner(ctx context.Context, subject string) ([]Account, error) {
	if subject == "" {
		return nil, nil
	}
	var found []Account
	err := r.p.View(ctx, func(tx *sql.Tx) error {
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			a, err := scanAccount(scan)
			if err == nil {
				found = append(found, a)
			}
			return err
		}, `SELECT account_id, revision, state FROM accounts WHERE owner = ? ORDER BY account_id`, r.hash(subject))
	})
	if err != nil {
		return nil, fmt.Errorf("accounts of an owner: %w", err)
	}
	return found, nil
}

// Account finds one account; false when there is none of that id.
func (r Reader) Account(ctx context.Context, id domain.AccountID) (a Account, found bool, err error) {
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		a, err = scanAccount(tx.QueryRowContext(ctx, `SELECT account_id, revision, state FROM accounts WHERE account_id = ?`, id).Scan)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, false, nil
	}
	if err != nil {
		return Account{}, false, fmt.Errorf("an account: %w", err)
	}
	return a, true, nil
}

func scanAccount(scan func(...any) error) (Account, error) {
	var a Account
	var state projections.Column[account.State]
	err := scan(&a.ID, &a.Revision, &state)
	a.State = state.State
	return a, err
}

const permitColumns = `p.permit_id, p.account_id, p.state, p.revision, p.position, p.ledger, r.state
	FROM permits p LEFT JOIN referrals r USING (permit_id) `

// Permits lists the permits of an account in the order in which they were
// applied for. next is empty after the last.
func (r Reader) Permits(ctx context.Context, id domain.AccountID, cursor string, limit int) (rows []Row, next string, err error) {
	var after uint64
	if err := projections.DecodeCursor(cursor, &after); err != nil {
		return nil, "", err
	}
	rows, err = r.rows(ctx, `WHERE p.account_id = ? AND p.ledger > ? ORDER BY p.ledger LIMIT ?`, id, after, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("permits of an account: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		if limit > 0 {
			after = rows[limit-1].Applied
		}
		next, err = projections.EncodeCursor(after)
	}
	return rows, next, err
}

// Permit finds one permit; false when there is none of that id.
func (r Reader) Permit(ctx context.Context, id domain.PermitID) (Row, bool, error) {
	rows, err := r.rows(ctx, `WHERE p.permit_id = ?`, id)
	if err != nil {
		return Row{}, false, fmt.Errorf("a permit: %w", err)
	}
	if len(rows) == 0 {
		return Row{}, false, nil
	}
	return rows[0], true, nil
}

// PermitsByMark lists the permits that have a vehicle mark now, in a zone or,
// when that is empty, in all, in the order in which they were applied for.
// What has ended is among them.
func (r Reader) PermitsByMark(ctx context.Context, zone domain.Zone, mark domain.VRM) ([]Row, error) {
	rows, err := r.rows(ctx, `WHERE p.mark = ? AND ? IN ('', p.zone) ORDER BY p.ledger`, mark, zone)
	if err != nil {
		return nil, fmt.Errorf("permits by mark: %w", err)
	}
	return rows, nil
}

// rows reads permits, and their payments in the same view.
func (r Reader) rows(ctx context.Context, where string, args ...any) ([]Row, error) {
	var found []Row
	err := r.p.View(ctx, func(tx *sql.Tx) error {
		err := projections.Each(ctx, tx, func(scan func(...any) error) error {
			var row Row
			var state projections.Column[permit.State]
			var referral projections.Column[notice.State]
			if err := scan(&row.PermitID, &row.AccountID, &state, &row.Revision, &row.Position, &row.Applied, &referral); err != nil {
				return err
			}
			row.Permit, row.Referral = state.State, referral.State
			found = append(found, row)
			return nil
		}, `SELECT `+permitColumns+where, args...)
		for i := range found {
			if err == nil {
				found[i].Payments, err = payments(ctx, tx, found[i].PermitID)
			}
		}
		return err
	})
	return found, err
}

func payments(ctx context.Context, tx *sql.Tx, id domain.PermitID) (map[int]payment.State, error) {
	states := make(map[int]payment.State)
	err := projections.Each(ctx, tx, func(scan func(...any) error) error {
		var term int
		var state projections.Column[payment.State]
		err := scan(&term, &state)
		states[term] = state.State
		return err
	}, `SELECT term, state FROM payments WHERE permit_id = ?`, id)
	return states, err
}
