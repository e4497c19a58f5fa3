package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"permitledger/cmd/permitledger/internal/folder"
)

// Restore copies a backup into an empty folder, and checks every byte while
// it does. It never writes over anything. Whatever interrupts it, the folder
// is then refused by serve until it has been emptied.
//
// The read models are not in a backup: the service makes them again. It also
// destroys again, before anything is served, the keys of those whom the log
// says erased.
func Restore(ctx context.Context, from, data string) (m Manifest, err error) {
	if m, err = readManifest(from); err != nil {
		return m, err
	}
	if inside(data, from) || inside(from, data) {
		return m, fmt.Errorf("%s and %s lie in each other; name another folder to restore into", from, data)
	}
	if err := folder.MakeEmpty(data); err != nil {
		return m, fmt.Errorf("folder to restore into: %w", err)
	}
	if err := folder.BeginRestore(data); err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	made := map[string]bool{data: true}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		path := filepath.Join(data, filepath.FromSlash(name))
		if err := makeFolder(made, filepath.Dir(path)); err != nil {
			return m, fmt.Errorf("restore: %w", err)
		}
		got, err := copyFile(filepath.Join(from, filepath.FromSlash(name)), path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return m, fmt.Errorf("%w: %s is missing from %s; use another backup", ErrDamaged, name, from)
		case err != nil:
			return m, fmt.Errorf("restore: %w", err)
		case got != m.Files[name]:
			return m, fmt.Errorf("%w: %s in %s is not as it was when it was copied; use another backup", ErrDamaged, name, from)
		}
	}
	if m.Log { // a log without an event has no file to tell of it
		err = makeFolder(made, filepath.Join(data, folder.Log))
	}
	for dir := range made {
		err = errors.Join(err, folder.SyncDir(dir))
	}
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	return m, folder.EndRestore(data)
}

// makeFolder makes a folder and those above it, and notes which.
func makeFolder(made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := makeFolder(made, filepath.Dir(dir)); err != nil {
		return err
	}
	made[dir] = true
	return os.Mkdir(dir, 0o700)
}
