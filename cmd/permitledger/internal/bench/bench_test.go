package bench_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/bench"
	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/eventstore/bare"
	"permitledger/eventstore/node"
)

// small is a run that only has to work.
func small(t *testing.T, only ...string) bench.Config {
	t.Helper()
	return bench.Config{Only: only, Rounds: 1, Duration: 50 * time.Millisecond, Permits: 10, Appends: 500, TempDir: short(t)}
}

// short is a temporary folder whose path leaves room for that of a socket.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left behind", e.Name())
	}
}

// given runs a node as somebody else's server.
func given(t *testing.T) (string, *bare.Client) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	c, err := bare.Connect(n.ConnectionString(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return n.ConnectionString(), c
}

// A server that is only lent is measured as a log, and is rid of the streams
// afterwards.
func TestAGivenServer(t *testing.T) {
	server, client := given(t)
	cfg := small(t)
	cfg.EventStore = server
	report, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	measured := map[string]bool{}
	for _, r := range report.Results {
		measured[r.Measure] = true
	}
	for _, l := range report.LeftOut {
		if measured[l.Measure] || l.Because == "" {
			t.Errorf("%+v was left out", l)
		}
		measured[l.Measure] = true
	}
	if len(measured) != len(bench.Names()) || len(report.LeftOut) != 5 || report.Server != "given" {
		t.Errorf("measured or left out: %v", measured)
	}
	streams := map[string]bool{}
	must(t, client.ReadAll(t.Context(), func(r eventstore.Recorded) {
		if !strings.HasPrefix(r.Stream, "$") {
			streams[r.Stream] = true
		}
	}))
	if len(streams) == 0 {
		t.Error("nothing was written")
	}
	for name := range streams {
		n, err := client.ReadStream(t.Context(), name)
		must(t, err)
		if n > 0 {
			t.Errorf("%s has %d events still", name, n)
		}
	}
	empty(t, cfg.TempDir)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is written to measure would count as events of a ledger.
func TestAServerWithALedgerIsRefused(t *testing.T) {
	server, client := given(t)
	bound := eventstore.Proposed{ID: uuid.New(), Type: ledger.TypeVaultBound, Data: []byte(`{}`)}
	_, err := client.Append(t.Context(), ledger.VaultStream, bare.NoStream, bound)
	must(t, err)
	cfg := small(t, "append")
	cfg.EventStore = server
	if _, err := bench.Run(t.Context(), cfg); !errors.Is(err, bench.ErrLedgerThere) {
		t.Errorf("it was measured: %v", err)
	}
	n := 0
	must(t, client.ReadAll(t.Context(), func(eventstore.Recorded) { n++ }))
	if n != 1 {
		t.Errorf("there are %d events now", n)
	}
}

// An interruption at any measure leaves nothing behind and reports nothing.
func TestAnInterruption(t *testing.T) {
	for _, name := range bench.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := small(t, name)
			cfg.Duration = time.Hour
			cfg.Progress = func(line string) {
				if strings.Contains(line, "round") {
					cancel()
				}
			}
			if _, err := bench.Run(ctx, cfg); !errors.Is(err, bench.ErrInterrupted) {
				t.Errorf("it ended with %v", err)
			}
			empty(t, cfg.TempDir)
		})
	}
}

func TestAnUnknownMeasureIsRefused(t *testing.T) {
	_, err := bench.Run(t.Context(), small(t, "append", "speed"))
	if !errors.Is(err, bench.ErrUnknownMeasure) || !strings.Contains(err.Error(), "account-view") {
		t.Errorf("%v", err)
	}
}

// The table has a line for each result, with the figures of the report.
func TestTheTable(t *testing.T) {
	yes, p := true, func(v float64) *float64 { return &v }
	report := bench.Report{Rounds: 5, Results: []bench.Result{
		{Measure: "append", Variant: "16 writers", Counts: "appends", OursPerSecond: 1200, ReferencePerSecond: 2000, Ratio: 0.6,
			OursP99: p(12.34), ReferenceP99: p(1.5), Difference: p(10.84), AimRatio: 0.55, AimMet: &yes},
		{Measure: "append-memory", Variant: "heap", BytesPerAppend: p(-1.4), BytesAfterTenth: 11.6e6, BytesAfterAll: 10.4e6, AimBytesPerAppend: 16, AimMet: &yes},
		{Measure: "replay-memory", Variant: "kept", BytesPerPermit: 512, AimBytesPerPermit: 600, AimMet: &yes},
	}, LeftOut: []bench.LeftOut{{Measure: "replay", Because: "of the weather"}}}
	var out bytes.Buffer
	must(t, report.Print(&out))
	lines := strings.Split(out.String(), "\n")
	for _, want := range [][]string{
		{"append 16 writers", "1200 appends/s", "2000 appends/s", "12.34 ms", "1.50 ms", "0.60", "≥ 0.55", "yes"},
		{"append-memory heap", "12 → 10 MB", "-1 bytes/append", "< 16", "yes"},
		{"replay-memory kept", "512 bytes/permit", "< 600", "yes"},
		{"left out: replay: of the weather"},
	} {
		if !slices.ContainsFunc(lines, func(line string) bool {
			return !slices.ContainsFunc(want, func(cell string) bool { return !strings.Contains(line, cell) })
		}) {
			t.Errorf("no line has %v:\n%s", want, out.String())
		}
	}
}
