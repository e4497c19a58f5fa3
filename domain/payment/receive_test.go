package payment

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/domain"
)

func TestReceiveOutOfOrderAndTwice(t *testing.T) {
	message := func(kind MessageKind) Message {
		return Message{Attempt: 1, Kind: kind, ProviderID: "prov", HoldEndsAt: holdEnd, Amount: 5500, At: made}
	}
	outstanding := message(Failed)
	outstanding.Outstanding = true
	held, taken := history(requested(1), authorised(1, holdEnd)), history(requested(1), captured(1))
	gone := history(requested(1), authorised(1, holdEnd), released(1))
	for _, c := range []struct {
		name string
		s    State
		m    Message
		want []string // types of the events; none when nothing is new
	}{
		{"awaited", history(requested(1)), message(Awaited), []string{TypePaymentAwaited}},
		{"awaited twice", history(requested(1), PaymentAwaited{Attempt: 1, PayURL: "u"}), message(Awaited), nil},
		{"awaited after the hold", held, message(Awaited), nil},
		{"hold", history(requested(1)), message(Authorised), []string{TypePaymentAuthorised}},
		{"hold twice", held, message(Authorised), nil},
		{"hold after it was taken", taken, message(Authorised), nil},
		{"hold after it was declined", history(requested(1), failed(1)), message(Authorised), nil},
		{"taken before the hold", history(requested(1)), message(Captured), []string{TypePaymentCaptured}},
		{"taken twice", taken, message(Captured), nil},
		{"taken after the release", gone, message(Captured), []string{TypePaymentCaptured}},
		{"released", held, message(Released), []string{TypePaymentReleased}},
		{"released twice", gone, message(Released), nil},
		{"released after it was taken", taken, message(Released), nil},
		{"lapsed", held, message(Lapsed), []string{TypePaymentLapsed}},
		{"lapsed after the release", gone, message(Lapsed), nil},
		{"declined", history(requested(1)), message(Failed), []string{TypePaymentFailed}},
		{"declined twice", history(requested(1), failed(1)), message(Failed), nil},
		{"declined after it was taken", taken, message(Failed), nil},
		{"owed after the release", gone, outstanding, []string{TypePaymentFailed}},
		{"owed twice", history(requested(1), owed), outstanding, nil},
		{"owed after it was taken", taken, outstanding, nil},
		{"refund", taken, message(Refunded), []string{TypePaymentRefunded}},
		{"refund before the taking", held, message(Refunded), []string{TypePaymentCaptured, TypePaymentRefunded}},
	} {
		events, err := Receive(c.s, c.m)
		var types []string
		for _, e := range events {
			types = append(types, e.EventType())
		}
		if diff := cmp.Diff(c.want, types); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
	}
	if _, err := Receive(State{}, message(Captured)); !errors.Is(err, ErrUnknownAttempt) {
		t.Error(err)
	}
	if _, err := Receive(history(requested(1), captured(1), refunded(1, 5000)), Message{Attempt: 1, Kind: Refunded, ProviderID: "other", Amount: 501}); !errors.Is(err, ErrOverRefund) {
		t.Error(err)
	}
	if _, err := Receive(taken, Message{Attempt: 1, Kind: "chargeback"}); err == nil {
		t.Error("an unknown message is passed over")
	}
}

// provider is a payment provider that keeps its books right and tells of every
// step, some twice and in any order.
type provider struct {
	hold     map[int]string // by attempt: "", "held", "taken", "released"
	refunds  map[int]domain.Pence
	told     []Message
	captures map[int]int
}

func (p *provider) tell(m Message) { p.told = append(p.told, m) }

func (p *provider) do(step Step, at time.Time) {
	m := Message{Attempt: step.Attempt, ProviderID: fmt.Sprintf("prov-%d", step.Attempt), At: at}
	switch {
	case step.Kind == StepCapture && p.hold[step.Attempt] == "held":
		p.hold[step.Attempt] = "taken"
		p.captures[step.Attempt]++
		m.Kind, m.Amount = Captured, step.Amount
	case step.Kind == StepCapture && p.hold[step.Attempt] != "taken":
		m.Kind, m.Outstanding, m.Code = Failed, true, "no-hold"
	case step.Kind == StepRelease && p.hold[step.Attempt] == "held":
		p.hold[step.Attempt] = "released"
		m.Kind = Released
	case step.Kind == StepRefund && p.refunds[step.Attempt] == 0:
		p.refunds[step.Attempt] = step.Amount
		m.Kind, m.Amount, m.ProviderID = Refunded, step.Amount, fmt.Sprintf("refund-%d", step.Attempt)
	default:
		return // asked again for what is done already
	}
	p.tell(m)
}

