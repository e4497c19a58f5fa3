package projections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// uploads writes n events to account streams and gives the place of the last.
func uploads(t testing.TB, log *projectiontest.Log, n int) (last eventstore.Position) {
	t.Helper()
	for i := range n {
		stream := fmt.Sprintf("account-%d", i%3)
		last = log.Append(t, stream, "", time.Time{}, account.DocumentUploaded{SHA256: fmt.Sprint(i)}).Position
	}
	return last
}

func TestLedgerNumbersCountTheOneFilter(t *testing.T) {
	log := startLog(t)
	last := uploads(t, log, 5)
	only := newTally("only")
	only.follows = []string{"ledger-"}
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, newTally("all"), only)
	r.Wait(t, last)
	// Live: committed as soon as nothing more waits.
	last = log.Append(t, ledger.DemoStream, "", time.Time{}, ledger.ClockMoved{}).Position
	r.Wait(t, last)

	for _, p := range r.Projections() {
		s := projectiontest.WaitState(t, p, projections.Running)
		if s.Ledger != 6 || s.Position != last || s.Behind != 0 || s.LastMessageAge < 0 {
			t.Errorf("%s: %+v", p.Name(), s)
		}
	}
	if n := count(t, r.Projection("all"), `SELECT count(*) FROM seen`); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
	// It was given one event, and that has the number that all know it by.
	if n := count(t, r.Projection("only"), `SELECT ledger FROM seen`); n != 6 {
		t.Errorf("ledger number %d, want 6", n)
	}
	if !r.Ready() || len(r.Degraded()) != 0 {
		t.Errorf("ready %v, degraded %v", r.Ready(), r.Degraded())
	}
	r.Saw(10)
	if s := r.Projection("all").Status(); s.Behind != 4 {
		t.Errorf("behind %d, want 4", s.Behind)
	}
}

// A model that is held shows what it showed, is told to be behind, and comes to
// the end of the log once it is let go; the others follow all the while.
func TestHeldModelsFollowWhenTheyAreLetGo(t *testing.T) {
	log := startLog(t)
	last := uploads(t, log, 3)
	r, err := projections.Open(t.Context(), projections.Config{Ledger: log.Ledger}, newTally("first"), newTally("later"))
	if err != nil {
		t.Fatal(err)
	}
	release := r.Hold("first")
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ran, r.Close()); err != nil {
			t.Error(err)
		}
	})
	first, later := r.Projection("first"), r.Projection("later")
	if err := first.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if s := later.Status(); r.Ready() || s.Ledger != 0 || count(t, later, `SELECT count(*) FROM seen`) != 0 {
		t.Errorf("ready %v, and the held model is %+v", r.Ready(), s)
	}
	release()
	if err := later.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := count(t, later, `SELECT count(*) FROM seen`); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestKnowledgeClockNeverFalls(t *testing.T) {
	log := startLog(t)
	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	for i, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Hour), noon} {
		log.Append(t, fmt.Sprintf("account-%d", i), "", at, account.DocumentUploaded{})
	}
	want := []time.Time{noon, noon, noon.Add(time.Hour), noon.Add(time.Hour)}
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, newTally("tally"))
	p := r.Projection("tally")
	projectiontest.WaitState(t, p, projections.Running)
	for i, w := range want {
		if got := count(t, p, `SELECT clock FROM seen WHERE ledger = ?`, i+1); got != w.UnixMicro() {
			t.Errorf("event %d: %s, want %s", i+1, time.UnixMicro(got).UTC(), w)
		}
	}
	if s := p.Status(); !s.Clock.Equal(want[3]) {
		t.Errorf("status: %s", s.Clock)
	}
}

func TestCutAnywhereAndResumedIsEqual(t *testing.T) {
	log := startLog(t)
	last := uploads(t, log, 120)
	want := projectiontest.Build(t, log.Ledger, newTally("tally"))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		dir := t.TempDir()
		for at := int64(0); at < 120; {
			step := 1 + rng.Int64N(60)
			at += step
			projectiontest.CutOnce(t, log.Ledger, dir, step, newTally("tally"))
		}
		r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
		r.Wait(t, last)
		if got := r.Dumps(t); got["tally"] != want["tally"] {
			t.Fatalf("cut and resumed:\n%s\nin one go:\n%s", got["tally"], want["tally"])
		}
		r.Stop(t)
	}
}

func TestRestartDoesNotApplyAgain(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	cfg := projections.Config{Dir: dir, Ledger: log.Ledger}
	r := projectiontest.Run(t, cfg, newTally("tally"))
	r.Wait(t, uploads(t, log, 10))
	r.Stop(t)

	reg := prometheus.NewRegistry()
	cfg.Registerer = reg
	r = projectiontest.Run(t, cfg, newTally("tally"))
	if n := count(t, r.Projection("tally"), `SELECT count(*) FROM seen`); n != 10 {
		t.Errorf("after a restart there are %d rows, want 10", n)
	}
	r.Wait(t, uploads(t, log, 2))
	projectiontest.WaitState(t, r.Projection("tally"), projections.Running)
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 12 {
		t.Errorf("applied %d events, want 12", n)
	}
	want := map[string]float64{
		"permitledger_projection_applied_events_total": 2,
		"permitledger_projection_ledger_number":        12,
		"permitledger_projection_behind_events":        0,
		"permitledger_projection_trouble":              0,
	}
	got := gather(t, reg)
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s = %v, want %v", name, g, w)
		}
	}
	if got["permitledger_projection_state running"] != 1 || got["permitledger_projection_state stopped"] != 0 {
		t.Errorf("state: %v", got)
	}
}

func gather(t testing.TB, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "state" {
					name += " " + l.GetValue()
				}
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestWaitFor(t *testing.T) {
	log := startLog(t)
	last := uploads(t, log, 1)
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, newTally("tally"))
	p := r.Projection("tally")
	if err := p.WaitFor(projectiontest.Soon(t), last); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.WaitFor(ctx, last+1); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what is not there: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- p.WaitFor(context.Background(), last+1) }()
	r.Stop(t)
	if err := <-waited; !errors.Is(err, projections.ErrClosed) {
		t.Errorf("waiting while it closes: %v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	log := startLog(t)
	dir := filepath.Join(t.TempDir(), "a ? folder # with%20signs")
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
	r.Wait(t, uploads(t, log, 1))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 2 {
		t.Errorf("only %v", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || !strings.HasPrefix(e.Name(), "tally.1.db") {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if _, err := r.Projection("tally").DB().ExecContext(t.Context(), `DELETE FROM seen`); err == nil {
		t.Error("a reader could write")
	}
}

func TestErasureLeavesTheFile(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, forgetful{newTally("tally")})
	r.Wait(t, log.Append(t, "account-a", "a", time.Time{}, account.AccountOpened{
		Personal: domain.PersonalOf(account.OpenedPersonal{Name: "Perpetua Wigglesworth"})}).Position)
	if !onDisk(t, dir, "Wigglesworth") {
		t.Fatal("the name was never there")
	}
	r.Wait(t, log.Append(t, "account-a", "", time.Time{}, account.AccountErased{Ground: "request"}).Position)
	projectiontest.WaitForgotten(t, r.Projection("tally"))
	if onDisk(t, dir, "Wigglesworth") {
		t.Error("the name is still in the files while they are in use")
	}
	r.Stop(t)
	if onDisk(t, dir, "Wigglesworth") {
		t.Error("the name is still in the files")
	}
}

func onDisk(t testing.TB, dir, text string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), text) {
			return true
		}
	}
	return false
}
