package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver of the simulator's file
)

// schema is the whole of the simulator's file. Instants are microseconds
// since 1970, 0 for none.
const schema = `
CREATE TABLE IF NOT EXISTS charge (
	provider_id  TEXT PRIMARY KEY,
	reference    TEXT NOT NULL UNIQUE,
	account      TEXT NOT NULL,
	mode         TEXT NOT NULL,
	amount       INTEGER NOT NULL CHECK (amount > 0),
	created_us   INTEGER NOT NULL,
	hold_ends_us INTEGER NOT NULL,
	due_us       INTEGER NOT NULL,
	told         INTEGER NOT NULL,
	state        TEXT NOT NULL,
	settled_us   INTEGER NOT NULL,
	refunded     INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND amount),
	refunded_us  INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS charge_due ON charge (due_us) WHERE told = 0;
CREATE TABLE IF NOT EXISTS command (id TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS instruction (
	number  INTEGER PRIMARY KEY AUTOINCREMENT,
	account TEXT NOT NULL,
	word    TEXT NOT NULL
) STRICT;`

const columns = `provider_id, reference, account, mode, amount, created_us, hold_ends_us, due_us,
	told, state, settled_us, refunded, refunded_us`

// Open opens the simulator's file and makes it when there is none. The file is
// readable by its owner only.
func Open(path string) (*Simulator, error) {
	// Made here and not by SQLite, which would ask for a wider mode; its
	// write-ahead log takes the mode of the file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("payments: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("payments: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("payments: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("payments: open %s: %w; it must be the simulated provider's own file", path, err), db.Close())
	}
	return &Simulator{db: db}, nil
}

// Close closes the file. The simulator is not used afterwards.
func (s *Simulator) Close() error { return s.db.Close() }

// transact runs do in one transaction, which is on disk when transact returns
// nil.
func (s *Simulator) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// load reads one charge; ErrUnknownPayment when there is none.
func load(ctx context.Context, tx *sql.Tx, providerID string) (record, error) {
	r, err := scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM charge WHERE provider_id = ?`, providerID))
	if errors.Is(err, sql.ErrNoRows) {
		return record{}, ErrUnknownPayment
	}
	return r, err
}

// dueUpTo reads the charges whose own message is due and not acknowledged.
func dueUpTo(ctx context.Context, tx *sql.Tx, upTo time.Time) ([]record, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM charge WHERE told = 0 AND due_us <= ?
		ORDER BY due_us, provider_id`, upTo.UnixMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

// scan reads a row of columns.
func scan(row interface{ Scan(...any) error }) (record, error) {
	var r record
	var created, holdEnds, due, settled, refunded int64
	err := row.Scan(&r.providerID, &r.reference, &r.account, &r.mode, &r.amount, &created, &holdEnds, &due,
		&r.told, &r.state, &settled, &r.refunded, &refunded)
	r.createdAt, r.holdEndsAt, r.dueAt = fromMicros(created), fromMicros(holdEnds), fromMicros(due)
	r.settledAt, r.refundedAt = fromMicros(settled), fromMicros(refunded)
	return r, err
}

// insert keeps a new charge.
func insert(ctx context.Context, tx *sql.Tx, r record) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO charge (`+columns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.providerID, r.reference, r.account, r.mode, r.amount, micros(r.createdAt), micros(r.holdEndsAt), micros(r.dueAt),
		r.told, r.state, micros(r.settledAt), r.refunded, micros(r.refundedAt))
	return err
}

// update keeps what may change of a charge.
func update(ctx context.Context, tx *sql.Tx, r record) error {
	_, err := tx.ExecContext(ctx, `UPDATE charge SET hold_ends_us = ?, told = ?, state = ?, settled_us = ?, refunded = ?, refunded_us = ?
		WHERE provider_id = ?`, micros(r.holdEndsAt), r.told, r.state, micros(r.settledAt), r.refunded, micros(r.refundedAt), r.providerID)
	return err
}

// micros and fromMicros turn instants into numbers and back; 0 is the zero
// instant.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
