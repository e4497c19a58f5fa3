package desk_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
)

// told makes the simulated provider do something else with the next request.
func (o *office) told(account domain.AccountID, next ...string) {
	o.t.Helper()
	must(o.t, o.provider.Instruct(o.t.Context(), uuid.NewString(), account, next))
}

// appliedWhen is an application whose payment the provider was told about.
func (o *office) appliedWhen(name string, next ...string) (desk.Case, []domain.Evidence) {
	o.t.Helper()
	account, papers := o.resident(o.t.Context(), name)
	o.told(account, next...)
	cs, err := o.Apply(o.t.Context(), by(name, domain.RoleResident), account, application(papers))
	must(o.t, err)
	return cs, papers
}

// A hold made on the Thursday before Easter lapses on the Tuesday after it,
// one working day later, and until then can be decided on but for the last
// quarter of an hour.
func TestTheHoldOverEaster(t *testing.T) {
	o, ctx := openedAt(t, "2026-04-02T16:00:00Z"), t.Context()
	cs, papers := o.applied("ann", nil)
	ends, _ := cs.Payment.Hold()
	if want := moment(t, "2026-04-07T16:00:00Z"); ends.Sub(want).Abs() > time.Minute {
		t.Fatalf("the hold ends at %s, want %s", ends, want)
	}
	shows(t, "a moment before", cs.Payment.Status(ends.Add(-time.Microsecond)), payment.StatusAuthorised)
	shows(t, "at its end", cs.Payment.Status(ends), payment.StatusLapsed)

	call := by("rita", domain.RoleReviewer)
	call.At = ends.Add(-15 * time.Minute)
	_, err := o.Approve(ctx, call, cs.ID, fine(papers))
	refusedAs(t, err, domain.RuleHold)
	call.At = call.At.Add(-time.Microsecond)
	cs, err = o.Approve(ctx, call, cs.ID, fine(papers))
	must(t, err)
	shows(t, "first day", cs.Permit.FirstDay(), "2026-04-07")

	// The capture comes too late: the permit stands and the sum is owed.
	settling := by("", domain.RoleSystem)
	settling.At = ends.Add(time.Second)
	_, err = o.Settle(ctx, settling, cs.ID, 1)
	must(t, err)
	o.clock.Set(ends.Add(time.Hour))
	cs = o.now(cs.ID)
	shows(t, "state", status(cs), permit.StatusActive)
	shows(t, "money", money(cs), payment.StatusOutstanding)
	shows(t, "taken", cs.Payment.Captured(), "£0.00")
	_, err = o.Pay(ctx, by("ann", domain.RoleResident), cs.ID)
	refusedAs(t, err, domain.RuleNotPending)
}

// A lapsed hold rejects nobody: the application waits, cannot be approved, can
// be paid for again, and can be rejected.
func TestAfterALapse(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs, papers := o.applied("ann", nil)
	_, err := o.Pay(ctx, by("ann", domain.RoleResident), cs.ID)
	refusedAs(t, err, domain.RuleHold)
	ends, _ := cs.Payment.Hold()
	o.clock.Set(ends)
	shows(t, "state", status(o.now(cs.ID)), permit.StatusPending)
	shows(t, "money", money(o.now(cs.ID)), payment.StatusLapsed)
	_, err = o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	refusedAs(t, err, domain.RuleHold)

	again := by("ann", domain.RoleResident)
	paid, err := o.Pay(ctx, again, cs.ID)
	must(t, err)
	shows(t, "money", money(paid), payment.StatusAuthorised)
	o.clock.Set(o.Now().Add(time.Hour))
	approved, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(t, err)
	shows(t, "first day", approved.Permit.FirstDay(), domain.DateOf(o.Now()))
	shows(t, "taken", o.settled(cs.ID, 1).Payment.Captured(), "£55.00")
	repeated, err := o.Pay(ctx, again, cs.ID)
	must(t, err)
	shows(t, "the payment told again", money(repeated), payment.StatusAuthorised)

	lapsed, papers := o.applied("bob", nil)
	ends, _ = lapsed.Payment.Hold()
	o.clock.Set(ends)
	_, err = o.Reject(ctx, by("rita", domain.RoleReviewer), lapsed.ID, rejection(papers))
	must(t, err)
	shows(t, "money after a rejection", money(o.settled(lapsed.ID, 1)), payment.StatusLapsed)
}

