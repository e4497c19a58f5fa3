package demo_test

import (
	"maps"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/domain"
	"permitledger/domain/permit"
)

// A history that the desk wrote has nothing wrong with it, also after some of
// its people were erased, and its replay counts what the seeding counted.
func TestTheHistoryReplaysWithoutAViolation(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	sum, err := demo.Seed(t.Context(), o.config(72, 3))
	must(t, err)
	events := o.events(t)
	var clock time.Time
	for _, e := range events {
		if e.RecordedAt.After(clock) {
			clock = e.RecordedAt
		}
	}
	want := map[permit.Status]int{}
	for _, s := range o.keeper.life {
		want[s.Status(clock)]++
	}
	erased := map[domain.AccountID]bool{}
	for round := range 2 {
		r, err := replay.Run(t.Context(), o.Ledger, replay.Options{Workers: 2, TempDir: t.TempDir()})
		must(t, err)
		for _, v := range r.Violations {
			t.Errorf("round %d: %+v", round, v)
		}
		if r.Events != uint64(len(events)) || r.Streams["permit"] != uint64(sum.Permits) || !maps.Equal(r.Permits, want) {
			t.Errorf("%d events of %d permits: %v, want %v", r.Events, r.Streams["permit"], r.Permits, want)
		}
		for i, e := range events {
			if a, ok := e.Body.(permit.Applied); ok && i%3 == 0 && !erased[a.Account] {
				erased[a.Account] = true
				must(t, o.keys.Destroy(a.Account))
			}
		}
	}
	if len(erased) == 0 {
		t.Error("nobody was erased")
	}
}
