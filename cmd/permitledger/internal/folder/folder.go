// Package folder says what lies where in a data folder, in which format it
// is, and whether this program may use it. It knows nothing of what the parts
// hold.
//
// Begin reading at Check, which is what every command asks first.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Format is the format of the data folders that this program writes. It grows
// when an older program could no longer use a folder, and only then.
const Format = 1

// leastRoom is how much must be free for a service to start: two of the tables
// that the store keeps in memory.
const leastRoom = 32 << 20

// What lies in a data folder.
const (
	Log         = "log"         // the embedded node's store
	Keep        = "keep"        // what cannot be rebuilt from the log
	Projections = "projections" // the read models
	Provider    = "provider.db" // the simulated payment provider's file
	Tokens      = "tokens.json" // the hash of the admin token, without --tokens
	FormatFile  = "format"      // the number of the format
	restoring   = "RESTORING"   // there while a restore is under way
)

var (
	// ErrNewer is returned for a folder in a format that a newer version wrote.
	ErrNewer = errors.New("the data folder was written by a newer version")
	// ErrRestoring is returned for a folder into which a restore was begun and
	// not finished.
	ErrRestoring = errors.New("a restore into this folder was not finished")
	// ErrNotEmpty is returned where an empty folder is wanted.
	ErrNotEmpty = errors.New("the folder is not empty")
)

// Check tells whether this program may use a data folder. One that is not
// there or empty may be used.
func Check(data string) error {
	if err := checkRestored(data); err != nil {
		return err
	}
	format, err := formatOf(data)
	if err != nil {
		return err
	}
	if format > Format {
		return fmt.Errorf("%s: %w: it has format %d, and this program knows up to %d; run that version again, or restore a backup from before the upgrade",
			data, ErrNewer, format, Format)
	}
	return CheckSockets(data)
}

// CheckLog tells whether a node may use a folder that holds the log alone. The
// log of a ledger lies within its data folder, and is restored with it.
func CheckLog(dir string) error {
	if err := checkRestored(dir); err != nil || filepath.Base(dir) != Log {
		return err
	}
	return checkRestored(filepath.Dir(dir))
}

func checkRestored(dir string) error {
	_, err := os.Stat(filepath.Join(dir, restoring))
	if err == nil {
		return fmt.Errorf("%s: %w; empty the folder and restore again", dir, ErrRestoring)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// formatOf reads the number of the format. A folder without one is as old as
// the first format, or new.
func formatOf(data string) (int, error) {
	path := filepath.Join(data, FormatFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Format, nil
	}
	if err != nil {
		return 0, fmt.Errorf("format of the data folder: %w", err)
	}
	format, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || format < 1 {
		return 0, fmt.Errorf("%s does not hold a number; it is damaged: write the number %d into it if this version wrote the folder", path, Format)
	}
	return format, nil
}

// Prepare makes a data folder ready for the service: it is there, checked,
// and says its format.
func Prepare(data string) error {
	if err := Make(data); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := errors.Join(Check(data), CheckRoom(data)); err != nil {
		return err
	}
	path := filepath.Join(data, FormatFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := WriteDurably(path, fmt.Appendf(nil, "%d\n", Format)); err != nil {
		return fmt.Errorf("note the format of the data folder: %w", err)
	}
	return nil
}

// HasLedger reports whether a service has ever been started on the folder.
func HasLedger(data string) bool {
	_, err := os.Stat(filepath.Join(data, Keep, "keys.db"))
	return err == nil
}

// Make makes a folder that is not there yet, and those above it, for its owner
// only. Their names are on disk when it returns: what is in them is no safer.
func Make(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := Make(above); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return SyncDir(above)
}

// MakeEmpty makes a folder, and refuses one in which there is anything.
func MakeEmpty(dir string) error {
	if err := Make(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s: %w; name one that is not there yet or has nothing in it", dir, ErrNotEmpty)
	}
	return nil
}

// BeginRestore marks a folder, so that nobody uses it before EndRestore.
func BeginRestore(data string) error {
	return WriteDurably(filepath.Join(data, restoring), nil)
}

// EndRestore takes the mark away.
func EndRestore(data string) error {
	if err := os.Remove(filepath.Join(data, restoring)); err != nil {
		return err
	}
	return SyncDir(data)
}

// WriteDurably replaces a file so that a crash leaves the old one or the new
// one and never half of it. It is readable by its owner only.
func WriteDurably(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // once renamed it is not there any more
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir has the names in a folder on disk when it returns.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
