package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"google.golang.org/grpc/codes"
)

// childFault tells a node in a process of its own which operation of the disk
// fails, on which file, after how many, and how: "sync .log 40 ENOSPC".
const childFault = "NODE_TEST_CHILD_FAULT"

// childDisk is the disk of such a node.
func childDisk() vfs.FS {
	var what, file, how string
	var after int64
	if _, err := fmt.Sscan(os.Getenv(childFault), &what, &file, &after, &how); err != nil {
		return nil
	}
	var seen atomic.Int64
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		kinds := []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}
		if what == "sync" {
			kinds = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
		}
		if !slices.Contains(kinds, op.Kind) || !strings.HasSuffix(op.Path, file) || seen.Add(1) < after {
			return nil
		}
		return &os.PathError{Op: what, Path: op.Path, Err: map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}[how]}
	}))
}

// TestWriteErrors has the disk fail under writers. What was acknowledged is
// there when the node is started again on a disk that works, and of the rest
// nothing that was not sent.
func TestWriteErrors(t *testing.T) {
	_, random := chances(t, 0)
	for _, fault := range []string{"write .log %d ENOSPC", "sync .log %d EIO", "write END %d EIO", "write .log 1 ENOSPC"} {
		if strings.Contains(fault, "%") {
			fault = fmt.Sprintf(fault, 10+random.IntN(150))
		}
		t.Run(fault, func(t *testing.T) {
			dir := t.TempDir()
			j := newJournal()
			t.Setenv(childFault, fault)
			child, c := startChild(t, dir)
			ctx, stop := context.WithCancel(timeout(t))
			var busy, writing sync.WaitGroup
			for w := range 8 {
				writing.Go(func() { j.write(ctx, c, w) })
			}
			busy.Go(func() { j.watch(ctx, c) })
			wrote := make(chan struct{})
			go func() { writing.Wait(); close(wrote) }()
			for failed := false; !failed; { // each writer ends with the first that fails
				select {
				case <-j.rung:
				case <-wrote:
					failed = true
				}
			}
			stop()
			_ = child.Process.Kill() // it may have ended by itself
			_ = child.Wait()
			busy.Wait()
			_ = c.Close()
			if text := fmt.Sprint(child.Stderr); strings.Contains(fault, "ENOSPC") && !strings.Contains(text, "free some space") {
				t.Errorf("on a full disk it says\n%.2000s", text)
			} else if strings.Contains(fault, "ENOSPC") && strings.Contains(text, "goroutine ") {
				t.Errorf("on a full disk it does not end with what to do, but with where in the program it was\n%.2000s", text)
			}
			n := openNode(t, Options{Dir: dir})
			again := connect(t, n)
			j.verify(t, again)
			goOn(t, again)
			t.Logf("%d events were acknowledged", len(j.acked))
		})
	}
}

// TestReadErrors has the disk fail under readers. They are told, and which
// file it was; nothing is served in its place, and when the disk reads again so
// does the node.
func TestReadErrors(t *testing.T) {
	var broken atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return &os.PathError{Op: "read", Path: op.Path, Err: syscall.EIO}
		}
		return nil
	}))
	first, err := Open(t.Context(), Options{Dir: "store", FS: disk, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	names := numbered("e", 0, 400)
	c := connect(t, first)
	mustAppend(t, c, "s", names...)
	all := strings.Join(names, " ")
	_ = c.Close()
	if err := first.Close(); err != nil { // everything is in tables then, and in no cache
		t.Fatal(err)
	}
	n := openNode(t, Options{Dir: "store", FS: disk})
	s := stub(t, n)
	broken.Store(true)
	for name, request := range map[string]*streams.ReadReq{"the stream": readStreamRequest("s", false), "$all": readAllRequest()} {
		got, st := rawReadStatus(t, s, request)
		if !strings.HasPrefix(all, dataOf(got)) {
			t.Errorf("%s: served %.100q", name, dataOf(got))
		}
		if st.Code() != codes.DataLoss || !strings.Contains(st.Message(), syscall.EIO.Error()) || !strings.Contains(st.Message(), ".sst") {
			t.Errorf("%s: %v", name, st)
		}
	}
	broken.Store(false)
	if got, st := rawReadStatus(t, s, readStreamRequest("s", false)); dataOf(got) != all {
		t.Errorf("the disk reads again, and the stream gives %v and %d events", st, len(got))
	}
}

// TestNoRoomForTables fills the disk when tables are written. Events are still
// taken, the engine does not try again without end, and when there is room it
// goes on by itself.
func TestNoRoomForTables(t *testing.T) {
	var full atomic.Bool
	var refusals atomic.Int64
	refused := make(chan struct{}, 1000)
	n := openNode(t, Options{Dir: "store", FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !full.Load() || op.Kind != errorfs.OpFileWrite || !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		refusals.Add(1)
		refused <- struct{}{}
		return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
	}))})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	full.Store(true)
	flushed, err := n.engine.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	<-refused
	mustAppend(t, c, "s", "c")
	full.Store(false)
	<-flushed
	if n := refusals.Load(); n > 10 {
		t.Errorf("a table was tried %d times within a moment", n)
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "a b c" {
		t.Errorf("the stream holds %q", got)
	}
}

// TestATableThatCannotBeReadIsLeftAlone has a disk that reads no more of a table
// than it takes to open the log: only for who asks for more it is tried again.
func TestATableThatCannotBeReadIsLeftAlone(t *testing.T) {
	var left atomic.Int64 // reads that go well
	left.Store(1 << 20)
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileReadAt || !strings.HasSuffix(op.Path, ".sst") || left.Add(-1) >= 0 {
			return nil
		}
		return &os.PathError{Op: "read", Path: op.Path, Err: syscall.EIO}
	}))
	o := Options{Dir: "log", FS: disk, Listen: "127.0.0.1:0"}
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, n)
	for i := range 1000 {
		mustAppend(t, c, fmt.Sprint("s", i), "a")
	}
	_ = c.Close()
	if err := n.Close(); err != nil { // everything is in tables then, and in no cache
		t.Fatal(err)
	}
	n = nil
	for sound := int64(1); n == nil; sound++ {
		left.Store(sound)
		n, _ = Open(t.Context(), o)
	}
	t.Cleanup(func() { _ = n.Close() })
	s := stub(t, n)
	const asked = 100
	for range asked {
		if _, st := rawReadStatus(t, s, readAllRequest()); st.Code() != codes.DataLoss {
			t.Fatal(st)
		}
	}
	if got := -left.Load(); got > 5*asked {
		t.Errorf("asked %d times, the disk was read %d times", asked, got)
	}
}
