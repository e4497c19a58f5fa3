package permit

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// TestAnyLife gives a permit commands at random, mostly sensible ones, while
// the clock moves forward, and holds the invariants after each of them.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: noon("2024-01-15").Add(time.Duration(rapid.IntRange(0, 800).Draw(t, "begin")) * 24 * time.Hour)}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.later(t)
			w.step(t, w.command(t))
		}
		w.checkHistory(t)
	})
}

// world is a permit in the making and all that was seen of it.
type world struct {
	now    time.Time
	state  State
	events []Event
	metas  []domain.Meta
	seen   []State  // after each event
	frozen []string // the same, written down at the time
}

// later moves the clock: a little, by days, or to the edges of term and window.
func (w *world) later(t *rapid.T) time.Time {
	moves := []time.Time{
		w.now,
		w.now.Add(time.Duration(rapid.IntRange(1, 24*60).Draw(t, "minutes")) * time.Minute),
		w.now.AddDate(0, 0, rapid.IntRange(1, 20).Draw(t, "days")),
	}
	if last := w.state.LastDay(); !last.IsZero() {
		opens, ends := last.AddDays(-30).Midnight(), last.AddDays(1).Midnight()
		inside := opens.Add(time.Duration(rapid.IntRange(0, 29).Draw(t, "into the window")) * 24 * time.Hour)
		moves = append(moves, opens.Add(-1), opens, inside, inside, inside, ends.Add(-1))
		if rapid.IntRange(0, 19).Draw(t, "let it expire") == 0 {
			moves = append(moves, ends)
		}
	}
	to := rapid.SampledFrom(moves).Draw(t, "now")
	if to.Before(w.now) {
		return w.now
	}
	return to
}

func (w *world) command(t *rapid.T) Command {
	sane := rapid.IntRange(0, 9).Draw(t, "sane") > 0
	if !w.state.Exists() && sane {
		return anyApplication(t, w.now, true)
	}
	// Ends are rare, so that most permits live to be renewed.
	likely := []int{0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 7, 8}
	if w.state.Status(w.now) == StatusPending {
		likely = []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2, 3, 4, 5, 6, 7, 8}
	} else if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		likely = []int{5, 6, 8}
	}
	switch rapid.SampledFrom(likely).Draw(t, "command") {
	case 0:
		return anyApplication(t, w.now, sane)
	case 1:
		c := Approve{Review: review(), Payment: held(w.now), Rules: anyRules(t)}
		if !sane {
			c.Subject = rapid.SampledFrom([]string{owner, reviewer}).Draw(t, "reviewer")
			c.Payment.HoldEndsAt = w.now.Add(time.Duration(rapid.IntRange(-5, 20).Draw(t, "hold")) * time.Minute)
		}
		return c
	case 8:
		c := Reject{Review: review()}
		if !sane {
			c.Decision.Reasons = nil
		}
		return c
	case 2:
		c := renewal(rapid.SampledFrom([]int{0, 0, 1, 3, 6, 12, -1}).Draw(t, "months"))
		c.Automatic = rapid.Bool().Draw(t, "automatic")
		if rapid.Bool().Draw(t, "switch") {
			on := rapid.Bool().Draw(t, "auto-renewal")
			c.AutoRenewal = &on
		}
		return c
	case 3:
		c := vehicle(rapid.SampledFrom([]string{"AB12CDE", "ab 12 cde", "B1", "B-1", "", "?"}).Draw(t, "mark"))
		c.Rules = anyRules(t)
		return c
	case 4:
		c := move(w.now)
		c.Property = rapid.SampledFrom([]domain.Property{home, other}).Draw(t, "property")
		c.Zone = rapid.SampledFrom([]domain.Zone{"LB2", "LB2", "OA1", ""}).Draw(t, "zone")
		return c
	case 5:
		return Cancel{Words: "because", Rules: anyRules(t),
			Reason: rapid.SampledFrom([]CancelReason{"", CancelledByHolder, CancelledUnpaid, CancelledHoldLapsed, CancelledByCouncil}).Draw(t, "reason")}
	case 6:
		c := withdrawal(domain.DateOf(w.now).AddDays(rapid.IntRange(-2, 40).Draw(t, "notice")))
		c.Rules = anyRules(t)
		return c
	}
	return CancelAutoRenewal{}
}

