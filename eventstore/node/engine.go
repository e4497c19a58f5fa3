package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	db *pebble.DB
}

func openEngine(ctx context.Context, dir string, fs vfs.FS, logger *slog.Logger) (*engine, error) {
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref()
	options := func() *pebble.Options {
		return &pebble.Options{
			FS:                 fs,
			Cache:              cache,
			MemTableSize:       memTableSize,
			FormatMajorVersion: formatVersion,
			Logger:             engineLog{logger},
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	retry := time.NewTicker(lockInterval)
	defer retry.Stop()
	for {
		db, err := pebble.Open(dir, options())
		if err == nil {
			return &engine{db: db}, nil
		}
		if !isLocked(err) {
			return nil, fmt.Errorf("open the event store in %s: %w", dir, err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("open the event store in %s: another process holds it; stop that one first: %w", dir, err)
		}
	}
}

func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held by current process")
}

func (e *engine) newBatch() *batch { return &batch{b: e.db.NewBatch()} }

// commit returns when the batch is on disk. An error leaves open whether it
// is: the caller must not go on writing.
func (e *engine) commit(b *batch) error {
	defer b.b.Close()
	return b.b.Commit(pebble.Sync)
}

// iterate opens a cursor over the whole store. It pins what it reads from
// until it is closed, so it is held for one page and never while sending.
func (e *engine) iterate() (*pebble.Iterator, error) {
	return e.db.NewIter(nil)
}

func (e *engine) checkpoint(dir string) error {
	return e.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

func (e *engine) close() error { return e.db.Close() }

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
// crash is the path that is tested.
func (l engineLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.logger.Error("engine", "fatal", message)
	panic("event store engine: " + message)
}
