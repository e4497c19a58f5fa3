package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestSockets opens a node on a unix socket alone and on both, and looks at
// who may connect.
func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.sock")
	n := openNode(t, Options{Socket: path})
	if n.Addr() != "" || n.Socket() != path || !strings.HasPrefix(n.ConnectionString(), "esdb://localhost?tls=false") {
		t.Errorf("addresses %q %q %q", n.Addr(), n.Socket(), n.ConnectionString())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 1); got != "a" {
		t.Errorf("over the socket: %q", got)
	}
	if _, err := Open(t.Context(), Options{Socket: path}); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("a second node on the socket: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	both := openNode(t, Options{Socket: path, Listen: "127.0.0.1:0"})
	if both.Addr() == "" || strings.HasSuffix(both.Addr(), ":0") || !strings.Contains(both.ConnectionString(), both.Addr()) {
		t.Errorf("addresses %q %q", both.Addr(), both.ConnectionString())
	}
	mustAppend(t, connect(t, both), "s", "a")

	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Socket: file}); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if content, _ := os.ReadFile(file); string(content) != "x" {
		t.Error("the file is gone")
	}
}

// TestOpenFails sees a failed Open leave nothing held.
func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	busy := openNode(t, Options{})
	if _, err := Open(t.Context(), Options{Dir: dir, Listen: busy.Addr()}); err == nil {
		t.Fatal("two nodes listen on one address")
	}
	n := openNode(t, Options{Dir: dir})
	mustAppend(t, connect(t, n), "s", "a")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process holds it") {
		t.Errorf("a second node on the folder: %v", err)
	}
	registry := prometheus.NewRegistry()
	openNode(t, Options{Registerer: registry})
	if _, err := Open(t.Context(), Options{Registerer: registry}); err == nil {
		t.Error("two nodes count in the same metrics")
	}
}

// TestOpenWaits opens a store that another node still holds, and gets it as
// soon as that one lets go.
func TestOpenWaits(t *testing.T) {
	dir := t.TempDir()
	first := openNode(t, Options{Dir: dir})
	mustAppend(t, connect(t, first), "s", "a")
	opened := make(chan *Node)
	go func() {
		n, err := Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Error(err)
		}
		opened <- n
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := <-opened
	if second == nil {
		t.FailNow()
	}
	t.Cleanup(func() { _ = second.Close() })
	if got := readNames(t, connect(t, second), "s", forwardsFrom(esdb.Start{}), 1); got != "a" {
		t.Errorf("it holds %q", got)
	}
}

// TestRestart closes a node and goes on with another: positions, revisions and
// times follow on, even where the clock was set back.
func TestRestart(t *testing.T) {
	dir, at := t.TempDir(), newClock()
	var last *esdb.RecordedEvent
	for round := range 4 {
		at.advance(-time.Hour)
		n := openNode(t, Options{Dir: dir, Now: at.now})
		c := connect(t, n)
		mustAppendAt(t, c, "s", revisionBefore(round), numbered("n", round, 1)...)
		events := readAll(t, c, esdb.ReadAllOptions{}, 100)
		if len(events) != round+1 {
			t.Fatalf("round %d: %d events", round, len(events))
		}
		e := events[round].Event
		if last != nil && (e.Position.Commit <= last.Position.Commit || e.CreatedDate.Before(last.CreatedDate)) {
			t.Errorf("%v at %v follows %v at %v", e.Position, e.CreatedDate, last.Position, last.CreatedDate)
		}
		last = e
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	}
}

// TestCheckpoint copies a store amid writers and opens the copy.
func TestCheckpoint(t *testing.T) {
	n := openNode(t, Options{Dir: t.TempDir()})
	c := connect(t, n)
	j := newJournal()
	ctx, stop := context.WithCancel(timeout(t))
	var busy sync.WaitGroup
	for w := range 3 {
		busy.Go(func() { j.write(ctx, c, w) })
	}
	for range 30 {
		<-j.rung
	}
	before := j.copy()
	to := filepath.Join(t.TempDir(), "copy")
	err := n.Checkpoint(to)
	stop()
	busy.Wait()
	if err != nil {
		t.Fatal(err)
	}
	before.sent = j.sent
	copied := connect(t, openNode(t, Options{Dir: to}))
	before.verify(t, copied)
	goOn(t, copied)
	if err := n.Checkpoint(to); err == nil {
		t.Error("a copy was made over another")
	}
}

