package permit

import (
	"testing"
	"time"

	"permitledger/domain"
)

func TestWhatWasTrueThen(t *testing.T) {
	applied, decided, changed, ended := noon("2026-03-04"), instant("2026-03-05T14:00:00Z"), noon("2026-06-01"), noon("2026-06-10")
	l := begin(t).do(applied, application(applied)).do(decided, approval(applied)).
		do(changed, vehicle("B1")).do(ended, withdrawal(day("2026-07-01")))
	for _, c := range []struct {
		at     string
		status Status
		mark   domain.VRM
	}{
		{"2026-03-04T11:59:59Z", StatusNone, ""},
		{"2026-03-04T12:00:00Z", StatusPending, "AB12CDE"},
		{"2026-03-04T23:59:59Z", StatusPending, "AB12CDE"},
		{"2026-03-05T00:00:00Z", StatusActive, "AB12CDE"}, // before the approval was recorded
		{"2026-06-01T11:59:59Z", StatusActive, "AB12CDE"},
		{"2026-06-01T12:00:00Z", StatusActive, "B1"},
		{"2026-06-30T22:59:59Z", StatusActive, "B1"},
		{"2026-06-30T23:00:00Z", StatusCancelled, "B1"},
	} {
		s := asOf(l.events, l.metas, instant(c.at))
		if got := s.Status(instant(c.at)); got != c.status || s.Vehicle.Mark != c.mark {
			t.Errorf("at %s: %s with %q, want %s with %q", c.at, got, s.Vehicle.Mark, c.status, c.mark)
		}
	}
}

// An application made and approved in one afternoon covers that morning too.
func TestApprovalBringsItsApplicationAlong(t *testing.T) {
	l := approved(t, "2026-03-01", 12)
	morning := instant("2026-03-01T08:00:00Z")
	if s := asOf(l.events, l.metas, morning); s.Status(morning) != StatusActive || s.Account != account {
		t.Errorf("in the morning: %s", s.Status(morning))
	}
}

func TestEffectiveInstants(t *testing.T) {
	at := noon("2026-06-15")
	m := domain.Meta{At: at}
	moment := at.Add(time.Minute)
	for _, c := range []struct {
		event Event
		want  time.Time
	}{
		{Applied{}, at},
		{Approved{FirstDay: day("2026-06-15")}, instant("2026-06-14T23:00:00Z")},
		{Approved{FirstDay: day("2026-06-20")}, at},
		{Rejected{}, at},
		{Renewed{FirstDay: day("2026-07-01")}, at},
		{VehicleChanged{EffectiveAt: moment}, moment},
		{AddressChanged{}, at},
		{Cancelled{EffectiveAt: moment}, moment},
		{AutoRenewalCancelled{}, at},
	} {
		if got := EffectiveAt(c.event, m); !got.Equal(c.want) {
			t.Errorf("%T is true from %s, want %s", c.event, got, c.want)
		}
	}
}

// asOf folds what was true at an instant.
func asOf(events []Event, metas []domain.Meta, at time.Time) (s State) {
	for i := range TrueBy(events, metas, at) {
		s = Evolve(s, events[i], metas[i])
	}
	return s
}