func TestWhatTheProviderMayDo(t *testing.T) {
	t.Run("decline", func(t *testing.T) {
		o, ctx := newOffice(t), t.Context()
		cs, papers := o.appliedWhen("ann", "decline")
		shows(t, "money", money(cs), payment.StatusFailed)
		_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
		refusedAs(t, err, domain.RuleHold)
		cs, err = o.Pay(ctx, by("ann", domain.RoleResident), cs.ID)
		must(t, err)
		shows(t, "money", money(cs), payment.StatusAuthorised)
		shows(t, "attempts", len(cs.Payment.Attempts), 2)
	})
	t.Run("lapse", func(t *testing.T) {
		o, ctx := newOffice(t), t.Context()
		cs, papers := o.appliedWhen("ann", "lapse")
		shows(t, "money", money(cs), payment.StatusLapsed)
		_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
		refusedAs(t, err, domain.RuleHold)
		_, err = o.Reject(ctx, by("rita", domain.RoleReviewer), cs.ID, rejection(papers))
		must(t, err)
	})
	t.Run("duplicate", func(t *testing.T) {
		o := newOffice(t)
		cs, _ := o.appliedWhen("ann", "duplicate")
		history, err := o.ledger.History(t.Context(), payment.Stream(cs.ID, 1))
		must(t, err)
		shows(t, "events", len(history), 2)
	})
	t.Run("late", func(t *testing.T) {
		o, ctx := newOffice(t), t.Context()
		cs, papers := o.appliedWhen("ann", "late")
		shows(t, "money", money(cs), payment.StatusAwaited)
		if a, _ := cs.Payment.Current(); a.PayURL == "" {
			t.Error("the payer is sent nowhere")
		}
		_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
		refusedAs(t, err, domain.RuleHold)
		_, err = o.Pay(ctx, by("ann", domain.RoleResident), cs.ID)
		refusedAs(t, err, domain.RuleHold)
		o.clock.Set(o.Now().Add(time.Hour))
		o.delivered()
		o.delivered() // the same message again
		now := o.now(cs.ID)
		shows(t, "money", money(now), payment.StatusAuthorised)
		ends, _ := now.Payment.Hold()
		shows(t, "counted from its creation", ends.Sub(now.Payment.Attempts[0].RequestedAt), 120*time.Hour)
	})
}

// delivered receives what the provider sends by itself, without telling it so.
func (o *office) delivered() {
	o.t.Helper()
	messages, err := o.provider.Deliver(o.t.Context(), o.Now())
	must(o.t, err)
	for _, m := range messages {
		_, err := o.Receive(o.t.Context(), m)
		must(o.t, err)
	}
}