// However the provider's messages are mixed, repeated and delayed: no hold is
// taken twice, refunds stay within what was taken, nothing is taken before the
// approval, and in the end the money is where the ruling says.
func TestMoneyFollowsTheRuling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &provider{hold: map[int]string{}, refunds: map[int]domain.Pence{}, captures: map[int]int{}}
		var s State
		now, ruling, refund := made, RulingNone, domain.Pence(0)
		apply := func(events []Event, err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = Evolve(s, e, domain.Meta{At: now})
			}
		}
		deliver := func(i int, keep bool) {
			m := p.told[i]
			if !keep {
				p.told = slices.Delete(p.told, i, i+1)
			}
			before := s
			events, err := Receive(s, m)
			apply(events, err)
			again, err := Receive(s, m)
			if err != nil || len(again) > 0 {
				t.Fatalf("%+v twice: %v, %v", m, again, err)
			}
			if len(events) == 0 && cmp.Diff(before, s) != "" {
				t.Fatal("no event and another state")
			}
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40*60).Draw(t, "minutes")) * time.Minute)
			switch action := rapid.SampledFrom([]string{"ask", "pay", "decline", "decide", "deliver", "repeat", "deliver", "step", "step"}).Draw(t, "action"); action {
			case "ask":
				if ruling != RulingNone {
					continue
				}
				if events, err := Ask(s, Request{Permit: permit, Term: 1, Mode: ModeHold, Amount: 5500, At: now}); err == nil {
					apply(events, nil)
				}
			case "pay", "decline":
				attempt := len(s.Attempts)
				if attempt == 0 || p.hold[attempt] != "" {
					continue
				}
				m := Message{Attempt: attempt, Kind: Authorised, ProviderID: fmt.Sprintf("prov-%d", attempt), HoldEndsAt: now.Add(120 * time.Hour), At: now}
				p.hold[attempt] = "held"
				if action == "decline" {
					m.Kind, p.hold[attempt] = Failed, "declined"
				}
				p.tell(m)
			case "decide":
				switch {
				case ruling == RulingDue:
					refund = domain.Pence(rapid.IntRange(0, 6000).Draw(t, "refund"))
				case ruling == RulingNone && s.Status(now) == StatusAuthorised && rapid.Bool().Draw(t, "approve"):
					ruling = RulingDue
				case ruling == RulingNone:
					ruling = RulingVoid
				}
			case "deliver", "repeat":
				if len(p.told) > 0 {
					deliver(rapid.IntRange(0, len(p.told)-1).Draw(t, "message"), action == "repeat")
				}
			case "step":
				p.do(s.NextStep(now, ruling, refund), now)
			}
			checkMoney(t, p, s, ruling)
		}
		// In the end everything is told and done.
		for range 50 {
			for len(p.told) > 0 {
				deliver(0, false)
			}
			p.do(s.NextStep(now, ruling, refund), now)
		}
		checkMoney(t, p, s, ruling)
		kept := s.Captured() - s.Refunded()
		if ruling == RulingVoid && kept != 0 {
			t.Fatalf("%s kept of a rejected application", kept)
		}
		if ruling == RulingDue && s.Status(now) != StatusOutstanding && s.Captured() == 0 {
			t.Fatalf("approved and not taken: %s", s.Status(now))
		}
		for n, state := range p.hold {
			if ruling == RulingVoid && state == "held" {
				if a, _ := s.attempt(n); !a.lapsed(now) && a.FailedAt.IsZero() {
					t.Fatalf("the hold of attempt %d is kept after a rejection", n)
				}
			}
		}
	})
}

func checkMoney(t *rapid.T, p *provider, s State, r Ruling) {
	for n, times := range p.captures {
		if times > 1 {
			t.Fatalf("attempt %d was taken %d times", n, times)
		}
	}
	if len(p.captures) > 0 && r != RulingDue {
		t.Fatal("taken without an approval")
	}
	for _, a := range s.Attempts {
		if a.Refunded > a.Captured {
			t.Fatalf("%s given back of %s", a.Refunded, a.Captured)
		}
	}
}

// The order in which what is true of one attempt is told does not matter for
// where the money is in the end.
func TestOrderOfMessagesDoesNotMatter(t *testing.T) {
	all := []Message{
		{Attempt: 1, Kind: Awaited, ProviderID: "prov", PayURL: "https://pay.example", At: made},
		{Attempt: 1, Kind: Authorised, ProviderID: "prov", HoldEndsAt: holdEnd, At: made},
		{Attempt: 1, Kind: Captured, ProviderID: "prov", Amount: 5500, At: made},
		{Attempt: 1, Kind: Refunded, ProviderID: "refund-1", Amount: 1000, At: made},
		{Attempt: 1, Kind: Refunded, ProviderID: "refund-2", Amount: 4500, At: made},
	}
	rapid.Check(t, func(t *rapid.T) {
		told := rapid.IntRange(1, len(all)).Draw(t, "how many")
		messages := rapid.Permutation(slices.Concat(all[:told], all[:told])).Draw(t, "order")
		s := history(requested(1))
		for _, m := range messages {
			events, err := Receive(s, m)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = Evolve(s, e, domain.Meta{At: made})
			}
		}
		want := []Status{StatusAwaited, StatusAuthorised, StatusCaptured, StatusRefunded, StatusRefunded}[told-1]
		if got := s.Status(made); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		if told == len(all) && s.Refunded() != s.Captured() {
			t.Fatalf("%s of %s given back", s.Refunded(), s.Captured())
		}
	})
}