// TestCloseAmidWriters closes under load: each write is answered, and what was
// acknowledged is there afterwards.
func TestCloseAmidWriters(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	s := stub(t, n)
	acked := make(chan uint64, 1<<16)
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for {
				call, err := s.Append(t.Context())
				if err != nil {
					return
				}
				_ = call.Send(appendOptions("s", expectAny))
				_ = call.Send(rawEvent())
				resp, err := call.CloseAndRecv()
				if err != nil {
					if code := status.Code(err); code != codes.Unavailable && code != codes.Canceled {
						t.Errorf("a write at the end: %v", err)
					}
					return
				}
				acked <- resp.GetSuccess().GetCurrentRevision()
			}
		})
	}
	for range 50 {
		<-acked
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	busy.Wait()
	close(acked)
	highest := uint64(0)
	for revision := range acked {
		highest = max(highest, revision)
	}
	events, err := readStream(t, connect(t, openNode(t, Options{Dir: dir})), "s", esdb.ReadStreamOptions{}, 1<<40)
	if err != nil || uint64(len(events)) <= highest {
		t.Errorf("revision %d was acknowledged, %d events are there, %v", highest, len(events), err)
	}
}

// TestDiscovery finds the node by gossip and by several addresses, as a
// cluster's clients do.
func TestDiscovery(t *testing.T) {
	n := openNode(t, Options{})
	for _, conn := range []string{"esdb+discover://" + n.Addr(), "esdb://" + n.Addr() + "," + n.Addr()} {
		config, err := esdb.ParseConnectionString(conn + "?tls=false")
		if err != nil {
			t.Fatal(err)
		}
		config.Logger = esdb.NoopLogging()
		c, err := esdb.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, c, "s", "a")
		_ = c.Close()
	}
	conn := dial(t, n)
	info, err := gossip.NewGossipClient(conn).Read(timeout(t), &shared.Empty{})
	if err != nil || len(info.GetMembers()) != 1 {
		t.Fatal(info, err)
	}
	m := info.GetMembers()[0]
	if m.GetState() != gossip.MemberInfo_Leader || !m.GetIsAlive() || m.GetHttpEndPoint().GetAddress() != "127.0.0.1" || m.GetHttpEndPoint().GetPort() == 0 {
		t.Errorf("gossip says %v", m)
	}
}

// TestFeatures checks what clients are told they may use, and what happens to
// those who use more.
func TestFeatures(t *testing.T) {
	n := openNode(t, Options{})
	c, conn := connect(t, n), dial(t, n)
	version, err := c.GetServerVersion()
	if err != nil || version.Major != 24 || version.Minor != 10 {
		t.Errorf("version %v, %v", version, err)
	}
	methods, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(timeout(t), &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods.GetMethods() {
		if m.GetMethodName() == "batchappend" || strings.Contains(m.GetServiceName(), "projections") {
			t.Errorf("%v is advertised", m)
		}
	}
	batches := openBatches(t, streams.NewStreamsClient(conn)) // for those who do not ask
	batches.send(wholeBatch("x", "s", expectNoStream, "a"))
	if got := batches.next(); got != "x: ok 0" {
		t.Errorf("BatchAppend: %s", got)
	}
	_, err = projections.NewProjectionsClient(conn).RestartSubsystem(timeout(t), &shared.Empty{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a projection: %v", err)
	}
}

// TestMetrics looks at the figures after writes of each outcome.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	var logged bytes.Buffer
	n := openNode(t, Options{Registerer: registry, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	c := connect(t, n)
	mustAppendAt(t, c, "s", noStream, "a", "b")
	mustAppendAt(t, c, "s", noStream, "a", "b")
	_, _ = c.AppendToStream(timeout(t), "s", esdb.AppendToStreamOptions{ExpectedRevision: noStream}, named("x")...)
	prepare(t, c, "s", "tombstoned")
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"eventstore_node_writes_total append written": 1, "eventstore_node_writes_total append repeated": 2,
		"eventstore_node_writes_total append wrong-expected-revision": 1, "eventstore_node_writes_total tombstone written": 1,
		"eventstore_node_events_written_total": 3,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if logged.Len() > 0 {
		t.Errorf("a quiet node says: %s", &logged)
	}
}
