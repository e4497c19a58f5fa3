package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	memTableSize = 16 << 20
	cacheSize    = 64 << 20

	// From this version on the write-ahead log says how far it was synced, so
	// that a flipped byte in it is told apart from the torn end of a crash.
	formatVersion = pebble.FormatTableFormatV6

	// lockWait is how long Open waits for a killed process to let go of the
	// store's lock.
	lockWait     = 10 * time.Second
	lockInterval = 50 * time.Millisecond
)

// engine is the storage under the log: an ordered map with atomic, durable
// batches. Nothing else in the package knows which one it is.
type engine struct {
	db      *pebble.DB
	room    *roomFS
	witness *witness
}

// Exists reports whether a folder holds a store, which Open would otherwise
// begin.
func Exists(dir string) (bool, error) {
	found, err := pebble.Peek(dir, vfs.Default)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for an event store in %s: %w", dir, err)
	}
	return found.Exists, nil
}

func openEngine(ctx context.Context, dir string, fs vfs.FS, logger *slog.Logger) (*engine, error) {
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref()
	options := pebble.Options{
		FS:                 fs,
		Cache:              cache,
		MemTableSize:       memTableSize,
		FormatMajorVersion: formatVersion,
		Logger:             engineLog{logger},
		// They are for keys that are removed, of which there are none, and of a
		// table that cannot be read the engine would try them again without end.
		DisableTableStats: true,
		EventListener: &pebble.EventListener{
			// Left to itself the engine would end the process. What is sound
			// can still be read, and what is not is refused where it is read.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				logger.Error("damaged file", "path", info.Path, "details", info.Details.Error())
			},
			BackgroundError: func(err error) {
				if !isFull(err) { // which has been said
					logger.Error("engine", "message", "background error: "+err.Error())
				}
			},
		},
	}
	e, err := openChecked(ctx, dir, options, logger)
	if err != nil {
		return nil, fmt.Errorf("open the event store in %s: %w", dir, whyNotOpened(err, dir, options))
	}
	return e, nil
}

// openChecked looks at the log before it opens the store for good, which would
// throw away what lies behind a damaged place.
func openChecked(ctx context.Context, dir string, options pebble.Options, logger *slog.Logger) (*engine, error) {
	seen, err := readWitness(options.FS, dir)
	if err != nil {
		return nil, err
	}
	torn, err := tornManifest(dir, options.FS)
	if err != nil {
		return nil, err
	}
	if seen > 0 || torn != "" {
		options.ReadOnly = true
		if err := check(ctx, dir, options, seen, torn != ""); err != nil {
			return nil, blame(torn, err)
		}
		options.ReadOnly = false
	}
	disk, room := options.FS, newRoomFS(options.FS, logger)
	options.FS = room
	db, err := openLocked(ctx, dir, options)
	if err != nil {
		return nil, err
	}
	if disk == vfs.Default {
		err = os.Chmod(dir, 0o700) // the log is nobody else's to read
	}
	var w *witness
	if err == nil {
		w, err = openWitness(disk, dir)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &engine{db: db, room: room, witness: w}, nil
}

// check sees that the log ends where it was seen to end and, if all of it is to
// be looked at, that nothing is missing in it.
func check(ctx context.Context, dir string, options pebble.Options, seen uint64, all bool) error {
	db, err := openLocked(ctx, dir, options)
	if err != nil {
		return err
	}
	view, err := (&engine{db: db}).read(everything)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	end, _, err := view.tail()
	if err == nil && all {
		err = checkWhole(view, end)
	}
	if err == nil {
		err = contradicts(options.FS, dir, seen, end)
	}
	view.close()
	return errors.Join(err, db.Close())
}

// openLocked opens the engine, waiting for another process to let go of it.
func openLocked(ctx context.Context, dir string, options pebble.Options) (*pebble.DB, error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	retry := time.NewTicker(lockInterval)
	defer retry.Stop()
	for {
		fresh := options // the engine fills in what it is given
		db, err := pebble.Open(dir, &fresh)
		if err == nil || !isLocked(err) {
			return db, err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds it; stop that one first: %w", err)
		}
	}
}

func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held by current process")
}

func (e *engine) newBatch() *batch { return &batch{b: e.db.NewBatch()} }

// commit returns when the batch, which makes the log end at end, is on disk.
// An error leaves open whether it is: the caller must not go on writing.
func (e *engine) commit(b *batch, end uint64) error {
	defer b.b.Close()
	if err := b.b.Commit(pebble.Sync); err != nil {
		return err
	}
	return e.witness.saw(end)
}

// iterate opens a cursor over the whole store. It pins what it reads from
// until it is closed, so it is held for one page and never while sending.
func (e *engine) iterate() (*pebble.Iterator, error) {
	return e.db.NewIter(nil)
}

func (e *engine) checkpoint(dir string) error {
	return e.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// flushTime is how long closing waits for the tables to be written. Pebble
// tries for ever, and on a full disk that is what it would take.
const flushTime = 10 * time.Second

// close leaves everything in tables where it can, so that the next start has
// no log to replay. Where it cannot nothing is lost: what was acknowledged is
// in the log already.
func (e *engine) close() error {
	close(e.room.ending)
	flushed, err := e.db.AsyncFlush()
	if err == nil {
		late := time.NewTimer(flushTime)
		defer late.Stop()
		select {
		case <-flushed:
		case <-late.C:
			err = errors.New("the tables could not be written in time; the next start makes up for it")
		}
	}
	return errors.Join(err, e.db.Close(), e.witness.close())
}

// batch collects the records of one commit.
type batch struct {
	b     *pebble.Batch
	count int
	bytes int
}

// add puts a record under its position and into its stream's index.
func (b *batch) add(r *record) error {
	size := r.encodedSize()
	op := b.b.SetDeferred(9, size)
	copy(op.Key, allKey(r.position))
	r.encode(op.Value)
	if err := op.Finish(); err != nil {
		return err
	}
	key := streamKey(r.stream, r.revision)
	op = b.b.SetDeferred(len(key), entrySize)
	copy(op.Key, key)
	entry{revision: r.revision, position: r.position, id: r.id}.encode(op.Value)
	b.count++
	b.bytes += size
	return op.Finish()
}

// engineLog hands the engine's messages to slog.
type engineLog struct{ logger *slog.Logger }

func (l engineLog) Infof(format string, args ...any) {
	if l.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.logger.Debug("engine", "message", fmt.Sprintf(format, args...))
	}
}

func (l engineLog) Errorf(format string, args ...any) {
	l.logger.Error("engine", "message", fmt.Sprintf(format, args...))
}

// Fatalf must not return: the engine calls it when it can no longer tell what
// is on disk. Ending the process is what a crash would do, and recovery from a
// crash is the path that is tested. Where the disk is full, what to do is the
// last that is said, and where in the program that was found is not.
func (l engineLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	full := strings.Contains(message, syscall.ENOSPC.Error())
	if full {
		message += "; free some space there and start again: whatever was acknowledged is safe"
	}
	l.logger.Error("engine", "fatal", message)
	if full {
		fmt.Fprintln(os.Stderr, "event store engine:", message)
		os.Exit(1)
	}
	panic("event store engine: " + message)
}
