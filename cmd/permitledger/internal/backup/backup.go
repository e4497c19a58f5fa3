// Package backup copies a data folder so that a service can be started on the
// copy, while a service runs on it or while none does, and brings such a copy
// back. It does the same for the log of a node that runs by itself.
//
// The order is what makes it right: the log first, then what opens it. A key
// is on disk before the first event sealed with it, so every key that the
// copied log needs is in the keys that are copied after it; and whoever was
// erased in the log is erased there as well. The manifest is written last: a
// folder without one is no backup.
//
// It is no archive of personal data against erasure: see docs/operating.md
// for how long a backup may be kept. Begin reading at Take, then Restore.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// Route is where the process that holds a folder is asked for a backup of it.
const Route = "/backup"

// Request asks for a backup.
type Request struct {
	Dir string `json:"dir"` // absolute
}

// Source is what can be copied only through those who have it open. Each
// function writes a whole, consistent copy to a path where there is nothing.
type Source struct {
	Data  string // the data folder, or that of the log where there is nothing else
	Vault string // the id of the vault in it; empty for a log alone
	// Head gives a place in history that the log's copy will surely hold,
	// because the copy is made afterwards.
	Head func(context.Context) (Head, error)
	// Log copies the store of the embedded node into a new folder. Nil: the
	// log is on a server, which has backups of its own.
	Log func(dir string) error
	// Keys copies the database of the keys. Nil: the source is a log alone.
	Keys func(ctx context.Context, path string) error
	// Provider copies the file of the simulated payment provider. Nil: there
	// is none yet.
	Provider func(ctx context.Context, path string) error
}

// keysFile is the vault's database; SQLite keeps two more beside it.
const keysFile = "keys.db"

// Take copies everything into an empty folder and returns what it wrote when
// all of it is on disk. When it fails it leaves nothing; when the process is
// killed it leaves a folder that Restore refuses.
func Take(ctx context.Context, dir string, src Source, now time.Time) (m Manifest, err error) {
	if inside(dir, src.Data) {
		return m, fmt.Errorf("%s lies in the data folder itself; name a folder elsewhere, best on another disk", dir)
	}
	if err := folder.MakeEmpty(dir); err != nil {
		return m, fmt.Errorf("folder for the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("backup: %w", err), empty(dir))
		}
	}()
	m = Manifest{Version: manifestVersion, Format: folder.Format, Taken: now.UTC(), Vault: src.Vault, Log: src.Log != nil}
	if m.Head, err = src.Head(ctx); err != nil {
		return m, err
	}
	if src.Log != nil {
		if err := src.Log(filepath.Join(dir, folder.Log)); err != nil {
			return m, err
		}
	}
	if src.Keys != nil {
		if err := copyKeep(ctx, dir, src); err != nil {
			return m, err
		}
	}
	if src.Provider != nil {
		if err := src.Provider(ctx, filepath.Join(dir, folder.Provider)); err != nil {
			return m, err
		}
	}
	for _, name := range []string{folder.Tokens, folder.FormatFile} {
		if _, err := copyFile(filepath.Join(src.Data, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
	}
	if m.Files, err = seal(ctx, dir); err != nil {
		return m, err
	}
	return m, m.write(dir)
}

// copyKeep copies what lies beside the keys as it is: those files are written
// once, under another name, and renamed. What is removed meanwhile is gone.
func copyKeep(ctx context.Context, dir string, src Source) error {
	from, to := filepath.Join(src.Data, folder.Keep), filepath.Join(dir, folder.Keep)
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	if err := src.Keys(ctx, filepath.Join(to, keysFile)); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "." {
			return err
		}
		switch {
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, name), 0o700)
		case !d.Type().IsRegular() || name == "lock" || strings.HasPrefix(name, keysFile) || strings.HasPrefix(d.Name(), ".new-"):
			return nil
		}
		_, err = copyFile(path, filepath.Join(to, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// seal makes everything in the copy its owner's only, has it on disk, and
// gives the hash of each file.
func seal(ctx context.Context, dir string) (map[string]File, error) {
	files := map[string]File{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.Chmod(path, 0o700); err != nil {
				return err
			}
			return folder.SyncDir(path)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = syncAndHash(path)
		return err
	})
	return files, err
}

// inside reports whether a folder is, or lies in, another.
func inside(dir, other string) bool {
	rel, err := filepath.Rel(resolve(other), resolve(dir))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolve follows the links of what is there of a path.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolve(parent), filepath.Base(path))
	}
	return path
}

// empty removes all that a folder holds.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
