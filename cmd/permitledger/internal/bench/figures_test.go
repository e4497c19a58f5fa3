package bench

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{3, 1}, 2},
		{[]float64{5, 1, 3}, 3},
		{[]float64{1, 100, 2, 3, 4}, 3},
		{[]float64{4, 3, 2, 1}, 2.5},
	} {
		before := append([]float64(nil), tc.values...)
		if got := median(tc.values); got != tc.want {
			t.Errorf("median of %v: %v, want %v", tc.values, got, tc.want)
		}
		if !cmp.Equal(before, tc.values) {
			t.Errorf("%v became %v", before, tc.values)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i + 1)
	}
	for _, tc := range []struct {
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{hundred, 99, 99},
		{hundred, 50, 50},
		{hundred, 100, 100},
		{hundred, 0, 1},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{[]time.Duration{1, 2, 3}, 99, 3},
		{nil, 99, 0},
	} {
		if got := percentile(tc.values, tc.p); got != tc.want {
			t.Errorf("p%v of %d values: %d, want %d", tc.p, len(tc.values), got, tc.want)
		}
	}
}

// Each figure is the median over the rounds, and a ratio that of the rounds'
// own ratios: what slowed a whole round down slowed both of its sides.
func TestResult(t *testing.T) {
	second := func(n int, latencies ...time.Duration) run {
		return run{count: n, elapsed: time.Second, latencies: latencies}
	}
	ms := func(n int) []time.Duration { return []time.Duration{time.Duration(n) * time.Millisecond} }
	pair := pair{variant: "v", counts: "things", beside: side(nil), aim: aim{ratio: 0.5}}
	got := taken{pair: pair,
		ours:   []run{second(100, ms(10)...), second(10, ms(30)...), second(90, ms(20)...)},
		beside: []run{second(200, ms(4)...), second(20, ms(8)...), second(100, ms(6)...)},
	}.result("m")
	met, p := true, func(v float64) *float64 { return &v }
	want := Result{Measure: "m", Variant: "v", Counts: "things", OursPerSecond: 90, ReferencePerSecond: 100, Ratio: 0.5, AimRatio: 0.5,
		OursP50: p(20), OursP99: p(20), ReferenceP50: p(6), ReferenceP99: p(6), Difference: p(14), AimMet: &met,
		OursByRound: []float64{100, 10, 90}, ReferenceByRound: []float64{200, 20, 100}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAims(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	for _, tc := range []struct {
		of   Result
		aim  aim
		want string
	}{
		{Result{Ratio: 0.9}, aim{ratio: 0.9}, "yes"},
		{Result{Ratio: 0.89}, aim{ratio: 0.9}, "no"},
		{Result{OursP99: p(5)}, aim{p99: 5 * time.Millisecond}, "yes"},
		{Result{OursP99: p(5.1)}, aim{p99: 5 * time.Millisecond}, "no"},
		{Result{Difference: p(-1)}, aim{difference: 5 * time.Millisecond}, "yes"},
		{Result{Difference: p(5.1)}, aim{difference: 5 * time.Millisecond}, "no"},
		{Result{BytesPerPermit: 599}, aim{bytes: 600}, "yes"},
		{Result{BytesPerPermit: 600}, aim{bytes: 600}, "no"},
		{Result{BytesPerAppend: p(15.9)}, aim{bytes: 16}, "yes"},
		{Result{BytesPerAppend: p(16)}, aim{bytes: 16}, "no"},
		{Result{Ratio: 0.1}, aim{}, "–"},
	} {
		tc.of.judge(tc.aim)
		cells := tc.of.cells()
		if got := cells[len(cells)-1]; got != tc.want {
			t.Errorf("%s: met: %s, want %s", strings.Join(cells, " | "), got, tc.want)
		}
	}
}

func TestTheTotalIsThatOfEachRound(t *testing.T) {
	one := taken{pair: pair{counts: "events"}, ours: []run{{count: 10, elapsed: time.Second}}, beside: []run{{count: 10, elapsed: time.Second / 2}}}
	two := taken{pair: pair{counts: "events"}, ours: []run{{count: 10, elapsed: 3 * time.Second}}, beside: []run{{count: 10, elapsed: time.Second / 2}}}
	got := sum("all", aim{ratio: 0.8}, []taken{one, two}).result("m")
	if got.OursPerSecond != 5 || got.ReferencePerSecond != 20 || got.Ratio != 0.25 || *got.AimMet {
		t.Errorf("the total is %+v", got)
	}
	if one.ours[0].count != 10 {
		t.Error("a part was changed by summing")
	}
}

// A latency counts from the instant at which the request should have been
// sent: who had to wait behind a stall has waited.
func TestAStallShowsInAllThatWaitedForIt(t *testing.T) {
	gate := make(chan struct{})
	began := time.Now()
	r, err := steadily(t.Context(), 1000, 20*time.Millisecond, func(_ context.Context, n int) error {
		if n == 19 {
			close(gate)
		}
		<-gate
		return nil
	})
	took := time.Since(began)
	if err != nil || r.count != 20 || len(r.latencies) != 20 {
		t.Fatalf("%+v, %v", r, err)
	}
	for n, l := range r.latencies {
		if least := time.Duration(19-n) * time.Millisecond; l < least || l > took {
			t.Errorf("the %d-th waited %s, at least %s were to be told", n, l, least)
		}
	}
}
