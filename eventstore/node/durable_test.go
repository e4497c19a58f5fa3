package node

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate holds up the syncs of the write-ahead log while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil while open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// gatedFS puts the gate before the syncs of the engine's log files.
type gatedFS struct {
	vfs.FS
	gate *gate
}

func (g gatedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(name)(g.FS.Create(name, category))
}

func (g gatedFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(to)(g.FS.ReuseForWrite(from, to, category))
}

func (g gatedFS) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") {
			return f, err
		}
		return gatedFile{f, g.gate}, nil
	}
}

type gatedFile struct {
	vfs.File
	gate *gate
}

func (f gatedFile) Sync() error {
	f.gate.pass()
	return f.File.Sync()
}

func (f gatedFile) SyncData() error {
	f.gate.pass()
	return f.File.SyncData()
}

// TestNothingIsSeenBeforeItIsOnDisk holds a write up between the moment at
// which the engine shows it and the one at which it is on disk. Nobody may see
// it, and its writer may not be answered.
func TestNothingIsSeenBeforeItIsOnDisk(t *testing.T) {
	g := &gate{}
	n := openNode(t, Options{Dir: "store", FS: gatedFS{vfs.NewMem(), g}})
	t.Cleanup(g.open)
	c := connect(t, n)
	before := mustAppend(t, c, "s", "a")
	sub := subscribeStream(t, c, "s", esdb.Start{})
	all := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	expect(t, sub, "a caught-up")
	expect(t, all, "a caught-up")

	g.close()
	answered := make(chan error, 1)
	go func() {
		_, err := c.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{}, named("b")...)
		answered <- err
	}()
	for !shownByEngine(t, n, before.CommitPosition) {
		runtime.Gosched()
	}
	for _, o := range []esdb.ReadStreamOptions{forwardsFrom(esdb.Start{}), backwardsFrom(esdb.End{})} {
		if got := readNames(t, c, "s", o, 10); got != "a" {
			t.Errorf("the stream holds %q", got)
		}
	}
	for _, o := range []esdb.ReadAllOptions{{}, {Direction: esdb.Backwards, From: esdb.End{}}} {
		if got := join(readAll(t, c, o, 10)); got != "a" {
			t.Errorf("$all holds %q", got)
		}
	}
	late := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	expect(t, late, "a caught-up")
	select {
	case err := <-answered:
		t.Errorf("answered before it was on disk: %v", err)
	default:
	}

	g.open()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	for _, s := range []*esdb.Subscription{sub, all, late} {
		expect(t, s, "b")
	}
}

// shownByEngine tells whether the engine shows a record after a position.
func shownByEngine(t *testing.T, n *Node, after uint64) bool {
	t.Helper()
	view, err := n.engine.read(everything)
	if err != nil {
		t.Fatal(err)
	}
	defer view.close()
	cursor := allCursor{next: after + 1}
	page, err := cursor.forwards(view, 1)
	if err != nil {
		t.Fatal(err)
	}
	return len(page) > 0
}
