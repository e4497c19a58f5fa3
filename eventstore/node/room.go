package node

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// roomWait is how long a table that did not fit is not tried again.
	roomWait = time.Second
	// roomSaid is how often it is said that a disk is full.
	roomSaid = time.Minute
)

// roomFS holds back whoever writes tables to a full disk. The engine tries a
// table that did not fit again at once, and again, thousands of times a second.
// Nothing waits for the table: while there is still room in the write-ahead log
// events are written, after that they wait, and once somebody has made room
// everything goes on by itself.
type roomFS struct {
	vfs.FS
	logger *slog.Logger
	ending chan struct{} // closed when nobody is to be held back any more

	mu   sync.Mutex
	said time.Time // guarded by mu
}

func newRoomFS(disk vfs.FS, logger *slog.Logger) *roomFS {
	return &roomFS{FS: disk, logger: logger, ending: make(chan struct{})}
}

// Create makes a file whose writer is held back.
func (r *roomFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, category)
	if !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	if err != nil {
		return f, r.hold(err)
	}
	return roomFile{f, r}, nil
}

// roomFile is a table that is being written.
type roomFile struct {
	vfs.File
	disk *roomFS
}

func (f roomFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.disk.hold(err)
}

func (f roomFile) Sync() error { return f.disk.hold(f.File.Sync()) }

func (f roomFile) SyncData() error { return f.disk.hold(f.File.SyncData()) }

// hold returns an error, and if it is for lack of room not at once.
func (r *roomFS) hold(err error) error {
	if !isFull(err) {
		return err
	}
	r.mu.Lock()
	silent := time.Since(r.said) < roomSaid
	if !silent {
		r.said = time.Now()
	}
	r.mu.Unlock()
	if !silent {
		r.logger.Error("the disk is full: free some space there, and the event store goes on by itself", "error", err)
	}
	wait := time.NewTimer(roomWait)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-r.ending:
	}
	return err
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
