package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"permitledger/eventstore"
)

// Left is a file of a read model as a process has left it.
type Left struct {
	Model  string
	Schema int
	Path   string
	Mark   Mark
}

// Marks reads the files of a folder of read models that were being read from,
// whatever their schema, and changes none of them. A folder that is not there
// has none. A file that cannot be read is passed over: it says nothing.
func Marks(ctx context.Context, dir string) ([]Left, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the folder of the read models: %w", err)
	}
	models := map[string]bool{}
	for _, e := range entries {
		if name, _, ok := strings.Cut(e.Name(), "."); ok {
			models[name] = true
		}
	}
	var all []Left
	for model := range models {
		numbers, err := fileNumbers(dir, model)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			left, live, err := leftIn(ctx, filePath(dir, model, n))
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && live && left.Model == model && left.Mark.Ledger > 0 {
				all = append(all, left)
			}
		}
	}
	return all, nil
}

// View runs fn over one state of the file's rows, which it cannot change.
func (l Left) View(ctx context.Context, fn func(tx *sql.Tx) error) (err error) {
	db, err := connect(l.Path, reading)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return fn(tx)
}

// Remove removes the file, so that the model is made again.
func (l Left) Remove() error { return removeFile(l.Path) }

// Place is the mark as a place in the log.
func (m Mark) Place() eventstore.Place {
	return eventstore.Place{Ledger: m.Ledger, Position: m.Position, Stream: m.Stream, Revision: m.Revision, ID: m.EventID, Clock: m.Clock}
}

// leftIn reads the runner's own table in a file. A WAL that a crash has left is
// read with it.
func leftIn(ctx context.Context, path string) (left Left, live bool, err error) {
	left.Path = path
	err = left.View(ctx, func(tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, `SELECT model, schema, live FROM projection`)
		if err := row.Scan(&left.Model, &left.Schema, &live); err != nil {
			return err
		}
		left.Mark, err = readMark(ctx, tx)
		return err
	})
	return left, live, err
}