func anyApplication(t *rapid.T, at time.Time, sane bool) Apply {
	c := application(at)
	c.Months = rapid.SampledFrom([]int{1, 3, 6, 12}).Draw(t, "months")
	c.AutoRenewal = rapid.Bool().Draw(t, "auto-renewal")
	c.StartsOn = domain.DateOf(at).AddDays(rapid.IntRange(0, 30).Draw(t, "ahead"))
	if !sane {
		c.StartsOn = domain.DateOf(at).AddDays(rapid.IntRange(-3, 33).Draw(t, "ahead or not"))
		c.Vehicle = rapid.String().Draw(t, "mark")
		c.Zone = rapid.SampledFrom([]domain.Zone{"", "LB2"}).Draw(t, "zone")
	}
	return c
}

func anyRules(t *rapid.T) policy.Rules {
	r := rules()
	r.VehicleChangesPerTerm = rapid.IntRange(0, 2).Draw(t, "vehicle changes")
	r.Refund.Kind = rapid.SampledFrom([]string{policy.RefundNone, policy.RefundWholeMonths, policy.RefundProRataDays}).Draw(t, "refund")
	r.Refund.AdminFee = domain.Pence(rapid.IntRange(0, 2000).Draw(t, "fee"))
	return r
}

// step gives one command and looks at what came of it.
func (w *world) step(t *rapid.T, c Command) {
	before := w.state
	events, err := Decide(before, w.now, c)
	if err != nil {
		if _, ok := errors.AsType[*domain.Refusal](err); !ok || len(events) > 0 {
			t.Fatalf("%T: %d events and %v", c, len(events), err)
		}
		return
	}
	if len(events) != 1 {
		t.Fatalf("%T: %d events", c, len(events))
	}
	if before.Cancellation != nil || before.Status(w.now) == StatusRejected || before.Status(w.now) == StatusExpired {
		t.Fatalf("%s after the end of a permit that is %s", events[0].EventType(), before.Status(w.now))
	}
	m := domain.Meta{Revision: uint64(len(w.events)), At: w.now}
	w.state = Evolve(before, events[0], m)
	w.events, w.metas = append(w.events, events[0]), append(w.metas, m)
	w.seen, w.frozen = append(w.seen, w.state), append(w.frozen, written(t, w.state))
	checkTerms(t, w.state)
	checkStatus(t, w.state)
	checkMoney(t, w.state)
}

// checkTerms holds that terms touch, never overlap, never gap, and end where
// the anchor says.
func checkTerms(t *rapid.T, s State) {
	months := 0
	for i, term := range s.Terms {
		months += term.Months
		switch {
		case term.Term != i+1 || term.Months <= 0 || term.LastDay.Before(term.FirstDay):
			t.Fatalf("term %d is %+v", i+1, term)
		case i > 0 && term.FirstDay != s.Terms[i-1].LastDay.AddDays(1):
			t.Fatalf("terms %+v and %+v do not touch", s.Terms[i-1], term)
		case term.LastDay != domain.LastDay(s.Anchor(), months):
			t.Fatalf("%d months from %s end on %s", months, s.Anchor(), term.LastDay)
		}
	}
	if len(s.Terms) > 0 {
		if s.FirstDay().Before(s.SubmittedOn) || s.FirstDay().Before(s.RequestedFirstDay) || s.FirstDay().Before(domain.DateOf(s.Decided.At)) {
			t.Fatalf("cover from %s is back-dated", s.FirstDay())
		}
	}
}

// checkStatus holds that the status only ever moves forward with the clock.
func checkStatus(t *rapid.T, s State) {
	moments := []time.Time{s.SubmittedAt, s.RequestedFirstDay.Midnight(), s.RequestedFirstDay.AddDays(4000).Midnight()}
	if len(s.Terms) > 0 {
		moments = append(moments, s.FirstDay().Midnight().Add(-1), s.FirstDay().Midnight(), s.coverEnd().Add(-1), s.coverEnd())
	}
	ends, ended := s.EndsAt()
	if ended {
		moments = append(moments, ends.Add(-1), ends)
	}
	slices.SortFunc(moments, time.Time.Compare)
	rank := map[Status]int{StatusPending: 1, StatusUpcoming: 2, StatusActive: 3, StatusExpired: 4, StatusRejected: 4, StatusCancelled: 4}
	was := 0
	for _, at := range moments {
		is := rank[s.Status(at)]
		if is < was || is == 0 {
			t.Fatalf("at %s the permit went back to %s", at, s.Status(at))
		}
		if over := ended && !at.Before(ends); s.Decided != nil && len(s.Terms) == 0 {
			// A rejection is one for any instant asked about.
		} else if over != (is == 4) {
			t.Fatalf("at %s the permit is %s and ends at %s", at, s.Status(at), ends)
		}
		if is == 4 && s.AutoRenewalOn(at) {
			t.Fatalf("at %s auto-renewal is on for what is %s", at, s.Status(at))
		}
		was = is
	}
}

