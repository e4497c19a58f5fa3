package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"permitledger/projections"
)

// inBatch is how many events one transaction takes, as in a rebuild.
const inBatch = 1000

// rebuilds makes each read model again, beside the same rows written to an
// empty file by prepared statements: every write that the fold sends, in the
// same batches, without reading the log, decoding, folding or looking up.
func rebuilds(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.seeded(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := b.folder("rows")
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for _, m := range l.Models() {
		b.Progress("rebuild: noting the writes of " + m.Name())
		w, err := noteWrites(ctx, l, m, dir)
		if err != nil {
			return nil, fmt.Errorf("read model %s: %w", m.Name(), err)
		}
		pairs = append(pairs, pair{variant: m.Name(), counts: "events",
			ours:   func(ctx context.Context) (run, error) { return l.rebuild(ctx, m.Name()) },
			beside: func(ctx context.Context) (run, error) { return w.again(ctx, filepath.Join(dir, m.Name()+".db")) },
		})
	}
	return pairs, nil
}

// rebuild makes a read model again beside the live one, as an operator would.
func (l *ledgerSide) rebuild(ctx context.Context, model string) (run, error) {
	began := time.Now()
	r, err := l.Runner.Projection(model).Rebuild()
	if err != nil {
		return run{}, err
	}
	select {
	case <-r.Done():
	case <-ctx.Done():
		return run{}, context.Cause(ctx)
	}
	_, err, _ = r.Outcome()
	return run{count: l.events, elapsed: time.Since(began)}, err
}

// writes is what a read model writes while it is made from the log.
type writes struct {
	model  projections.Model
	events int
	sent   []sent
	ends   []int // of each batch, as an index in sent
}

// sent is a statement with its arguments.
type sent struct {
	query string
	args  []any
}

// noteWrites folds the log into a file as the runner would, and notes what is
// written.
func noteWrites(ctx context.Context, l *ledgerSide, m projections.Model, dir string) (*writes, error) {
	w := &writes{model: m}
	path := filepath.Join(dir, m.Name()+".noted.db")
	if err := w.tables(ctx, path); err != nil {
		return nil, err
	}
	plain, err := openRows(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = plain.Close() }()
	db := sql.OpenDB(noting{plain.Driver(), rowsName(path), w})
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	var clock time.Time
	for r, err := range l.Ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return nil, err
		}
		e, err := l.Ledger.Codec().Decode(r)
		if err != nil {
			return nil, err
		}
		w.events++
		if e.RecordedAt.After(clock) {
			clock = e.RecordedAt
		}
		if slices.ContainsFunc(m.Follows(), func(prefix string) bool { return strings.HasPrefix(r.Stream, prefix) }) {
			if err := m.Apply(ctx, tx, projections.Event{Event: e, Ledger: uint64(w.events), Clock: clock}); err != nil {
				return nil, err
			}
		}
		if w.events%inBatch == 0 {
			w.ends = append(w.ends, len(w.sent))
		}
	}
	w.ends = append(w.ends, len(w.sent))
	return w, nil
}

// again writes it all once more, into a new file.
func (w *writes) again(ctx context.Context, path string) (_ run, err error) {
	began := time.Now()
	if err := w.tables(ctx, path); err != nil {
		return run{}, err
	}
	db, err := openRows(path)
	if err != nil {
		return run{}, err
	}
	db.SetMaxOpenConns(1) // transactions are begun and ended by statements of their own
	defer func() { err = errors.Join(err, db.Close(), removeRows(path)) }()
	prepared := map[string]*sql.Stmt{}
	exec := func(query string, args ...any) error {
		stmt := prepared[query]
		if stmt == nil {
			if stmt, err = db.Prepare(query); err != nil {
				return err
			}
			prepared[query] = stmt
		}
		_, err := stmt.Exec(args...)
		return err
	}
	from := 0
	for _, end := range w.ends {
		if err := ctx.Err(); err != nil {
			return run{}, err
		}
		if err := exec("BEGIN IMMEDIATE"); err != nil {
			return run{}, err
		}
		for _, s := range w.sent[from:end] {
			if err := exec(s.query, s.args...); err != nil {
				return run{}, err
			}
		}
		if err := exec("COMMIT"); err != nil {
			return run{}, err
		}
		from = end
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)") // so does a rebuild, before the file goes live
	return run{count: w.events, elapsed: time.Since(began)}, err
}
