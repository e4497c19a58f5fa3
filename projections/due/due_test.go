package due_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/due"
	"permitledger/projections/projectiontest"
)

// place is a town with a running model of what falls due there.
type place struct {
	*projectiontest.Town
	running *projectiontest.Running
	due     due.Reader
}

func start(t *testing.T, seed uint64) *place {
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
	w := &place{Town: projectiontest.NewTown(t, log, seed)}
	w.running = projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, due.New())
	w.due = due.NewReader(w.running.Projection(due.Name))
	return w
}

// want compares what falls due to a permit, written as "kind[/term] instant".
func (w *place) want(t *testing.T, l *projectiontest.Life, want ...string) []due.Item {
	t.Helper()
	w.running.Wait(t, w.Last)
	items, err := w.due.ForPermit(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		s := string(it.Kind)
		if it.Term != 0 {
			s += fmt.Sprint("/", it.Term)
		}
		got = append(got, s+" "+it.DueAt.Format("2006-01-02T15:04:05Z"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("at %s due are %q, want %q", w.Now, got, want)
	}
	return items
}

func (w *place) at(s string) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	w.Now = at
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMoneyOfAnApplication(t *testing.T) {
	w := start(t, 1)
	p := w.Open()
	w.at("2026-04-02T16:00:00Z") // Thursday before Easter, 17:00 in London
	l := w.Apply(p, 5500, 12, false)
	w.want(t, l, "unpaid 2026-04-02T18:00:00Z")
	must(t, w.Ask(l, 1, payment.ModeHold, 5500))
	must(t, w.Hear(l, 1, payment.Message{Kind: payment.Failed, Code: "declined"}))
	w.want(t, l, "unpaid 2026-04-02T18:00:00Z")
	must(t, w.Hold(l))
	w.want(t, l, "lapse/1 2026-04-07T16:00:00Z")
	w.at("2026-04-07T16:00:00Z")
	must(t, w.Hear(l, 1, payment.Message{Kind: payment.Lapsed}))
	// 00:00 in London, which is 23:00 of the day before in UTC.
	w.want(t, l, "lapsed-withdrawal 2026-04-20T23:00:00Z")
	must(t, w.Ask(l, 1, payment.ModeHold, 5500))
	w.want(t, l, "unanswered/1 2026-04-07T16:05:00Z", "lapsed-withdrawal 2026-04-20T23:00:00Z")
	must(t, w.Hear(l, 1, payment.Message{Kind: payment.Authorised, HoldEndsAt: w.Now.Add(120 * time.Hour)}))
	w.want(t, l, "lapse/1 2026-04-12T16:00:00Z")
	w.at("2026-04-08T10:00:00Z")
	must(t, w.Approve(l))
	w.want(t, l, "settle/1 2026-04-08T10:00:00Z")
	w.at("2026-04-08T10:00:05Z")
	w.Settle(l)
	w.want(t, l)
}

func TestHoldOfARejectedApplication(t *testing.T) {
	for _, released := range []bool{true, false} {
		w := start(t, 1)
		w.at("2026-03-02T10:00:00Z")
		l := w.Apply(w.Open(), 5500, 12, true)
		must(t, w.Hold(l))
		must(t, w.Do(l, permit.Reject{Review: projectiontest.Review()}))
		items := w.want(t, l, "settle/1 2026-03-02T10:00:00Z")
		if end := w.Now.Add(120 * time.Hour); !items[0].ExpiresAt.Equal(end) {
			t.Errorf("expires at %s, want %s", items[0].ExpiresAt, end)
		}
		if released {
			w.Settle(l)
		} else {
			w.at("2026-03-07T10:00:00Z")
			w.Open() // whatever tells the ledger that the hold is over
		}
		w.want(t, l)
	}
}

func TestLateMoneyGoesBack(t *testing.T) {
	w := start(t, 1)
	w.at("2026-03-02T10:00:00Z")
	l := w.Apply(w.Open(), 5500, 12, true)
	must(t, w.Ask(l, 1, payment.ModeHold, 5500))
	must(t, w.Do(l, permit.Cancel{Reason: permit.CancelledUnpaid, Rules: w.Rules}))
	w.want(t, l, "unanswered/1 2026-03-02T10:05:00Z")
	w.at("2026-03-02T13:00:00Z")
	must(t, w.Hear(l, 1, payment.Message{Kind: payment.Captured}))
	w.want(t, l, "settle/1 2026-03-02T13:00:00Z")
	w.Settle(l)
	w.want(t, l)
}

func TestAutomaticRenewal(t *testing.T) {
	for _, price := range []domain.Pence{0, 5500} {
		w := start(t, 1)
		w.at("2026-03-02T10:00:00Z")
		l := w.Apply(w.Open(), price, 12, true)
		if price > 0 {
			must(t, w.Hold(l))
		}
		must(t, w.Approve(l))
		w.Settle(l)
		// The last day is 2027-03-01.
		w.want(t, l, "auto-renewal/2 2027-02-22T00:00:00Z")
		w.at("2027-02-22T00:00:00Z")
		must(t, w.Renew(l, payment.ModeAgreement, true))
		if price > 0 {
			w.want(t, l, "settle/2 2027-02-22T00:05:00Z")
			w.Settle(l)
		}
		w.want(t, l, "auto-renewal/3 2028-02-23T00:00:00Z")
		must(t, w.Do(l, permit.CancelAutoRenewal{}))
		w.want(t, l)
	}
}

func TestAutomaticRenewalThatFails(t *testing.T) {
	w := start(t, 1)
	w.at("2026-04-13T10:00:00Z")
	l := w.Apply(w.Open(), 5500, 12, true)
	must(t, w.Hold(l))
	must(t, w.Approve(l))
	w.Settle(l)
	// The last day is 2027-04-12, in summer time.
	items := w.want(t, l, "auto-renewal/2 2027-04-04T23:00:00Z")
	if want := "2027-04-12T23:00:00Z"; items[0].ExpiresAt.Format(time.RFC3339) != want {
		t.Errorf("expires at %s, want %s", items[0].ExpiresAt, want)
	}
	for d := 5; d <= 12; d++ {
		w.want(t, l, fmt.Sprintf("auto-renewal/2 2027-04-%02dT23:00:00Z", d-1))
		w.at(fmt.Sprintf("2027-04-%02dT23:00:00Z", d-1))
		must(t, w.Renew(l, payment.ModeAgreement, false))
		// The payer's own failures do not put the next attempt off.
		must(t, w.Renew(l, payment.ModeImmediate, false))
	}
	w.want(t, l)
}

func TestNothingIsRenewedAfterAnEnd(t *testing.T) {
	w := start(t, 1)
	w.at("2026-04-13T10:00:00Z")
	l := w.Apply(w.Open(), 0, 12, true)
	must(t, w.Approve(l))
	must(t, w.Do(l, permit.Withdraw{Review: projectiontest.Review(), EffectiveOn: domain.NewDate(2026, 6, 1), Rules: w.Rules}))
	w.want(t, l)

	// One whose attempts never came is not due for ever.
	l = w.Apply(w.Open(), 0, 12, true)
	must(t, w.Approve(l))
	w.want(t, l, "auto-renewal/2 2027-04-04T23:00:00Z")
	after := time.Date(2027, 4, 12, 23, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Time
		want int
	}{{after.Add(-time.Second), 1}, {after, 0}} {
		items, err := w.due.Until(t.Context(), c.at, c.at, 10)
		must(t, err)
		// The four documents of the two applications were named.
		if len(items) != c.want {
			t.Errorf("at %s: %+v", c.at, items)
		}
	}
	if it, ok, err := w.due.Next(t.Context(), after, due.Item{}); ok || err != nil {
		t.Errorf("next: %+v, %v", it, err)
	}
	w.at("2027-04-13T00:00:00Z")
	w.Open()
	w.want(t, l)
}

func TestARenewalThatCannotBeWritten(t *testing.T) {
	w := start(t, 1)
	w.at("2026-03-02T10:00:00Z")
	l := w.Apply(w.Open(), 5500, 12, false)
	must(t, w.Hold(l))
	must(t, w.Approve(l))
	w.Settle(l)
	w.at("2027-02-28T10:00:00Z")
	must(t, w.Ask(l, 2, payment.ModeImmediate, 5500))
	w.want(t, l, "unanswered/2 2027-02-28T10:05:00Z")
	w.at("2027-03-02T10:00:00Z") // the permit has ended
	must(t, w.Hear(l, 2, payment.Message{Kind: payment.Captured}))
	w.want(t, l, "settle/2 2027-03-02T10:05:00Z")
	w.Settle(l)
	w.want(t, l)
}

func TestAPolicyMovesWhatIsToCome(t *testing.T) {
	w := start(t, 1)
	w.at("2026-03-02T10:00:00Z")
	pending := w.Apply(w.Open(), 5500, 12, false)
	live := w.Apply(w.Open(), 0, 12, true)
	must(t, w.Approve(live))
	w.want(t, live, "auto-renewal/2 2027-02-22T00:00:00Z")
	w.Rules.AutoRenewalDays, w.Rules.UnpaidHours = 14, 5
	w.Publish("later", domain.NewDate(2027, 2, 18))
	// By the first policy too early on the 17th, by the later one late on the 18th.
	w.want(t, live, "auto-renewal/2 2027-02-18T00:00:00Z")
	w.want(t, pending, "unpaid 2026-03-02T12:00:00Z")
	w.Publish("now", domain.NewDate(2026, 1, 1))
	w.want(t, live, "auto-renewal/2 2027-02-15T00:00:00Z")
	w.want(t, pending, "unpaid 2026-03-02T15:00:00Z")
}

func TestDocuments(t *testing.T) {
	w := start(t, 1)
	p := w.Open()
	w.at("2026-03-02T10:00:00Z")
	w.Upload(p, "a")
	w.Upload(p, "b")
	w.at("2026-03-03T10:00:00Z")
	w.Upload(p, "b")
	w.running.Wait(t, w.Last)
	a, ok, err := w.due.Next(t.Context(), w.Now, due.Item{})
	must(t, err)
	if !ok || a.Kind != due.DropDocument || a.SHA256 != "a" || a.Account != p.ID || a.Permit != "" ||
		!a.DueAt.Equal(time.Date(2026, 3, 9, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("first: %+v", a)
	}
	b, ok, err := w.due.Next(t.Context(), w.Now, a)
	must(t, err)
	if !ok || b.SHA256 != "b" || !b.DueAt.Equal(time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("second: %+v", b)
	}
	must(t, w.Drop(p, "a"))
	w.Erase(p)
	w.running.Wait(t, w.Last)
	if it, ok, err := w.due.Next(t.Context(), w.Now, due.Item{}); ok || err != nil {
		t.Errorf("left: %+v, %v", it, err)
	}
}

// TestNothingStaysDue lets towns live at random and then does nothing but what
// falls due, at its instant, until there is nothing more: every row must lead
// to an event that takes it away, and none may be left at an ended permit.
func TestNothingStaysDue(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := start(t, seed+1)
			for range 80 {
				w.Step()
			}
			tries := make(map[due.Item]int)
			for {
				w.running.Wait(t, w.Last)
				it, ok, err := w.due.Next(t.Context(), w.Now, due.Item{})
				must(t, err)
				if !ok {
					break
				}
				if tries[it]++; tries[it] > 1 {
					t.Fatalf("done and still due: %+v", it)
				}
				w.act(t, it)
			}
			for _, l := range w.Permits {
				// Only what is free may wait for ever: nobody's money runs out.
				if _, ended := l.Permit.EndsAt(); !ended && l.Permit.Price > 0 {
					t.Errorf("permit %s was left pending: %+v", l.ID, l.Money)
				}
				items, err := w.due.ForPermit(t.Context(), l.ID)
				must(t, err)
				for _, it := range items {
					if it.ExpiresAt.IsZero() || it.ExpiresAt.After(w.Now) {
						t.Errorf("left: %+v", it)
					}
				}
			}
		})
	}
}