// The first decision rules the money, whatever comes after it.
func TestTheFirstDecisionRulesTheMoney(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	rejected, papers := o.applied("ann", nil)
	_, err := o.Reject(ctx, by("rita", domain.RoleReviewer), rejected.ID, rejection(papers))
	must(t, err)
	shows(t, "rejected", money(o.settled(rejected.ID, 1)), payment.StatusReleased)

	withdrawn, _ := o.applied("bob", nil)
	_, err = o.Cancel(ctx, by("bob", domain.RoleResident), withdrawn.ID, "")
	must(t, err)
	shows(t, "withdrawn", money(o.settled(withdrawn.ID, 1)), payment.StatusReleased)

	cancelled, papers := o.applied("cid", nil)
	_, err = o.Approve(ctx, by("rita", domain.RoleReviewer), cancelled.ID, fine(papers))
	must(t, err)
	_, err = o.Cancel(ctx, by("cid", domain.RoleResident), cancelled.ID, "")
	must(t, err)
	cs := o.settled(cancelled.ID, 1)
	shows(t, "cancelled after approval", money(cs), payment.StatusCaptured)
	shows(t, "given back", cs.Payment.Refunded(), "£0.00")
	shows(t, "state", status(cs), permit.StatusCancelled)

	late, _ := o.appliedWhen("dan", "late")
	_, err = o.Cancel(ctx, by("dan", domain.RoleResident), late.ID, "")
	must(t, err)
	o.clock.Set(o.Now().Add(2 * time.Hour))
	o.delivered()
	shows(t, "held after it was withdrawn", money(o.settled(late.ID, 1)), payment.StatusReleased)
}

// £55.00 for twelve months, five whole months unused, £10.00 fee: £12.91.
func TestARefundByThePolicy(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	o.withPolicy("2026-03-02", func(r *policy.Rules) {
		r.Refund = policy.RefundRule{Kind: policy.RefundWholeMonths, AdminFee: 1000}
	})
	cs := o.running("ann", nil)
	o.to("2026-09-15T10:00:00Z") // in the seventh month, which began on 2 September
	cancelled, err := o.Cancel(ctx, by("ann", domain.RoleResident), cs.ID, "")
	must(t, err)
	shows(t, "to give back", cancelled.Permit.Cancellation.Refund, "£12.91")
	for range 2 {
		cs = o.settled(cs.ID, 1)
		shows(t, "given back", cs.Payment.Refunded(), "£12.91")
	}
}

// Whoever settles what fell due long ago, as after a crash, has what came since
// settled, too, and not before it came.
func TestNothingIsSettledBeforeItsCause(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	o.withPolicy("2026-03-02", func(r *policy.Rules) { r.Refund.Kind = policy.RefundWholeMonths })
	cs := o.running("ann", nil)
	settling := desk.SystemCall("settle", "", o.Now())
	o.to("2026-09-15T10:00:00Z")
	cancelled, err := o.Cancel(ctx, by("ann", domain.RoleResident), cs.ID, "")
	must(t, err)
	_, err = o.Settle(ctx, settling, cs.ID, 1)
	must(t, err)
	money, err := o.Ledger.History(ctx, payment.Stream(cs.ID, 1))
	must(t, err)
	last := money[len(money)-1]
	shows(t, "settled", last.Type, payment.TypePaymentRefunded)
	shows(t, "at", last.RecordedAt, cancelled.Permit.Cancellation.RecordedAt)
}

// A renewal whose permit is cancelled before the money comes is given back.
func TestARenewalPaidTooLate(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	cs := o.running("ann", nil)
	o.to("2026-03-20T09:00:00Z")
	o.told(cs.Permit.Account, "late")
	renewal := by("ann", domain.RoleResident)
	r, err := o.Renew(ctx, renewal, cs.ID, 0, nil)
	must(t, err)
	if r.Awaited == nil || len(r.Permit.Terms) != 1 {
		t.Fatalf("the renewal is written before it is paid: %+v", r)
	}
	_, err = o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil)
	refusedAs(t, err, domain.RuleHold)
	_, err = o.Cancel(ctx, by("ann", domain.RoleResident), cs.ID, "")
	must(t, err)
	o.clock.Set(o.Now().Add(2 * time.Hour))
	o.delivered()
	now := o.settled(cs.ID, 2)
	shows(t, "terms", len(now.Permit.Terms), 1)
	again, err := o.Renew(ctx, renewal, cs.ID, 0, nil)
	must(t, err)
	if again.Awaited == nil || again.Position != r.Position {
		t.Errorf("the repeated renewal is answered with %+v", again)
	}
	taken, back := o.cash(cs.ID)
	shows(t, "taken in all", taken, "£110.00")
	shows(t, "given back", back, "£55.00")
}

