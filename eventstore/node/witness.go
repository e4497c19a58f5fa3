package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness remembers, beside the engine, how far the log was on disk. The
// engine cannot tell a damaged end of its write-ahead log from one that a crash
// tore off, and takes both for the latter; then events that were acknowledged
// would be missing without a word.
//
// It is written after each commit and not synced, which costs next to nothing:
// what it says is true whenever it survives, and it survives everything but the
// machine going down, after which it is merely old.
type witness struct {
	file vfs.File
}

const (
	witnessName = "END"
	witnessSize = 8 + 4
)

func openWitness(store vfs.FS, dir string) (*witness, error) {
	file, err := store.OpenReadWrite(store.PathJoin(dir, witnessName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &witness{file: file}, nil
}

// readWitness gives what is remembered, 0 if nothing.
func readWitness(store vfs.FS, dir string) (uint64, error) {
	file, err := store.Open(store.PathJoin(dir, witnessName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var b [witnessSize]byte
	if _, err := io.ReadFull(file, b[:]); err != nil {
		return 0, nil // torn by a crash of the machine
	}
	end := binary.BigEndian.Uint64(b[:])
	if checksum(end, nil) != binary.BigEndian.Uint32(b[8:]) {
		return 0, nil
	}
	return end, nil
}

// saw notes that the log is on disk up to an end.
func (w *witness) saw(end uint64) error {
	var b [witnessSize]byte
	binary.BigEndian.PutUint64(b[:], end)
	binary.BigEndian.PutUint32(b[8:], checksum(end, nil))
	_, err := w.file.WriteAt(b[:], 0)
	return err
}

// errEndLost is returned for a log that was longer.
var errEndLost = fmt.Errorf("%w: its end is lost", errCorrupt)

// contradicts tells whether the log ends before what was once on disk, and in
// which file the rest was.
func contradicts(store vfs.FS, dir string, seen, end uint64) error {
	if seen <= end {
		return nil
	}
	names, err := store.List(dir)
	if err != nil {
		return err
	}
	logs := slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	file := "no file that is still there"
	if len(logs) > 0 {
		file = slices.MaxFunc(logs, func(a, b string) int {
			return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
		})
	}
	return fmt.Errorf("%w: the log ends at position %d, but was on disk up to %d, in %s", errEndLost, end, seen, file)
}

func (w *witness) close() error {
	return errors.Join(w.file.Sync(), w.file.Close())
}
