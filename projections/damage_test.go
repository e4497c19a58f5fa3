package projections_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// A log that cannot be read at some place stops who needs what is there, with
// the number of the event; when the disk reads again the model goes on.
func TestADamagedLogStopsWhoNeedsIt(t *testing.T) {
	var broken atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return &os.PathError{Op: "read", Path: op.Path, Err: syscall.EIO}
		}
		return nil
	}))
	open := func() *node.Node {
		n, err := node.Open(t.Context(), node.Options{Dir: "log", FS: disk, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const events = 200
	n := open()
	t.Run("fill", func(t *testing.T) { uploads(t, projectiontest.Start(t, n.ConnectionString()), events) })
	if err := n.Close(); err != nil { // everything is in tables then, and in no cache
		t.Fatal(err)
	}
	n = open()
	t.Cleanup(func() { _ = n.Close() })
	broken.Store(true)
	proxy := faultproxy.New(t, n.Addr())
	through := projectiontest.Start(t, "esdb://"+proxy.Addr()+"?tls=false&discoveryInterval=10")
	r := projectiontest.Run(t, projections.Config{Ledger: through.Ledger}, newTally("tally"))
	s := projectiontest.WaitState(t, r.Projection("tally"), projections.Stopped)
	if s.Error == nil || s.Error.Ledger != s.Ledger+1 || !errors.Is(s.Error, eventstore.ErrDamaged) || !strings.Contains(s.Error.Error(), ".sst") {
		t.Errorf("%+v, %v", s, s.Error)
	}
	if !r.Ready() {
		t.Error("a model that is stopped keeps the others waiting")
	}
	// It stays stopped while the log is away, and when that has come back.
	proxy.Down()
	away := projectiontest.WaitTrouble(t, r.Projection("tally"), true)
	if away.State != projections.Stopped || !r.Ready() {
		t.Errorf("with the log away: %+v", away)
	}
	proxy.Up()
	if back := projectiontest.WaitTrouble(t, r.Projection("tally"), false); back.State != projections.Stopped || back.Error != s.Error || !r.Ready() {
		t.Errorf("with the log there again: %+v", back)
	}
	broken.Store(false)
	if s := projectiontest.WaitState(t, r.Projection("tally"), projections.Running); s.Error != nil || s.Ledger != events {
		t.Errorf("the disk reads again: %+v", s)
	}
}
