package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

func TestWhatWasAppendedIsRead(t *testing.T) {
	_, s := fresh(t)
	batch := proposed(3)
	done, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), batch)
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, s.Read(t.Context(), "permit-1", 0))
	if len(got) != 3 || done.Revision != 2 || done.Position != got[2].Position || done.Position == 0 {
		t.Fatalf("appended %+v, read %d", done, len(got))
	}
	for i, r := range got {
		p := batch[i]
		if r.ID != p.ID || r.Type != p.Type || string(r.Data) != string(p.Data) || string(r.Metadata) != string(p.Metadata) {
			t.Errorf("event %d: %+v, want %+v", i, r, p)
		}
		if r.Stream != "permit-1" || r.Revision != uint64(i) || time.Since(r.Created).Abs() > time.Hour {
			t.Errorf("event %d: %+v", i, r)
		}
		if i > 0 && r.Position <= got[i-1].Position {
			t.Errorf("positions %d, %d", got[i-1].Position, r.Position)
		}
	}
	if tail := collect(t, s.Read(t.Context(), "permit-1", 2)); len(tail) != 1 || tail[0].ID != batch[2].ID {
		t.Errorf("from revision 2: %v", tail)
	}
	for name, seq := range map[string]sequence{
		"beyond the end": s.Read(t.Context(), "permit-1", 3),
		"no such stream": s.Read(t.Context(), "permit-2", 0),
	} {
		if got := collect(t, seq); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAReadCanBeLeftAndBegunAgain(t *testing.T) {
	_, s := fresh(t)
	batch := proposed(600) // more than is read ahead
	if _, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), batch); err != nil {
		t.Fatal(err)
	}
	seq := s.Read(t.Context(), "permit-1", 0)
	for range 2 {
		for r, err := range seq {
			if err != nil || r.Revision > 3 {
				t.Fatal(r.Revision, err)
			}
			if r.Revision == 3 {
				break
			}
		}
	}
	if got := collect(t, seq); len(got) != 600 {
		t.Errorf("%d events", len(got))
	}
}

func TestAConflictTellsTheActualRevision(t *testing.T) {
	_, s := fresh(t)
	appendOne(t, s, "permit-1", eventstore.NoStream())
	appendOne(t, s, "permit-1", eventstore.At(0))
	for _, c := range []struct {
		stream   string
		expected eventstore.Expected
		actual   int64
	}{
		{"permit-1", eventstore.NoStream(), 1},
		{"permit-1", eventstore.Expected{}, 1}, // the zero value checks, too
		{"permit-1", eventstore.At(0), 1},
		{"permit-1", eventstore.At(7), 1},
		{"permit-2", eventstore.At(0), -1},
	} {
		_, err := s.Append(t.Context(), c.stream, c.expected, proposed(2))
		conflict, ok := errors.AsType[*eventstore.ConflictError](err)
		if !ok || !errors.Is(err, eventstore.ErrConflict) || conflict.Actual != c.actual || conflict.Expected != c.expected {
			t.Errorf("%s at %s: %v", c.stream, c.expected, err)
		}
	}
	if n := len(collect(t, s.ReadAll(t.Context(), 0))); n != 2 {
		t.Errorf("%d events after conflicts", n)
	}
}

