package streams_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
	"permitledger/projections/streams"
)

func startLog(t *testing.T) *projectiontest.Log {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return projectiontest.Start(t, n.ConnectionString())
}

// stored reads a stream from the log, but for what the copy does not keep.
func stored(t *testing.T, log *projectiontest.Log, stream string) (events []eventstore.Recorded) {
	t.Helper()
	for r, err := range log.Store().Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		r.Created, r.JSON = time.Time{}, false
		events = append(events, r)
	}
	return events
}

// Every stream of the kinds that are kept is what the log has, to the byte:
// also what nobody can decode. The others are not there.
func TestTheCopyIsWhatTheLogHolds(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 1)
	running := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, streams.New())
	for range 60 {
		town.Step()
	}
	log.Garbage(t, "permit-garbage", "Applied")
	log.AppendRaw(t, "notice-bare", eventstore.Proposed{ID: uuid.New(), Type: "Of No Known Type", Data: []byte("{}")})
	last := log.Append(t, ledger.DemoStream, "", time.Time{}, ledger.ClockMoved{})
	running.Wait(t, last.Position)

	copied := streams.NewReader(running.Projection(streams.Name))
	names := map[string]bool{}
	for r, err := range log.Store().ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		names[r.Stream] = true
	}
	kept := 0
	for name := range names {
		got, reached, err := copied.Stream(t.Context(), name)
		if err != nil || reached != last.Position {
			t.Fatalf("%s: up to %d, want %d (%v)", name, reached, last.Position, err)
		}
		want := stored(t, log, name)
		if !slices.ContainsFunc(streams.New().Follows(), func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			want = nil
		} else {
			kept++
		}
		for i := range got {
			if len(got[i].Metadata) == 0 {
				got[i].Metadata = want[i].Metadata // empty or nil is the same
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if kept < 10 {
		t.Errorf("only %d streams are kept", kept)
	}
	if got, _, err := copied.Stream(t.Context(), "permit-none"); err != nil || got != nil {
		t.Errorf("a stream that is not there: %v, %v", got, err)
	}
}

// A copy that was never at the end of the log answers nothing: half of a
// history is a wrong one.
func TestACopyThatIsNotWholeAnswersNothing(t *testing.T) {
	log := startLog(t)
	log.Append(t, account.Stream("ann"), "ann", time.Time{}, account.AccountOpened{})
	dir := t.TempDir()
	projectiontest.CutOnce(t, log.Ledger, dir, 1, streams.New())
	r, err := projections.Open(t.Context(), projections.Config{Dir: dir, Ledger: log.Ledger}, streams.New())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	copied := streams.NewReader(r.Projection(streams.Name))
	if _, _, err := copied.Stream(t.Context(), account.Stream("ann")); err == nil {
		t.Error("a copy that nobody brings up to date answers")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	projectiontest.WaitState(t, r.Projection(streams.Name), projections.Running)
	if events, _, err := copied.Stream(t.Context(), account.Stream("ann")); err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