// act does what a timer or the reactor would.
func (w *place) act(t *testing.T, it due.Item) {
	t.Helper()
	if it.DueAt.After(w.Now) {
		w.Now = it.DueAt
	}
	if it.Kind == due.DropDocument {
		for _, p := range w.People {
			if p.ID == it.Account {
				must(t, w.Drop(p, it.SHA256))
			}
		}
		return
	}
	l := w.Permits[slices.IndexFunc(w.Permits, func(l *projectiontest.Life) bool { return l.ID == it.Permit })]
	switch it.Kind {
	case due.Settle:
		w.Settle(l)
	case due.Unanswered:
		must(t, w.Hear(l, it.Term, payment.Message{Kind: payment.Failed, Code: "declined"}))
	case due.Unpaid:
		must(t, w.Do(l, permit.Cancel{Reason: permit.CancelledUnpaid, Rules: w.Rules}))
	case due.LapsedWithdrawal:
		must(t, w.Do(l, permit.Cancel{Reason: permit.CancelledHoldLapsed, Rules: w.Rules}))
	case due.Lapse:
		for _, a := range l.Money[1].Attempts {
			if a.Authorised && !a.HoldEndsAt.After(w.Now) {
				must(t, w.Hear(l, 1, payment.Message{Attempt: a.Number, Kind: payment.Lapsed}))
			}
		}
	case due.AutoRenewal:
		switch w.Rand.IntN(4) {
		case 0:
			must(t, w.Do(l, permit.CancelAutoRenewal{}))
		default:
			must(t, w.Renew(l, payment.ModeAgreement, w.Rand.IntN(3) == 0))
		}
	default:
		t.Fatalf("nobody knows what to do about %+v", it)
	}
}
