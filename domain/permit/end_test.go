package permit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
	"permitledger/domain/policy"
)

func TestCancellationTakesEffectAtItsInstant(t *testing.T) {
	at := noon("2026-06-01")
	l := approved(t, "2026-03-01", 12).do(at, Cancel{Words: "I moved away.", Rules: rules()})
	want := Cancelled{Reason: CancelledByHolder, EffectiveAt: at, RefundRule: policy.RefundNone,
		Personal: domain.PersonalOf(CancelledPersonal{Words: "I moved away."})}
	if diff := cmp.Diff(Event(want), l.last()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if l.state.Status(at.Add(-1)) != StatusActive || l.state.Status(at) != StatusCancelled {
		t.Error("the cancellation is not at its instant")
	}
	if ends, ok := l.state.EndsAt(); !ok || !ends.Equal(at) {
		t.Errorf("ends at %s", ends)
	}
}

func TestCancellationForWantOfPayment(t *testing.T) {
	at := noon("2026-03-01")
	for _, reason := range []CancelReason{CancelledUnpaid, CancelledHoldLapsed} {
		l := begin(t).do(at, application(at)).do(at.Add(2*time.Hour), Cancel{Reason: reason, Rules: rules()})
		if got := l.last().(Cancelled); got.Reason != reason || got.Refund != 0 {
			t.Errorf("%+v", got)
		}
		// The timer that comes too late changes nothing.
		approved(t, "2026-03-01", 12).refused(noon("2026-03-20"), Cancel{Reason: reason}, domain.RuleNotPending)
	}
	begin(t).do(at, application(at)).refused(at, Cancel{Reason: CancelledByCouncil}, domain.RuleReasons)
}

func TestNothingIsWrittenBeforeAnEndThatIsWritten(t *testing.T) {
	at := noon("2026-03-01")
	l := begin(t).do(at, application(at)).do(at.Add(time.Hour), Cancel{Rules: rules()})
	l.refused(at, approval(at), domain.RuleNotPending)
	l.refused(at, Reject{Review: review()}, domain.RuleNotPending)
	l.refused(at, Cancel{Rules: rules()}, domain.RuleNotLive)
	l.refused(at, CancelAutoRenewal{}, domain.RuleAutoRenewalOff)
}

func TestWithdrawalGivesNotice(t *testing.T) {
	at := noon("2026-06-01")
	effective := instant("2026-06-30T23:00:00Z") // midnight in London
	l := approved(t, "2026-03-01", 12).do(at, withdrawal(day("2026-07-01")))
	c := l.state.Cancellation
	if c.Reason != CancelledByCouncil || !c.EffectiveAt.Equal(effective) || !c.RecordedAt.Equal(at) ||
		c.Decided.Record.Outcome != domain.OutcomeWithdrawn || c.Decided.Words.Told == "" {
		t.Errorf("cancellation %+v", c)
	}
	if d, ok := l.state.Decision(); !ok || d.Record.Outcome != domain.OutcomeApproved {
		t.Error("the withdrawal took the place of the approval")
	}
	if l.state.Status(effective.Add(-1)) != StatusActive || l.state.Status(effective) != StatusCancelled {
		t.Error("the permit does not stay live until the day named")
	}
	if l.state.AutoRenewalOn(at) {
		t.Error("a permit whose end is decided would be renewed")
	}
}

func TestWithdrawalDays(t *testing.T) {
	at := noon("2026-06-01")
	for on, ok := range map[string]bool{
		"2026-05-31": false, "2026-06-01": true, "2027-02-28": true, "2027-03-01": false,
	} {
		l := approved(t, "2026-03-01", 12)
		if !ok {
			l.refused(at, withdrawal(day(on)), domain.RuleFirstDay)
			continue
		}
		l.do(at, withdrawal(day(on)))
		if l.state.Cancellation.EffectiveAt.Before(at) {
			t.Errorf("the withdrawal for %s is back-dated", on)
		}
	}
	approved(t, "2026-03-01", 12).refused(at, Withdraw{Review: review()}, domain.RuleFirstDay)
}

// £55.00 for 12 months with 5 whole months unused, less £10.00: £12.91.
func TestRefundIsFixedInTheEvent(t *testing.T) {
	r := rules()
	r.Refund = policy.RefundRule{Kind: policy.RefundWholeMonths, AdminFee: 1000}
	at := noon("2026-09-15")
	l := approved(t, "2026-03-01", 12).do(at, Cancel{Rules: r})
	if got := l.state.Cancellation; got.Refund != 1291 || got.RefundRule != policy.RefundWholeMonths {
		t.Errorf("refund %d by %s", got.Refund, got.RefundRule)
	}

	renewed := approved(t, "2025-10-01", 12).do(noon("2026-09-15"), renewal(0)).do(noon("2026-09-20"), Cancel{Rules: r})
	if got := renewed.state.Cancellation.Refund; got != 5500-1000 {
		t.Errorf("refund with a whole term ahead: %d", got)
	}

	c := withdrawal(day("2026-10-01"))
	c.Rules = r
	if got := approved(t, "2026-03-01", 12).do(at, c).state.Cancellation.Refund; got != 1291 {
		t.Errorf("refund of a withdrawal: %d", got)
	}
	if got := begin(t).do(at, application(at)).do(at, Cancel{Rules: r}).state.Cancellation.Refund; got != 0 {
		t.Errorf("refund of what was never taken: %d", got)
	}
}
