//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/eventstore"
)

// The disk fills up amid writers: the service says so, and once there is room
// again it starts and has all that it had acknowledged.
func TestAFullDiskLosesNothing(t *testing.T) {
	dir := smallDisk(t, "96m")
	data := filepath.Join(dir, "data")
	r := launch(t, serveArgs(t, data)...)
	l := startLoad(t, r, 16)
	l.mayRefuse(true)
	l.reach(100)
	fill(t, filepath.Join(dir, "fill"))
	all := l.finish()
	r.kill()
	if said := r.said(); !strings.Contains(said, "no space left on device") && !strings.Contains(said, "disk is full") {
		t.Errorf("the log does not say that the disk is full:\n%s", said)
	}
	t.Logf("%d commands were acknowledged, then it said:\n%.1500s", len(all), r.said())

	out := refused(t, serveArgs(t, data)...)
	if !strings.Contains(out, "Free some space") {
		t.Errorf("a start on a full disk does not say what to do:\n%s", out)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	allThere(t, launch(t, serveArgs(t, data)...).address, all)
}

// smallDisk is a folder on a file system of its own that is soon full.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := place(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=700"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// The same of a node alone: its clients lose nothing either.
func TestAFullDiskUnderANodeAlone(t *testing.T) {
	dir := smallDisk(t, "128m")
	args := []string{"node", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "log"), "--log-level", "error"}
	n := launch(t, args...)
	var written sync.WaitGroup
	full := make(chan struct{})
	acknowledged := make([][]uuid.UUID, 8)
	writing := storeOf(t, n.address, 2*time.Second)
	for w := range acknowledged {
		written.Go(func() {
			for expected := eventstore.NoStream(); ; {
				batch := bulky(20)
				done, err := writing.Append(t.Context(), fmt.Sprintf("permit-%d", w), expected, batch)
				if err != nil {
					return // the node has ended
				}
				for _, p := range batch {
					acknowledged[w] = append(acknowledged[w], p.ID)
				}
				expected = eventstore.At(done.Revision)
				if len(acknowledged[w]) == 200 && w == 0 {
					close(full)
				}
			}
		})
	}
	<-full
	fill(t, filepath.Join(dir, "fill"))
	written.Wait()
	makeRoom := func() {
		if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-n.silent: // the log itself had no room
		t.Log("it ended")
		contains(t, n.said(), "no space left on device", "free some space there and start again")
		contains(t, refused(t, args...), "no space left on device", "Free some space")
		makeRoom()
		n = launch(t, args...)
	default: // only tables had none: it waits
		t.Log("it waits")
		contains(t, n.said(), "no space left on device", "free some space there, and the event store goes on by itself")
		makeRoom()
	}
	store := storeOf(t, n.address, howLong)
	if _, err := store.Append(t.Context(), "permit-more", eventstore.NoStream(), bulky(1)); err != nil {
		t.Errorf("there is room, and nothing can be written: %v", err)
	}
	for w, want := range acknowledged {
		var got []uuid.UUID
		for r, err := range store.Read(t.Context(), fmt.Sprintf("permit-%d", w), 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Errorf("writer %d: %d events are there of %d that were acknowledged", w, len(got), len(want))
		}
	}
}

func storeOf(t *testing.T, connection string, bound time.Duration) *eventstore.Store {
	t.Helper()
	s, err := eventstore.Connect(eventstore.Config{ConnectionString: connection, TryTimeout: time.Second, Bound: bound})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// bulky is a batch that soon fills a disk.
func bulky(n int) []eventstore.Proposed {
	batch := make([]eventstore.Proposed, n)
	for i := range batch {
		batch[i] = eventstore.Proposed{ID: uuid.New(), Type: "Test", Data: fmt.Appendf(nil, `{"words":"%0*d"}`, 2000, i), Metadata: []byte(`{}`)}
	}
	return batch
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}
