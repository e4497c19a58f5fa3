package audit

import (
	"context"
	"database/sql"
	"math"

	"permitledger/projections"
)

// Explain says how SQLite would carry out a search.
func Explain(ctx context.Context, r Reader, q Query) (plan []string, err error) {
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		s, err := q.plan(ctx, tx, math.MaxInt64)
		if err != nil {
			return err
		}
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			var id, parent, unused int
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		}, `EXPLAIN QUERY PLAN `+s.text(), append(s.args, sql.Named("limit", 10))...)
	})
	return plan, err
}

// EachWord lists what the full-text index holds.
func EachWord(ctx context.Context, p *projections.Projection, fn func(word, column string, ledger, offset int64)) error {
	return p.View(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `PRAGMA query_only = 0`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `CREATE VIRTUAL TABLE temp.places USING fts5vocab(main, search, instance)`); err != nil {
			return err
		}
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			var word, column string
			var ledger, offset int64
			err := scan(&word, &ledger, &column, &offset)
			fn(word, column, ledger, offset)
			return err
		}, `SELECT term, doc, col, offset FROM places ORDER BY term, doc, col, offset`)
	})
}
