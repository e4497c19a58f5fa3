package reviews_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
	"permitledger/projections/reviews"
)

func start(t *testing.T) (*projectiontest.Town, func() reviews.Reader) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	log := projectiontest.Start(t, n.ConnectionString())
	w := projectiontest.NewTown(t, log, 1)
	running := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, reviews.New())
	return w, func() reviews.Reader {
		running.Wait(t, w.Last)
		return reviews.NewReader(running.Projection(reviews.Name))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mark is the vehicle that a permit has now.
func mark(l *projectiontest.Life) domain.VRM { return l.Permit.Vehicle.Mark }

func TestQueueIsOrderedByTheEndOfTheHold(t *testing.T) {
	w, reader := start(t)
	day := func(d, h int) time.Time { return time.Date(2026, 3, d, h, 0, 0, 0, time.UTC) }
	apply := func(at time.Time, price domain.Pence) *projectiontest.Life {
		w.Now = at
		return w.Apply(w.Open(), price, 12, false)
	}
	hold := func(l *projectiontest.Life, at time.Time) {
		w.Now = at
		must(t, w.Hold(l))
	}
	lapsed := apply(day(1, 9), 5500) // its hold ends on the 6th
	hold(lapsed, day(1, 9))
	again := apply(day(1, 10), 5500) // its hold ends on the 6th as well, and a new attempt is begun
	hold(again, day(1, 10))
	unpaid := apply(day(2, 9), 5500)
	free := apply(day(2, 10), 0) // as if held until the 7th, 10:00
	late := apply(day(2, 11), 5500)
	early := apply(day(2, 12), 5500) // applied for later, paid for earlier
	hold(early, day(3, 9))           // until the 8th
	hold(late, day(4, 9))            // until the 9th
	gone := apply(day(4, 10), 0)
	must(t, w.Do(gone, permit.Reject{Review: projectiontest.Review()}))
	w.Now = day(6, 10)
	must(t, w.Ask(again, 1, payment.ModeHold, 5500))

	now := day(6, 12)
	q := reader()
	want := []struct {
		life    *projectiontest.Life
		holds   time.Time
		ordered time.Time
		warning reviews.Warning
	}{
		{free, time.Time{}, day(7, 10), reviews.Warning24h},
		{early, day(8, 9), day(8, 9), reviews.Warning48h},
		{late, day(9, 9), day(9, 9), reviews.WarningNone},
		{lapsed, day(6, 9), day(6, 9), reviews.WarningLapsed},
		{again, day(6, 10), day(6, 10), reviews.WarningLapsed},
		{unpaid, time.Time{}, day(2, 9), reviews.WarningUnpaid},
	}
	var got []reviews.Item
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := q.Queue(t.Context(), now, cursor, 4)
		must(t, err)
		got, cursor = append(got, page...), next
	}
	if len(got) != len(want) {
		t.Fatalf("%d applications wait, want %d", len(got), len(want))
	}
	for i, w := range want {
		it := got[i]
		if it.PermitID != w.life.ID || !it.HoldEndsAt.Equal(w.holds) || !it.OrderedBy.Equal(w.ordered) || it.Warning != w.warning {
			t.Errorf("%d: hold %s, ordered by %s, warning %q (price %d); want %+v", i, it.HoldEndsAt, it.OrderedBy, it.Warning, it.Permit.Price, w)
		}
		if it.AccountID != w.life.Owner.ID || it.Permit.SubmittedAt.IsZero() || len(it.Payment.Attempts) != len(w.life.Money[1].Attempts) {
			t.Errorf("%d: %+v", i, it)
		}
	}
	// Before the holds ended the same rows stand elsewhere.
	items, _, err := q.Queue(t.Context(), day(5, 10), "", 50)
	must(t, err)
	if items[0].PermitID != lapsed.ID || items[0].Warning != reviews.Warning24h {
		t.Errorf("a day earlier the first is %+v", items[0])
	}
	if _, _, err := q.Queue(t.Context(), now, "nonsense", 4); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("a made-up cursor: %v", err)
	}
}

func TestFlagsAreAsOneLooks(t *testing.T) {
	w, reader := start(t)
	p := w.Open()
	w.Now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	first := w.Apply(p, 0, 3, false)
	must(t, w.Do(first, permit.Reject{Review: projectiontest.Review()}))
	other := w.Apply(w.Open(), 0, 3, false)
	for mark(other) != mark(first) {
		other = w.Apply(w.Open(), 0, 3, false)
	}
	must(t, w.Approve(other))
	mine := w.Apply(p, 0, 3, false)
	for mark(mine) != mark(first) {
		must(t, w.Do(mine, permit.Cancel{Rules: w.Rules}))
		mine = w.Apply(p, 0, 3, false)
	}
	flags := func(now time.Time) []reviews.Flag {
		items, _, err := reader().Queue(t.Context(), now, "", 100)
		must(t, err)
		i := slices.IndexFunc(items, func(it reviews.Item) bool { return it.PermitID == mine.ID })
		return slices.DeleteFunc(items[i].Flags, func(f reviews.Flag) bool {
			return f.PermitID != first.ID && f.PermitID != other.ID // the town's other chance draws
		})
	}
	same, earlier := reviews.Flag{Flag: reviews.FlagSameVehicle, PermitID: other.ID}, reviews.Flag{Flag: reviews.FlagEarlierRejection, PermitID: first.ID}
	if got := flags(w.Now); !slices.Equal(got, []reviews.Flag{same, earlier}) {
		t.Errorf("flags %+v", got)
	}
	// The other permit has ended by June; nobody had to write that down.
	if got := flags(w.Now.AddDate(0, 3, 1)); !slices.Equal(got, []reviews.Flag{earlier}) {
		t.Errorf("later flags %+v", got)
	}
	// What is erased has no mark to compare.
	w.Erase(other.Owner)
	if got := flags(w.Now); !slices.Equal(got, []reviews.Flag{earlier}) {
		t.Errorf("flags after an erasure %+v", got)
	}
}
