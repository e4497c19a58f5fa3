package projections

import (
	"context"
	"database/sql"
)

// statements keeps what a model does to its file compiled: a fold sends the
// same few statements for every event, and compiling one costs more than
// running it. It belongs to the goroutine that applies events.
type statements struct {
	db       *sql.DB
	compiled map[string]*sql.Stmt
	wanted   map[string]bool // met while the one connection was in use
}

// maxStatements is more than any model has. One that writes values into its
// statements would otherwise keep every one of them.
const maxStatements = 64

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, compiled: make(map[string]*sql.Stmt), wanted: make(map[string]bool)}
}

// compile prepares, between transactions, what was met in the last one.
func (s *statements) compile(ctx context.Context) error {
	for query := range s.wanted {
		stmt, err := s.db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		s.compiled[query] = stmt
	}
	clear(s.wanted)
	return nil
}

// inTx is the compiled statements as one transaction uses them.
type inTx struct {
	tx   *sql.Tx
	all  *statements
	used map[string]*sql.Stmt
}

type inTxKey struct{}

// with makes the statements known to Exec, Load and Each inside a transaction.
func (s *statements) with(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, inTxKey{}, &inTx{tx: tx, all: s, used: make(map[string]*sql.Stmt)})
}

// statement finds the compiled form of a query, or nil.
func statement(ctx context.Context, tx *sql.Tx, query string) *sql.Stmt {
	in, ok := ctx.Value(inTxKey{}).(*inTx)
	if !ok || in.tx != tx {
		return nil
	}
	if stmt := in.used[query]; stmt != nil {
		return stmt
	}
	stmt := in.all.compiled[query]
	if stmt == nil {
		if len(in.all.compiled)+len(in.all.wanted) < maxStatements {
			in.all.wanted[query] = true
		}
		return nil
	}
	in.used[query] = tx.StmtContext(ctx, stmt)
	return in.used[query]
}

// Exec runs a statement of a fold. Inside Apply it is compiled once for many
// events, if its text is always the same.
func Exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (err error) {
	if stmt := statement(ctx, tx, query); stmt != nil {
		_, err = stmt.ExecContext(ctx, args...)
	} else {
		_, err = tx.ExecContext(ctx, query, args...)
	}
	return err
}

func queryRow(ctx context.Context, tx *sql.Tx, query string, args ...any) *sql.Row {
	if stmt := statement(ctx, tx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return tx.QueryRowContext(ctx, query, args...)
}

func queryRows(ctx context.Context, tx *sql.Tx, query string, args ...any) (*sql.Rows, error) {
	if stmt := statement(ctx, tx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return tx.QueryContext(ctx, query, args...)
}
