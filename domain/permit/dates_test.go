package permit

import (
	"testing"
	"time"

	"permitledger/domain"
)

// The table of last days, through an approval and not the calendar alone.
func TestLastDayOfTheFirstTerm(t *testing.T) {
	for _, c := range []struct {
		first  string
		months int
		last   string
	}{
		{"2025-01-31", 1, "2025-02-28"},
		{"2025-01-30", 1, "2025-02-28"},
		{"2024-01-31", 1, "2024-02-29"},
		{"2025-08-31", 6, "2026-02-28"},
		{"2025-03-30", 12, "2026-03-29"},
		{"2025-11-30", 3, "2026-02-28"},
		{"2024-02-29", 12, "2025-02-28"},
		{"2025-01-01", 1, "2025-01-31"},
		{"2025-03-01", 12, "2026-02-28"},
		{"2025-10-26", 6, "2026-04-25"},
	} {
		l := approved(t, c.first, c.months)
		if got := l.state.LastDay(); got != day(c.last) {
			t.Errorf("%d months from %s end on %s, want %s", c.months, c.first, got, c.last)
		}
		if got := l.state.FirstDay(); got != day(c.first) {
			t.Errorf("first day %s, want %s", got, c.first)
		}
	}
}

func TestCoverEndsAtLondonMidnight(t *testing.T) {
	for _, c := range []struct {
		first  string
		months int
		ends   string
	}{
		{"2025-03-30", 12, "2026-03-29T23:00:00Z"}, // the clocks went forward on the last day itself
		{"2025-10-26", 6, "2026-04-25T23:00:00Z"},
		{"2025-01-01", 1, "2025-02-01T00:00:00Z"},
		{"2025-08-31", 6, "2026-03-01T00:00:00Z"}, // begun in summer, ended in winter
	} {
		l := approved(t, c.first, c.months)
		ends := instant(c.ends)
		if got, ok := l.state.EndsAt(); !ok || !got.Equal(ends) {
			t.Errorf("%d months from %s end at %s, want %s", c.months, c.first, got, c.ends)
		}
		if got := l.state.Status(ends.Add(-1)); got != StatusActive {
			t.Errorf("just before %s the permit is %s", c.ends, got)
		}
		if got := l.state.Status(ends); got != StatusExpired {
			t.Errorf("at %s the permit is %s", c.ends, got)
		}
	}
}

func TestCoverBeginsAtLondonMidnight(t *testing.T) {
	at := noon("2026-03-28")
	c := application(at)
	c.StartsOn = day("2026-03-31")
	l := begin(t).do(at, c).do(at, approval(at))
	for moment, want := range map[string]Status{
		"2026-03-28T12:00:00Z":     StatusUpcoming,
		"2026-03-30T22:59:59.999Z": StatusUpcoming,
		"2026-03-30T23:00:00Z":     StatusActive,
	} {
		if got := l.state.Status(instant(moment)); got != want {
			t.Errorf("at %s: %s, want %s", moment, got, want)
		}
	}
}

func TestCoverIsNeverBackDated(t *testing.T) {
	for _, c := range []struct{ asked, approved, first, last string }{
		{"2026-03-02", "2026-03-05T10:00:00Z", "2026-03-05", "2027-03-04"},
		{"2026-03-02", "2026-03-02T10:00:00Z", "2026-03-02", "2027-03-01"},
		{"2026-03-02", "2026-03-01T10:00:00Z", "2026-03-02", "2027-03-01"},
		// In London it is the next day already.
		{"2026-03-02", "2026-03-31T23:30:00Z", "2026-04-01", "2027-03-31"},
	} {
		at := noon("2026-03-01")
		application := application(at)
		application.StartsOn = day(c.asked)
		approve := approval(instant(c.approved))
		l := begin(t).do(at, application).do(instant(c.approved), approve)
		if l.state.FirstDay() != day(c.first) || l.state.LastDay() != day(c.last) {
			t.Errorf("asked for %s, approved %s: %s to %s, want %s to %s",
				c.asked, c.approved, l.state.FirstDay(), l.state.LastDay(), c.first, c.last)
		}
	}
}

func TestMonthlyTermsKeepTheirAnchor(t *testing.T) {
	l := approved(t, "2025-01-31", 1)
	for _, want := range []string{"2025-03-30", "2025-04-30", "2025-05-30"} {
		l.do(l.state.LastDay().Midnight(), renewal(0))
		if got := l.state.LastDay(); got != day(want) {
			t.Fatalf("term %d ends on %s, want %s", l.state.Latest().Term, got, want)
		}
	}
	if l.state.Anchor() != day("2025-01-31") {
		t.Errorf("the anchor moved to %s", l.state.Anchor())
	}
}

// The window opens at a London midnight, in winter and in summer; one instant
// earlier is refused.
func TestRenewalWindowOpens(t *testing.T) {
	for _, c := range []struct{ first, last, opensOn, opensAt string }{
		{"2025-04-01", "2026-03-31", "2026-03-01", "2026-03-01T00:00:00Z"},
		{"2025-11-11", "2026-11-10", "2026-10-11", "2026-10-10T23:00:00Z"},
		{"2025-03-02", "2026-03-01", "2026-01-30", "2026-01-30T00:00:00Z"},
		{"2026-12-01", "2027-11-30", "2027-10-31", "2027-10-30T23:00:00Z"},
	} {
		l := approved(t, c.first, 12)
		if l.state.LastDay() != day(c.last) || l.state.RenewalOpensOn(rules()) != day(c.opensOn) {
			t.Fatalf("from %s: last day %s, opens on %s", c.first, l.state.LastDay(), l.state.RenewalOpensOn(rules()))
		}
		opens := instant(c.opensAt)
		for _, early := range []time.Time{opens.Add(-1), opens.AddDate(0, 0, -1)} {
			if r := l.refused(early, renewal(0), domain.RuleRenewalWindow); r.OpensOn != day(c.opensOn) {
				t.Errorf("the refusal says %s, want %s", r.OpensOn, c.opensOn)
			}
		}
		if _, err := PlanRenewal(l.state, opens, 0, rules()); err != nil {
			t.Errorf("at %s: %v", c.opensAt, err)
		}
	}
}