// checkMoney holds that no more is given back than was paid.
func checkMoney(t *rapid.T, s State) {
	if s.Cancellation == nil {
		return
	}
	var paid domain.Pence
	for _, term := range s.Terms {
		paid += term.Price
	}
	if r := s.Cancellation.Refund; r < 0 || r > paid {
		t.Fatalf("%d of %d pence given back", r, paid)
	}
}

// checkHistory holds what is true of a stream as a whole.
func (w *world) checkHistory(t *rapid.T) {
	decisions := 0
	var again, erased State
	for i, e := range w.events {
		switch e.(type) {
		case Approved, Rejected:
			decisions++
		case Cancelled:
			if i != len(w.events)-1 {
				t.Fatalf("events after the end: %s", history(w.events))
			}
		}
		if (e.EventType() == TypeApplied) != (i == 0) {
			t.Fatalf("history %s", history(w.events))
		}
		again = Evolve(again, e, w.metas[i])
		erased = Evolve(erased, withoutPerson(e), w.metas[i])
		if diff := cmp.Diff(w.seen[i], again); diff != "" {
			t.Fatalf("folded again (-first +again):\n%s", diff)
		}
		if diff := cmp.Diff(again.Erase(), erased); diff != "" {
			t.Fatalf("erasing after %s (-fold, then erase +fold of the erased):\n%s", e.EventType(), diff)
		}
	}
	if decisions > 1 {
		t.Fatalf("decided %d times: %s", decisions, history(w.events))
	}
	for i, s := range w.seen {
		if now := written(t, s); now != w.frozen[i] {
			t.Fatalf("folding on changed an earlier state:\n%s", cmp.Diff(w.frozen[i], now))
		}
	}
	var read State
	if err := json.Unmarshal([]byte(written(t, w.state)), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.state, read); diff != "" {
		t.Fatalf("through JSON (-state +read):\n%s", diff)
	}
}

func written(t *rapid.T, s State) string {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// withoutPerson is an event as it reads once the person's key is destroyed.
func withoutPerson(e Event) Event {
	switch e := e.(type) {
	case Applied:
		e.PersonalPart().Erase()
		return e
	case Approved:
		e.PersonalPart().Erase()
		return e
	case Rejected:
		e.PersonalPart().Erase()
		return e
	case VehicleChanged:
		e.PersonalPart().Erase()
		return e
	case AddressChanged:
		e.PersonalPart().Erase()
		return e
	case Cancelled:
		e.PersonalPart().Erase()
		return e
	}
	return e
}

// Two futures of one state do not meet: a command that is tried again after a
// conflict folds on from the same state.
func TestStatesAreValues(t *testing.T) {
	l := approved(t, "2025-01-31", 1)
	for range 3 {
		l.do(l.state.LastDay().Midnight(), renewal(1))
		one := Evolve(l.state, Renewed{Term: 9, Months: 6}, domain.Meta{})
		two := Evolve(l.state, Renewed{Term: 9, Months: 12}, domain.Meta{})
		if one.Latest().Months != 6 || two.Latest().Months != 12 {
			t.Fatalf("after %d terms: %d and %d months", len(l.state.Terms), one.Latest().Months, two.Latest().Months)
		}
	}
}

func TestErasingNothingIsNothing(t *testing.T) {
	if diff := cmp.Diff(State{}, State{}.Erase()); diff != "" {
		t.Error(diff)
	}
}

// Every event has a stored name of its own, and a fold that tells.
func TestEveryEventFolds(t *testing.T) {
	at := noon("2026-03-01")
	s := approved(t, "2026-03-01", 12).state
	events := []Event{Applied{Account: "another"}, Approved{}, Rejected{}, Renewed{}, VehicleChanged{}, AddressChanged{}, Cancelled{}, AutoRenewalCancelled{}}
	var types []string
	for _, e := range events {
		types = append(types, e.EventType())
		if cmp.Equal(s, Evolve(s, e, domain.Meta{At: at})) {
			t.Errorf("%s changes nothing", e.EventType())
		}
	}
	if diff := cmp.Diff(Types(), types); diff != "" {
		t.Errorf("types (-listed +known):\n%s", diff)
	}
}