// cash is all that was taken and given back for a permit.
func (o *office) cash(id domain.PermitID) (taken, back domain.Pence) {
	o.t.Helper()
	story, err := desk.Story(o.t.Context(), o.ledger, id)
	must(o.t, err)
	for _, e := range story {
		switch body := e.Body.(type) {
		case payment.PaymentCaptured:
			taken += body.Amount
		case payment.PaymentRefunded:
			back += body.Amount
		}
	}
	return taken, back
}

// A provider tells how much has gone back in all, and may tell an earlier sum
// after a later one.
func TestRefundsToldOutOfOrder(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs := o.running("ann", nil)
	a, _ := cs.Payment.Current()
	for _, total := range []domain.Pence{1291, 300, 1291} {
		_, err := o.Receive(ctx, payments.Message{Reference: a.Request.Reference, ProviderID: a.ProviderID,
			Kind: payments.KindRefunded, Amount: total, At: o.Now()})
		must(t, err)
	}
	shows(t, "given back", o.now(cs.ID).Payment.Refunded(), "£12.91")
}

// A declined renewal takes nothing and can be tried again; one that succeeded
// cannot be paid twice.
func TestADeclinedRenewal(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	cs := o.running("ann", nil)
	o.to("2026-03-20T09:00:00Z")
	o.told(cs.Permit.Account, "decline")
	_, err := o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil)
	refusedAs(t, err, domain.RuleHold)
	shows(t, "terms", len(o.now(cs.ID).Permit.Terms), 1)
	off := false
	r, err := o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, &off)
	must(t, err)
	shows(t, "cover", cover(r.Case), "2025-04-01 to 2027-03-31")
	shows(t, "auto-renewal", r.Permit.AutoRenewalOn(r.At), false)
	_, err = o.CancelAutoRenewal(ctx, by("ann", domain.RoleResident), cs.ID)
	refusedAs(t, err, domain.RuleAutoRenewalOff)
	taken, _ := o.cash(cs.ID)
	shows(t, "taken", taken, "£110.00")
}

// Automatic renewal needs the consent that it was given, and each failed
// attempt is recorded.
func TestAutomaticRenewal(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	cs := o.running("ann", nil)
	o.to("2026-03-24T00:00:00Z")
	o.told(cs.Permit.Account, "decline")
	first := desk.SystemCall("auto-renewal, 24 March", "", o.Now())
	_, err := o.AutoRenew(ctx, first, cs.ID)
	must(t, err)
	_, err = o.AutoRenew(ctx, first, cs.ID) // the same occasion: the same attempt
	must(t, err)
	shows(t, "terms after a decline", len(o.now(cs.ID).Permit.Terms), 1)
	o.to("2026-03-25T00:00:00Z")
	second := desk.SystemCall("auto-renewal, 25 March", "", o.Now())
	end, err := o.AutoRenew(ctx, second, cs.ID)
	must(t, err)
	again, err := o.AutoRenew(ctx, second, cs.ID)
	must(t, err)
	shows(t, "repeated", again, end)
	now := o.now(cs.ID)
	shows(t, "cover", cover(now), "2025-04-01 to 2027-03-31")
	shows(t, "automatic", now.Permit.Latest().Automatic, true)
	shows(t, "attempts", len(now.Payment.Attempts), 2)
	taken, _ := o.cash(cs.ID)
	shows(t, "taken", taken, "£110.00")

	bob := o.running("bob", nil)
	_, err = o.CancelAutoRenewal(ctx, by("bob", domain.RoleResident), bob.ID)
	must(t, err)
	o.to("2027-03-20T00:00:00Z")
	_, err = o.AutoRenew(ctx, desk.SystemCall("auto-renewal of bob's", "", o.Now()), bob.ID)
	refusedAs(t, err, domain.RuleAutoRenewalOff)
	shows(t, "state", status(o.now(bob.ID)), permit.StatusActive)
}
