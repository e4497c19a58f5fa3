package payment

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

const permit = domain.PermitID("4b9a3f1e-8d0c-5a7e-9f3b-2c6d1e0f4a5b")

// Thursday before Easter, 17:00 in London; the hold lapses five days later.
var (
	made    = time.Date(2026, 4, 2, 16, 0, 0, 0, time.UTC)
	holdEnd = time.Date(2026, 4, 7, 16, 0, 0, 0, time.UTC)
)

// history folds events, each a minute after the one before unless it is a time,
// which sets the clock.
func history(items ...any) State {
	var s State
	now := made
	for _, item := range items {
		switch item := item.(type) {
		case time.Time:
			now = item
		case Event:
			s = Evolve(s, item, domain.Meta{At: now})
			now = now.Add(time.Minute)
		}
	}
	return s
}

func requested(attempt int) Event {
	return PaymentRequested{Permit: permit, Account: "account", Term: 1, Attempt: attempt, Mode: ModeHold, Amount: 5500,
		Reference: Reference(permit, 1, attempt)}
}

func authorised(attempt int, end time.Time) Event {
	return PaymentAuthorised{Attempt: attempt, ProviderID: "prov", HoldEndsAt: end}
}

func captured(attempt int) Event {
	return PaymentCaptured{Attempt: attempt, ProviderID: "prov", Amount: 5500}
}
func released(attempt int) Event { return PaymentReleased{Attempt: attempt, ProviderID: "prov"} }
func failed(attempt int) Event {
	return PaymentFailed{Attempt: attempt, ProviderID: "prov", Code: "declined"}
}
func refunded(attempt int, p domain.Pence) Event {
	return PaymentRefunded{Attempt: attempt, ProviderID: "refund", Amount: p}
}

var owed = PaymentFailed{Attempt: 1, ProviderID: "prov", Code: "capture", Outstanding: true}