func TestWhatIsNotAppended(t *testing.T) {
	_, s := fresh(t)
	large := proposed(1)
	large[0].Data = []byte(`"` + strings.Repeat("x", eventstore.MaxEventSize) + `"`)
	for _, c := range []struct {
		name, stream string
		batch        []eventstore.Proposed
		want         error
	}{
		{"too large", "permit-1", large, eventstore.ErrTooLarge},
		{"another's stream", "orders-1", proposed(1), eventstore.ErrNotLedgerStream},
		{"a metadata stream", "$$permit-1", proposed(1), eventstore.ErrNotLedgerStream},
		{"nothing", "permit-1", nil, nil},
	} {
		_, err := s.Append(t.Context(), c.stream, eventstore.NoStream(), c.batch)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if n := len(collect(t, s.ReadAll(t.Context(), 0))); n != 0 {
		t.Errorf("%d events written", n)
	}
}

func TestOneFilter(t *testing.T) {
	n, s := fresh(t)
	other := foreign(t, n)
	if head, err := s.Head(t.Context()); err != nil || head != 0 {
		t.Fatalf("head of an empty log: %d, %v", head, err)
	}
	var want []eventstore.Position
	for i, prefix := range eventstore.LedgerPrefixes() {
		write(t, other, "orders-1")
		write(t, other, strings.TrimSuffix(prefix, "-")) // without the dash it is another's
		want = append(want, appendOne(t, s, fmt.Sprintf("%s%d", prefix, i), eventstore.NoStream()).Position)
	}
	write(t, other, "$stats-1")
	check := func(after eventstore.Position, want []eventstore.Position) {
		t.Helper()
		var got []eventstore.Position
		for _, r := range collect(t, s.ReadAll(t.Context(), after)) {
			got = append(got, r.Position)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	check(0, want)
	check(want[3], want[4:])
	check(want[len(want)-1], nil)
	if head, err := s.Head(t.Context()); err != nil || head != want[len(want)-1] {
		t.Errorf("head %d, %v; want %d", head, err, want[len(want)-1])
	}
}

// Random appends against a model of what the log must then hold.
func TestAppendsAgainstAModel(t *testing.T) {
	_, s := fresh(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		run := uuid.NewString()
		from, err := s.Head(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		streams := map[string]int64{}
		var log []uuid.UUID
		for range rapid.IntRange(1, 12).Draw(rt, "appends") {
			stream := "permit-" + run + rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "stream")
			at, ok := streams[stream]
			if !ok {
				at = -1
			}
			expect := rapid.Int64Range(-1, 4).Draw(rt, "expected")
			batch := proposed(rapid.IntRange(1, 3).Draw(rt, "events"))
			done, err := s.Append(ctx, stream, eventstore.After(expect), batch)
			if expect != at {
				if c, ok := errors.AsType[*eventstore.ConflictError](err); !ok || c.Actual != at {
					rt.Fatalf("at %d, expected %d: %v", at, expect, err)
				}
				continue
			}
			if err != nil || done.Revision != uint64(at)+uint64(len(batch)) {
				rt.Fatalf("at %d: %+v, %v", at, done, err)
			}
			streams[stream] = at + int64(len(batch))
			for _, p := range batch {
				log = append(log, p.ID)
			}
		}
		var got []uuid.UUID
		for r, err := range s.ReadAll(ctx, from) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if !slices.Equal(got, log) {
			rt.Fatalf("the log holds %v, want %v", got, log)
		}
	})
}

func TestOverAUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n.sock")
	n, err := node.Open(t.Context(), node.Options{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, err := eventstore.Connect(eventstore.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	appendOne(t, s, "permit-1", eventstore.NoStream())
}

func TestConnectRefusesAWrongConfiguration(t *testing.T) {
	for _, raw := range []string{"", "http://localhost", "esdb://", "esdb://host:port:x"} {
		if _, err := eventstore.Connect(eventstore.Config{ConnectionString: raw}); err == nil {
			t.Errorf("%q was taken", raw)
		}
	}
}

func TestAppendsAreCountedByOutcome(t *testing.T) {
	n := start(t)
	reg := prometheus.NewPedanticRegistry()
	s := connect(t, n.Addr(), func(c *eventstore.Config) { c.Registerer = reg })
	appendOne(t, s, "permit-1", eventstore.NoStream())
	_, _ = s.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
	got := outcomes(t, reg)
	for outcome, want := range map[string]float64{"done": 1, "conflict": 1, "failed": 0, "unknown-resent": 0} {
		if n, ok := got[outcome]; !ok || n != want {
			t.Errorf("%s: %v, want %v", outcome, got[outcome], want)
		}
	}
	if _, err := eventstore.Connect(eventstore.Config{ConnectionString: n.ConnectionString(), Registerer: reg}); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

func TestPositions(t *testing.T) {
	for _, p := range []eventstore.Position{0, 1, 1 << 62} {
		if got, err := eventstore.ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%d: %d, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "-1", "+1", "01", " 1", "1.0", "18446744073709551615", "x"} {
		if _, err := eventstore.ParsePosition(s); err == nil {
			t.Errorf("%q was taken for a position", s)
		}
	}
}
