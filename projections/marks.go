package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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

// leftIn reads the runner's own table in a file, over a connection that cannot
// write rows. A WAL that a crash has left is read with it.
func leftIn(ctx context.Context, path string) (left Left, live bool, err error) {
	db, err := connect(path, reading)
	if err != nil {
		return Left{}, false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	left.Path = path
	row := db.QueryRowContext(ctx, `SELECT model, schema, live FROM projection`)
	if err := row.Scan(&left.Model, &left.Schema, &live); err != nil {
		return Left{}, false, err
	}
	left.Mark, err = readMark(ctx, db)
	return left, live, err
}