func TestStatus(t *testing.T) {
	inTime, late := holdEnd.Add(-time.Nanosecond), holdEnd
	for _, c := range []struct {
		name string
		s    State
		at   time.Time
		want Status
	}{
		{"never asked", State{}, inTime, StatusNone},
		{"asked", history(requested(1)), inTime, StatusAwaited},
		{"at the page", history(requested(1), PaymentAwaited{Attempt: 1, PayURL: "https://pay.example"}), inTime, StatusAwaited},
		{"held", history(requested(1), authorised(1, holdEnd)), inTime, StatusAuthorised},
		{"hold ended by the clock", history(requested(1), authorised(1, holdEnd)), late, StatusLapsed},
		{"hold ended by the provider's word", history(requested(1), authorised(1, holdEnd), PaymentLapsed{Attempt: 1, EndedAt: made}), inTime, StatusLapsed},
		{"taken", history(requested(1), authorised(1, holdEnd), captured(1)), late, StatusCaptured},
		{"taken, told late", history(requested(1), authorised(1, holdEnd), late.Add(time.Hour), captured(1)), late.Add(2 * time.Hour), StatusCaptured},
		{"given back", history(requested(1), authorised(1, holdEnd), released(1)), late, StatusReleased},
		{"given back after it lapsed", history(requested(1), authorised(1, holdEnd), late, released(1)), late.Add(time.Hour), StatusLapsed},
		{"declined", history(requested(1), failed(1)), late, StatusFailed},
		{"owed", history(requested(1), authorised(1, holdEnd), owed), late, StatusOutstanding},
		{"owed and paid after all", history(requested(1), authorised(1, holdEnd), owed, captured(1)), late, StatusCaptured},
		{"given back in part", history(requested(1), captured(1), refunded(1, 1291)), late, StatusRefunded},
		{"second attempt", history(requested(1), failed(1), requested(2)), inTime, StatusAwaited},
		{"second attempt held", history(requested(1), failed(1), requested(2), authorised(2, holdEnd)), inTime, StatusAuthorised},
		{"first attempt taken after all", history(requested(1), authorised(1, holdEnd), late, requested(2), captured(1)), late, StatusCaptured},
	} {
		if got := c.s.Status(c.at); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if end, ok := history(requested(1), authorised(1, holdEnd)).Hold(); !ok || !end.Equal(holdEnd) {
		t.Errorf("hold to %s, %v", end, ok)
	}
	if _, ok := history(requested(1)).Hold(); ok {
		t.Error("a hold before it was made")
	}
}

func TestNames(t *testing.T) {
	if got := Stream(permit, 2); got != "payment-"+string(permit)+"-2" {
		t.Error(got)
	}
	if p, term, ok := ParseStream(Stream(permit, 12)); p != permit || term != 12 || !ok {
		t.Error(p, term, ok)
	}
	if stream, attempt, ok := ParseReference(Reference(permit, 2, 3)); stream != Stream(permit, 2) || attempt != 3 || !ok {
		t.Error(stream, attempt, ok)
	}
	for _, s := range []string{"", "payment-", "payment-x", "payment--1", "permit-x-1", "payment-x-0", "payment-x-01", "payment-x-+1"} {
		if p, term, ok := ParseStream(s); ok {
			t.Errorf("%q: %s, %d", s, p, term)
		}
	}
	if _, _, ok := ParseReference("permit-x-1-1"); ok {
		t.Error("a reference of something else")
	}
}

func TestAsk(t *testing.T) {
	on := true
	ask := Request{Permit: permit, Account: "account", Term: 2, Mode: ModeImmediate, Amount: 5500, Months: 12,
		AutoRenewal: &on, TariffVersion: "2025-04-01", TermsVersion: "2025-04-01", At: made.Add(time.Hour)}
	events, err := Ask(history(requested(1), failed(1)), ask)
	want := []Event{PaymentRequested{Permit: permit, Account: "account", Term: 2, Attempt: 2, Mode: ModeImmediate, Amount: 5500,
		Reference: "payment-" + string(permit) + "-2-2", Months: 12, AutoRenewal: &on, TariffVersion: "2025-04-01", TermsVersion: "2025-04-01"}}
	if diff := cmp.Diff(want, events); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, c := range []struct {
		name    string
		s       State
		at      time.Time
		allowed bool
	}{
		{"none", State{}, made, true},
		{"awaited", history(requested(1)), made, false},
		{"authorised", history(requested(1), authorised(1, holdEnd)), holdEnd.Add(-1), false},
		{"lapsed", history(requested(1), authorised(1, holdEnd)), holdEnd, true},
		{"captured", history(requested(1), captured(1)), made, false},
		{"released", history(requested(1), authorised(1, holdEnd), released(1)), made, false},
		{"outstanding", history(requested(1), owed), made, false},
		{"refunded in part", history(requested(1), captured(1), refunded(1, 1291)), made, false},
	} {
		ask.At = c.at
		events, err := Ask(c.s, ask)
		var r *domain.Refusal
		switch {
		case c.allowed && (err != nil || len(events) != 1):
			t.Errorf("%s: %v", c.name, err)
		case !c.allowed && (!errors.As(err, &r) || r.Rule != domain.RuleHold || r.Detail == ""):
			t.Errorf("%s: %v, %v", c.name, events, err)
		}
	}
	// A renewal that was given back leaves the permit running: it can be paid for
	// by hand, and what is then taken stays.
	back := history(requested(1), captured(1), refunded(1, 5500))
	ask.At = made.Add(time.Hour)
	if events, err := Ask(back, ask); err != nil || len(events) != 1 {
		t.Errorf("a renewal that was given back: %v, %v", events, err)
	}
	anew := history(requested(1), captured(1), refunded(1, 5500), requested(2), captured(2))
	if step := anew.NextStep(made.Add(time.Hour), RulingDue, 0); step != (Step{}) {
		t.Errorf("what was paid anew: %+v", step)
	}
	ask.Term = 1
	if events, err := Ask(back, ask); err == nil {
		t.Errorf("an application that was given back: %v", events)
	}
	ask.Amount = 0
	if _, err := Ask(State{}, ask); !errors.Is(err, ErrNoAmount) {
		t.Error(err)
	}
}

func TestNextStep(t *testing.T) {
	held := history(requested(1), authorised(1, holdEnd))
	now, late := made.Add(time.Hour), holdEnd
	nothing := Step{}
	capture := Step{Kind: StepCapture, Attempt: 1, ProviderID: "prov", Amount: 5500}
	release := Step{Kind: StepRelease, Attempt: 1, ProviderID: "prov"}
	refund := func(attempt int, p domain.Pence, why string) Step {
		return Step{Kind: StepRefund, Attempt: attempt, ProviderID: "prov", Amount: p, Reason: why}
	}
	twice := history(requested(1), authorised(1, holdEnd), late, requested(2), authorised(2, late.AddDate(0, 0, 5)), captured(2), captured(1))
	for _, c := range []struct {
		name   string
		s      State
		at     time.Time
		ruling Ruling
		refund domain.Pence
		want   Step
	}{
		{"free", State{}, now, RulingDue, 0, nothing},
		{"pending", held, now, RulingNone, 0, nothing},
		{"approved", held, now, RulingDue, 0, capture},
		{"approved, and the hold ended meanwhile", held, late, RulingDue, 0, capture},
		{"approved, taken", history(requested(1), authorised(1, holdEnd), captured(1)), now, RulingDue, 0, nothing},
		{"approved, owed", history(requested(1), authorised(1, holdEnd), owed), now, RulingDue, 0, nothing},
		{"approved, cancelled before it was taken", held, now, RulingDue, 1291, capture},
		{"approved, cancelled", history(requested(1), captured(1)), now, RulingDue, 1291, refund(1, 1291, RefundCancelled)},
		{"approved, cancelled, given back", history(requested(1), captured(1), refunded(1, 1291)), now, RulingDue, 1291, nothing},
		{"approved, more to give back than was taken", history(requested(1), captured(1)), now, RulingDue, 9900, refund(1, 5500, RefundCancelled)},
		{"rejected", held, now, RulingVoid, 0, release},
		{"rejected, lapsed", held, late, RulingVoid, 0, nothing},
		{"rejected, given back", history(requested(1), authorised(1, holdEnd), released(1)), now, RulingVoid, 0, nothing},
		{"rejected, never paid", history(requested(1)), now, RulingVoid, 0, nothing},
		{"rejected, released and yet taken", history(requested(1), authorised(1, holdEnd), released(1), captured(1)), now, RulingVoid, 0, refund(1, 5500, RefundNotDue)},
		{"renewal that came too late", history(requested(1), captured(1)), now, RulingVoid, 0, refund(1, 5500, RefundNotDue)},
		{"renewal given back", history(requested(1), captured(1), refunded(1, 5500)), now, RulingVoid, 0, nothing},
		{"taken twice", twice, late.Add(time.Hour), RulingDue, 0, refund(2, 5500, RefundTwice)},
		{"taken twice, void", twice, late.Add(time.Hour), RulingVoid, 0, refund(1, 5500, RefundNotDue)},
		{"a second hold beside what was taken", history(requested(1), authorised(1, holdEnd), late, requested(2), authorised(2, late.AddDate(0, 0, 5)), captured(1)),
			late.Add(time.Hour), RulingDue, 0, Step{Kind: StepRelease, Attempt: 2, ProviderID: "prov"}},
	} {
		if diff := cmp.Diff(c.want, c.s.NextStep(c.at, c.ruling, c.refund)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestUnanswered(t *testing.T) {
	for _, c := range []struct {
		name string
		s    State
		want int
	}{
		{"never asked", State{}, 0},
		{"asked", history(requested(1)), 1},
		{"at the page", history(requested(1), PaymentAwaited{Attempt: 1, ProviderID: "prov", PayURL: "https://pay.example"}), 0},
		{"held", history(requested(1), authorised(1, holdEnd)), 0},
		{"declined", history(requested(1), failed(1)), 0},
		{"asked again", history(requested(1), failed(1), requested(2)), 2},
		{"taken", history(requested(1), captured(1)), 0},
	} {
		a, open := c.s.Unanswered()
		if open != (c.want > 0) || open && a.Number != c.want {
			t.Errorf("%s: attempt %d, %v", c.name, a.Number, open)
		}
	}
}
