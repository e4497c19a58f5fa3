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
func Restore(ctx context.Context, from, data string) (Manifest, error) {
	m, err := readManifest(from)
	if err == nil && m.Vault == "" {
		err = fmt.Errorf("%s: %w: it holds a log alone, without keys; permitledger node restore brings it back", from, ErrOtherKind)
	}
	if err != nil {
		return m, err
	}
	return m, m.restore(ctx, from, data, "")
}

// RestoreLog does the same with the backup of a log alone. What it leaves when
// it is interrupted is refused by a node.
func RestoreLog(ctx context.Context, from, dir string) (Manifest, error) {
	m, err := readManifest(from)
	if err == nil && m.Vault != "" {
		err = fmt.Errorf("%s: %w: it holds a whole ledger with its keys; permitledger restore brings it back", from, ErrOtherKind)
	}
	if err != nil {
		return m, err
	}
	return m, m.restore(ctx, from, dir, folder.Log)
}

// restore copies what lies under a folder of the backup, "" for all of it.
func (m Manifest) restore(ctx context.Context, from, data, under string) error {
	if inside(data, from) || inside(from, data) {
		return fmt.Errorf("%s and %s lie in each other; name another folder to restore into", from, data)
	}
	if err := folder.MakeEmpty(data); err != nil {
		return fmt.Errorf("folder to restore into: %w", err)
	}
	if err := folder.BeginRestore(data); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	made := map[string]bool{data: true}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		local, err := filepath.Rel(under, filepath.FromSlash(name))
		if err != nil || !filepath.IsLocal(local) {
			return fmt.Errorf("%w: %s does not belong into a backup of a log; use another backup", ErrDamaged, name)
		}
		path := filepath.Join(data, local)
		if err := makeFolder(made, filepath.Dir(path)); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		got, err := copyFile(filepath.Join(from, filepath.FromSlash(name)), path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: %s is missing from %s; use another backup", ErrDamaged, name, from)
		case err != nil:
			return fmt.Errorf("restore: %w", err)
		case got != m.Files[name]:
			return fmt.Errorf("%w: %s in %s is not as it was when it was copied; use another backup", ErrDamaged, name, from)
		}
	}
	var err error
	if m.Log && under == "" { // a log without an event has no file to tell of it
		err = makeFolder(made, filepath.Join(data, folder.Log))
	}
	for dir := range made {
		err = errors.Join(err, folder.SyncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return folder.EndRestore(data)
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
