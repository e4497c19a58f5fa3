package permit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

func TestRenewingEarlyLosesNothing(t *testing.T) {
	early := approved(t, "2025-04-01", 12)
	late := approved(t, "2025-04-01", 12)
	paid := renewal(0)
	paid.Payment = "payment-x-2"
	early.do(instant("2026-03-01T00:00:00Z"), paid)
	late.do(instant("2026-03-31T22:59:59.999Z"), paid)
	if diff := cmp.Diff(early.state.Terms, late.state.Terms); diff != "" {
		t.Errorf("terms of early and late renewal (-early +late):\n%s", diff)
	}
	want := Renewed{
		Term: 2, Months: 12, PreviousLastDay: day("2026-03-31"), FirstDay: day("2026-04-01"), LastDay: day("2027-03-31"),
		Price: 5500, TariffVersion: "2025-04-01", Payment: "payment-x-2", AutoRenewal: true, TermsVersion: "2025-04-01",
	}
	if diff := cmp.Diff(Event(want), early.last()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	// The window is that of the new last day from now on.
	r := early.refused(instant("2026-03-02T00:00:00Z"), renewal(0), domain.RuleRenewalWindow)
	if r.OpensOn != day("2027-03-01") {
		t.Errorf("the next renewal opens on %s", r.OpensOn)
	}
}

func TestTheWindowClosesWithTheLastDay(t *testing.T) {
	l := approved(t, "2025-04-01", 12)
	l.refused(instant("2026-03-31T23:00:00Z"), renewal(0), domain.RuleEnded)
}

func TestPlanIsWhatIsThenDone(t *testing.T) {
	l := approved(t, "2025-08-31", 6)
	at := noon("2026-02-10")
	plan, err := PlanRenewal(l.state, at, 3, rules())
	if err != nil {
		t.Fatal(err)
	}
	want := Renewal{Term: 2, Months: 3, PreviousLastDay: day("2026-02-28"), FirstDay: day("2026-03-01"), LastDay: day("2026-05-30")}
	if plan != want {
		t.Errorf("plan %+v, want %+v", plan, want)
	}
	e := l.do(at, renewal(3)).last().(Renewed)
	if got := (Renewal{e.Term, e.Months, e.PreviousLastDay, e.FirstDay, e.LastDay}); got != plan {
		t.Errorf("done %+v, planned %+v", got, plan)
	}
	if latest := l.state.Latest(); latest.Term != 2 || latest.Months != 3 || l.state.LastDay() != day("2026-05-30") {
		t.Errorf("latest term %+v", latest)
	}
	if _, err := PlanRenewal(l.state, noon("2026-05-20"), -1, rules()); err == nil {
		t.Error("a renewal for -1 months was planned")
	}
}

// A permit shorter than the window, or not begun, opens with its first day:
// what has not begun cannot be renewed.
func TestUpcomingPermitsAreNotRenewed(t *testing.T) {
	at := noon("2026-02-01")
	order := application(at)
	order.Months, order.StartsOn = 1, day("2026-02-10")
	l := begin(t).do(at, order).do(at, approval(at))
	r := l.refused(noon("2026-02-09"), renewal(0), domain.RuleRenewalWindow)
	if r.OpensOn != day("2026-02-10") {
		t.Errorf("opens on %s", r.OpensOn)
	}
	l.do(day("2026-02-10").Midnight(), renewal(0))
}

// A message of the provider may come twice; one payment renews once, also
// where the next term is so short that its window is open already.
func TestOnePaymentRenewsOnce(t *testing.T) {
	l := approved(t, "2025-01-31", 1)
	c := renewal(1)
	c.Rules.RenewalWindowDays = 60
	c.Payment = "payment-x-2"
	at := noon("2025-02-10")
	l.do(at, c).refused(at, c, domain.RuleRenewalWindow)
	c.Payment = "payment-x-3"
	l.do(at, c)
}

func TestPriceOfARunningTermStays(t *testing.T) {
	l := approved(t, "2025-04-01", 12)
	c := renewal(0)
	c.Price, c.TariffVersion, c.TermsVersion = 6000, "2026-01-01", "2026-01-01"
	l.do(noon("2026-03-15"), c)
	if first := l.state.Terms[0]; first.Price != 5500 || first.TariffVersion != "2025-04-01" {
		t.Errorf("the first term is now %+v", first)
	}
	if l.state.Latest().Price != 6000 || l.state.TermsVersion != "2026-01-01" {
		t.Errorf("the second term is %+v under terms %s", l.state.Latest(), l.state.TermsVersion)
	}
}

func TestAutoRenewal(t *testing.T) {
	open := noon("2026-03-15")
	automatic := renewal(0)
	automatic.Automatic = true

	t.Run("unchanged when left out", func(t *testing.T) {
		l := approved(t, "2025-04-01", 12).do(open, automatic)
		if !l.state.AutoRenewalOn(open) || !l.state.Latest().Automatic {
			t.Errorf("state %+v", l.state.Latest())
		}
	})
	t.Run("switched off by a renewal", func(t *testing.T) {
		off := renewal(0)
		off.AutoRenewal = new(bool)
		l := approved(t, "2025-04-01", 12).do(open, off)
		if len(l.events) != 3 || l.state.AutoRenewalOn(open) {
			t.Errorf("%s, on: %v", history(l.events), l.state.AutoRenewalOn(open))
		}
		l.refused(noon("2027-03-15"), automatic, domain.RuleAutoRenewalOff)
	})
	t.Run("switched on by a renewal", func(t *testing.T) {
		on := true
		c := renewal(0)
		c.AutoRenewal = &on
		l := approved(t, "2025-04-01", 12).do(open, CancelAutoRenewal{}).do(open, c)
		if !l.state.AutoRenewalOn(open) {
			t.Error("still off")
		}
	})
	t.Run("taken back", func(t *testing.T) {
		l := approved(t, "2025-04-01", 12).do(open, CancelAutoRenewal{})
		l.refused(open, CancelAutoRenewal{}, domain.RuleAutoRenewalOff)
		l.refused(open, automatic, domain.RuleAutoRenewalOff)
		if l.state.Status(open) != StatusActive {
			t.Errorf("the permit is %s", l.state.Status(open))
		}
		l.do(open, renewal(0)) // by hand it can be renewed
	})
	t.Run("never shown for what has ended", func(t *testing.T) {
		l := approved(t, "2025-04-01", 12)
		if ended := day("2026-04-01").Midnight(); l.state.AutoRenewalOn(ended) || !l.state.AutoRenewalOn(ended.Add(-time.Second)) {
			t.Error("the clock does not end auto-renewal")
		}
	})
}
