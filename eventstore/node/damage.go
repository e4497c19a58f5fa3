package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	manifest "github.com/cockroachdb/pebble/v2/record" // the form of the records in it
	"github.com/cockroachdb/pebble/v2/vfs"
)

// damageError is what the engine says of a file, in one line that names it.
type damageError struct {
	says string
	err  error
}

// Error names the file.
func (e *damageError) Error() string { return e.says }

// Unwrap gives that the store is damaged, and what the engine said.
func (e *damageError) Unwrap() []error { return []error{errCorrupt, e.err} }

// damage is an error that the engine met while reading.
func damage(err error) error {
	says := firstLine(err)
	var where interface{ ErrorDetail() string } // has the name where the text has not
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		says = info.Path + ": " + says
	} else if errors.As(err, &where) {
		says += ": " + where.ErrorDetail()
	}
	return &damageError{fmt.Sprintf("%v: %s", errCorrupt, says), err}
}

// firstLine is what the engine says, without its own marks and further details.
func firstLine(err error) string {
	says, _, _ := strings.Cut(err.Error(), "\n")
	return says
}

// whyNotOpened says what to do about a store that the engine does not open,
// unless that has nothing to do with what lies in its files.
func whyNotOpened(err error, dir string, options pebble.Options) error {
	number := syscall.Errno(0)
	if isLocked(err) || errors.As(err, &number) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if name, wrong := unreadableOptions(dir, options); wrong != nil {
		return fmt.Errorf("%w: %s: %v; it holds settings of the engine and no events: put it back from a backup, or remove it", errCorrupt, name, firstLine(wrong))
	}
	if !errors.Is(err, errCorrupt) {
		err = damage(err)
	}
	advice := "restore a backup"
	if errors.Is(err, errEndLost) {
		advice += ", or delete the file " + witnessName + " to go on without those events"
	}
	return fmt.Errorf("%w; nothing was changed; %s", err, advice)
}

// blame adds to what a check found that the end of the list of tables is damaged.
func blame(torn string, err error) error {
	if torn == "" || isLocked(err) {
		return err
	}
	if !errors.Is(err, errCorrupt) {
		err = damage(err)
	}
	return fmt.Errorf("%w; the end of %s is damaged", err, torn)
}

// unreadableOptions gives the file in which the engine remembers its settings,
// and what is wrong with it; the engine leaves the name out.
func unreadableOptions(dir string, options pebble.Options) (name string, wrong error) {
	store, err := pebble.Peek(dir, options.FS)
	if err != nil || store.OptionsFilename == "" {
		return "", nil
	}
	content, err := readFile(options.FS, store.OptionsFilename)
	if err != nil {
		return "", nil
	}
	options.EnsureDefaults()
	return store.OptionsFilename, options.CheckCompatibility(dir, string(content))
}

func readFile(store vfs.FS, name string) ([]byte, error) {
	f, err := store.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// tornManifest gives the engine's list of tables when its end cannot be read.
// A crash can have torn it off, which leaves the log whole. The engine takes
// damage for the same, goes on with the tables that the rest names, and removes
// the others: with them events would go, without a word.
func tornManifest(dir string, store vfs.FS) (name string, err error) {
	known, err := pebble.Peek(dir, store)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !known.Exists {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	f, err := store.Open(known.ManifestFilename)
	if err != nil {
		return "", err
	}
	defer f.Close()
	edits := manifest.NewReader(f, 0)
	for {
		edit, err := edits.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, edit)
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return known.ManifestFilename, nil
		}
	}
}

// checkWhole walks the whole log: no record may be missing between its
// beginning and its end.
func checkWhole(view *reader, end uint64) error {
	view.limit = end
	cursor := allCursor{next: firstPosition, exact: true}
	for {
		page, err := cursor.forwards(view, pageRecords)
		if err != nil || len(page) == 0 {
			return err
		}
	}
}
