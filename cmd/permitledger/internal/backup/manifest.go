package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// manifestFile is written last, when all it lists is on disk.
const manifestFile = "manifest.json"

// manifestVersion is the version of the manifest's own form.
const manifestVersion = 1

var (
	// ErrNoBackup is returned for a folder that is no whole backup.
	ErrNoBackup = errors.New("this is no complete backup")
	// ErrDamaged is returned when a file is not as it was when it was copied.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrOtherKind is returned for a backup of a log alone where one of a whole
	// data folder is wanted, and the other way round.
	ErrOtherKind = errors.New("this is a backup of another kind")
)

// Manifest says what a backup holds.
type Manifest struct {
	Version int             `json:"version"` // of the manifest's form
	Format  int             `json:"format"`  // of the data folder
	Taken   time.Time       `json:"taken"`   // by the machine's clock
	Head    Head            `json:"head"`    // everything up to here is in it; later events may be
	Vault   string          `json:"vault"`   // the id of the vault; empty: it is the backup of a log alone
	Log     bool            `json:"log"`     // false: the log is on a server of its own
	Files   map[string]File `json:"files"`   // by path, with slashes
}

// Head is a place in history.
type Head struct {
	Position string `json:"position"`         // in the copied log
	Number   uint64 `json:"number,omitempty"` // the ledger number, where it was known
}

// File is one file as it was copied.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all files.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

func (m Manifest) write(dir string) error {
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return folder.WriteDurably(filepath.Join(dir, manifestFile), append(content, '\n'))
}

// readManifest reads a manifest and refuses one that this program does not
// understand whole.
func readManifest(dir string) (m Manifest, err error) {
	content, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
		return m, fmt.Errorf("%s: %w: there is no such folder; name the one that was given to backup", dir, ErrNoBackup)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s: %w: it has no %s, so it was broken off or is something else; take another backup", dir, ErrNoBackup, manifestFile)
	}
	if err != nil {
		return m, fmt.Errorf("backup: %w", err)
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("%s: %w: %s cannot be read: %v; use another backup", dir, ErrDamaged, manifestFile, err)
	}
	if m.Version > manifestVersion || m.Format > folder.Format {
		return m, fmt.Errorf("%s: the backup was taken by a newer version (backup form %d, data format %d; this program knows %d and %d); restore it with that version",
			dir, m.Version, m.Format, manifestVersion, folder.Format)
	}
	for name := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return m, fmt.Errorf("%s: %w: %s names a file outside; use another backup", dir, ErrDamaged, manifestFile)
		}
	}
	if _, keys := m.Files[folder.Keep+"/"+keysFile]; keys != (m.Vault != "") || !keys && !m.Log || m.Version < 1 {
		return m, fmt.Errorf("%s: %w: %s contradicts itself over what is in it; use another backup", dir, ErrDamaged, manifestFile)
	}
	return m, nil
}
