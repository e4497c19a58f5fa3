package desk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

// cut is a way to a provider that breaks: before the provider has acted, or
// after it has, when its answer is lost. Each break happens once.
type cut struct {
	desk.Gateway
	before, after int // calls that break, counted down
}

var errCut = errors.New("the line to the provider is cut")

func (c *cut) through(call func() ([]payments.Message, error)) ([]payments.Message, error) {
	if c.before > 0 {
		c.before--
		return nil, errCut
	}
	messages, err := call()
	if c.after > 0 {
		c.after--
		return nil, errCut
	}
	return messages, err
}

func (c *cut) Request(ctx context.Context, charge payments.Charge) ([]payments.Message, error) {
	return c.through(func() ([]payments.Message, error) { return c.Gateway.Request(ctx, charge) })
}

func (c *cut) Capture(ctx context.Context, id string, at time.Time) ([]payments.Message, error) {
	return c.through(func() ([]payments.Message, error) { return c.Gateway.Capture(ctx, id, at) })
}

func (c *cut) Release(ctx context.Context, id string, at time.Time) ([]payments.Message, error) {
	return c.through(func() ([]payments.Message, error) { return c.Gateway.Release(ctx, id, at) })
}

func (c *cut) Refund(ctx context.Context, id string, amount domain.Pence, at time.Time) ([]payments.Message, error) {
	return c.through(func() ([]payments.Message, error) { return c.Gateway.Refund(ctx, id, amount, at) })
}

// breaking is a desk whose line to the provider is cut once.
func (o *office) breaking(after bool) *desk.Desk {
	c := &cut{Gateway: o.provider, before: 1}
	if after {
		c.before, c.after = 0, 1
	}
	return o.desk(func(cfg *desk.Config) { cfg.Gateway = c })
}

// crashes runs a test for a line that breaks before and after the provider
// has acted.
func crashes(t *testing.T, test func(t *testing.T, after bool)) {
	t.Run("before the provider acts", func(t *testing.T) { test(t, false) })
	t.Run("after the provider acted", func(t *testing.T) { test(t, true) })
}

// An application that broke off at its payment goes on when it is repeated,
// and has one slot, one Applied and one hold.
func TestAnApplicationThatBrokeOffAtItsPayment(t *testing.T) {
	crashes(t, func(t *testing.T, after bool) {
		o, ctx := newOffice(t), t.Context()
		account, papers := o.resident(ctx, "ann")
		call := by("ann", domain.RoleResident)
		if _, err := o.breaking(after).Apply(ctx, call, account, application(papers)); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		id := desk.PermitOf(call)
		_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), id, fine(papers))
		refusedAs(t, err, domain.RuleHold)
		cs, err := o.Apply(ctx, call, account, application(papers))
		must(t, err)
		shows(t, "money", money(cs), payment.StatusAuthorised)
		o.wrote(id, "Applied", "PaymentRequested", "PaymentAuthorised")
	})
}

// wrote compares the types of all events of a permit and its payments.
func (o *office) wrote(id domain.PermitID, want ...string) {
	o.t.Helper()
	story, err := desk.Story(o.t.Context(), o.ledger, id)
	must(o.t, err)
	var got []string
	for i, e := range story {
		got = append(got, e.Type)
		if i > 0 && e.RecordedAt.Before(story[i-1].RecordedAt) {
			o.t.Errorf("%s is recorded at %s, before %s", e.Type, e.RecordedAt, story[i-1].Type)
		}
	}
	shows(o.t, "events", got, want)
}

// Whoever meets an attempt that broke off finishes it: the resident at the
// desk with another key, the renewal's next try, and the timer that would
// have withdrawn what is in truth paid for.
func TestWhoMeetsAPaymentThatBrokeOff(t *testing.T) {
	begun := func(t *testing.T, after bool) (*office, domain.PermitID) {
		o, ctx := newOffice(t), t.Context()
		account, papers := o.resident(ctx, "ann")
		call := by("ann", domain.RoleResident)
		_, err := o.breaking(after).Apply(ctx, call, account, application(papers))
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		return o, desk.PermitOf(call)
	}
	crashes(t, func(t *testing.T, after bool) {
		t.Run("pay", func(t *testing.T) {
			o, id := begun(t, after)
			_, err := o.Pay(t.Context(), by("ann", domain.RoleResident), id)
			if err != nil {
				refusedAs(t, err, domain.RuleHold) // it was paid by the first attempt
			}
			shows(t, "money", money(o.now(id)), payment.StatusAuthorised)
		})
		t.Run("timer", func(t *testing.T) {
			o, id := begun(t, after)
			o.clock.Set(o.Now().Add(2 * time.Hour))
			_, err := o.WithdrawUnpaid(t.Context(), desk.SystemCall("unpaid", "", o.Now()), id)
			must(t, err)
			shows(t, "state", status(o.now(id)), permit.StatusPending)
			shows(t, "money", money(o.now(id)), payment.StatusAuthorised)
		})
		t.Run("settle", func(t *testing.T) {
			o, id := begun(t, after)
			_, err := o.Cancel(t.Context(), by("ann", domain.RoleResident), id, "")
			must(t, err)
			shows(t, "money", money(o.settled(id, 1)), payment.StatusReleased)
		})
		t.Run("renewal", func(t *testing.T) {
			o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
			cs := o.running("ann", nil)
			o.to("2026-03-20T09:00:00Z")
			if _, err := o.breaking(after).Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			_, err := o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil) // another key
			if err != nil {
				refusedAs(t, err, domain.RuleHold)
			}
			shows(t, "cover", cover(o.settled(cs.ID, 2)), "2025-04-01 to 2027-03-31")
			taken, back := o.cash(cs.ID)
			shows(t, "taken", taken-back, "£110.00")
		})
	})
}

// A repeated application does not ask for money that nobody waits for: not
// when it was withdrawn or rejected meanwhile, nor beside another attempt.
func TestAnApplicationRepeatedTooLate(t *testing.T) {
	stopped := func(t *testing.T) (*office, desk.Call, domain.AccountID, []domain.Evidence) {
		o, ctx := newOffice(t), t.Context()
		account, papers := o.resident(ctx, "ann")
		call := by("ann", domain.RoleResident)
		o.stopAfterApplied(t, call, account, papers)
		return o, call, account, papers
	}
	t.Run("withdrawn", func(t *testing.T) {
		o, call, account, papers := stopped(t)
		o.clock.Set(o.Now().Add(3 * time.Hour))
		_, err := o.WithdrawUnpaid(t.Context(), desk.SystemCall("unpaid", "", o.Now()), desk.PermitOf(call))
		must(t, err)
		cs, err := o.Apply(t.Context(), call, account, application(papers))
		must(t, err)
		shows(t, "answer", status(cs), permit.StatusPending)
		o.wrote(cs.ID, "Applied", "Cancelled")
	})
	t.Run("rejected", func(t *testing.T) {
		o, call, account, papers := stopped(t)
		_, err := o.Reject(t.Context(), by("rita", domain.RoleReviewer), desk.PermitOf(call), rejection(papers))
		must(t, err)
		cs, err := o.Apply(t.Context(), call, account, application(papers))
		must(t, err)
		o.wrote(cs.ID, "Applied", "Rejected")
	})
	t.Run("paid otherwise", func(t *testing.T) {
		o, call, account, papers := stopped(t)
		paid, err := o.Pay(t.Context(), by("ann", domain.RoleResident), desk.PermitOf(call))
		must(t, err)
		for _, wait := range []time.Duration{time.Minute, 121 * time.Hour} { // also when that hold has lapsed
			o.clock.Set(o.Now().Add(wait))
			_, err := o.Apply(t.Context(), call, account, application(papers))
			must(t, err)
		}
		o.wrote(paid.ID, "Applied", "PaymentRequested", "PaymentAuthorised")
	})
}

// Settling goes on where it broke off, and moves the money once.
func TestSettlingThatBrokeOff(t *testing.T) {
	crashes(t, func(t *testing.T, after bool) {
		o, ctx := newOffice(t), t.Context()
		approved, papers := o.applied("ann", nil)
		_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), approved.ID, fine(papers))
		must(t, err)
		rejected, papers := o.applied("bob", nil)
		_, err = o.Reject(ctx, by("rita", domain.RoleReviewer), rejected.ID, rejection(papers))
		must(t, err)
		for id, want := range map[domain.PermitID]payment.Status{approved.ID: payment.StatusCaptured, rejected.ID: payment.StatusReleased} {
			if _, err := o.breaking(after).Settle(ctx, by("", domain.RoleSystem), id, 1); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			shows(t, "money", money(o.settled(id, 1)), want)
			end, err := o.Settle(ctx, by("", domain.RoleSystem), id, 1)
			must(t, err)
			shows(t, "written when there is nothing to do", end, 0)
		}
		o.wrote(approved.ID, "Applied", "PaymentRequested", "PaymentAuthorised", "Approved", "PaymentCaptured")
		o.wrote(rejected.ID, "Applied", "PaymentRequested", "PaymentAuthorised", "Rejected", "PaymentReleased")
	})
}

// A renewal that broke off goes on with its own key, also after others have
// finished it, and is charged once.
func TestARenewalThatBrokeOff(t *testing.T) {
	crashes(t, func(t *testing.T, after bool) {
		o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
		cs := o.running("ann", nil)
		o.to("2026-03-20T09:00:00Z")
		call := by("ann", domain.RoleResident)
		if _, err := o.breaking(after).Renew(ctx, call, cs.ID, 0, nil); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		var first desk.Renewal
		for i := range 3 {
			r, err := o.Renew(ctx, call, cs.ID, 0, nil)
			must(t, err)
			if i == 0 {
				first = r
			}
			shows(t, "cover", cover(r.Case), "2025-04-01 to 2027-03-31")
			shows(t, "position", r.Position, first.Position)
			o.clock.Set(o.Now().Add(24 * time.Hour))
		}
		taken, _ := o.cash(cs.ID)
		shows(t, "taken", taken, "£110.00")
	})
}

// The money for a renewal was taken in the last moment and the program
// stopped: what was taken in time renews, whoever writes it a minute later.
func TestARenewalTakenInTheLastMoment(t *testing.T) {
	for _, c := range []struct {
		name    string
		later   time.Duration
		renewed bool
	}{{"a minute later", time.Minute, true}, {"an hour later", time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
			cs := o.running("ann", nil)
			end := moment(t, "2026-03-31T23:00:00Z")
			o.clock.Set(end.Add(-time.Minute))
			o.stopRenewalAfterPayment(t, cs.ID, end.Add(-time.Second))
			settling := by("", domain.RoleSystem)
			settling.At = end.Add(c.later)
			_, err := o.Settle(ctx, settling, cs.ID, 2)
			must(t, err)
			taken, back := o.cash(cs.ID)
			shows(t, "renewed", len(o.now(cs.ID).Permit.Terms) == 2, c.renewed)
			shows(t, "kept", taken-back == 11000, c.renewed)
		})
	}
}

// The consent to automatic renewal is taken back while its charge is being
// made: the money goes back, and the permit can still be renewed by hand.
func TestConsentTakenBackDuringItsCharge(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	cs := o.running("ann", nil)
	o.to("2026-03-24T00:00:00Z")
	must(t, o.RenewPaymentOnly(ctx, desk.SystemCall("auto-renewal", "", o.Now()), cs.ID, payment.ModeAgreement))
	_, err := o.CancelAutoRenewal(ctx, by("ann", domain.RoleResident), cs.ID)
	must(t, err)
	o.settled(cs.ID, 2)
	taken, back := o.cash(cs.ID)
	shows(t, "kept after the charge", taken-back, "£55.00")
	r, err := o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil)
	must(t, err)
	shows(t, "cover", cover(r.Case), "2025-04-01 to 2027-03-31")
	shows(t, "auto-renewal", r.Permit.AutoRenewalOn(r.At), false)
	shows(t, "money", money(o.settled(cs.ID, 2)), payment.StatusCaptured)
	taken, back = o.cash(cs.ID)
	shows(t, "kept in the end", taken-back, "£110.00")
}

// A command has one instant: the price, the day and the event agree although
// the clock passes midnight while it is being carried out.
func TestACommandOverMidnight(t *testing.T) {
	o, ctx := openedAt(t, "2025-03-31T22:00:00Z"), t.Context()
	account, papers := o.resident(ctx, "ann")
	ticking := &ticking{at: moment(t, "2025-03-31T22:59:59.9Z"), step: 20 * time.Millisecond}
	d := o.desk(func(c *desk.Config) { c.Clock = ticking })
	cs, err := d.Apply(ctx, by("ann", domain.RoleResident), account, application(papers))
	must(t, err)
	tariff, _ := o.Book().TariffOn(cs.Permit.SubmittedOn)
	shows(t, "tariff of "+cs.Permit.SubmittedOn.String(), cs.Permit.TariffVersion, tariff.Version)
	shows(t, "day submitted", cs.Permit.SubmittedOn, domain.DateOf(cs.Permit.SubmittedAt))
}

// ticking is a clock that goes on each time it is looked at.
type ticking struct {
	at   time.Time
	step time.Duration
}

func (c *ticking) Now() time.Time {
	c.at = c.at.Add(c.step)
	return c.at
}

var _ desk.Clock = (*clock.Simulated)(nil)

// stopAfterApplied leaves an application where a crash before its payment
// leaves it: the provider's line is not even tried.
func (o *office) stopAfterApplied(t *testing.T, c desk.Call, account domain.AccountID, papers []domain.Evidence) {
	t.Helper()
	must(t, o.ApplyOnly(t.Context(), c, account, application(papers)))
}

// stopRenewalAfterPayment leaves a renewal where a crash after its payment
// leaves it.
func (o *office) stopRenewalAfterPayment(t *testing.T, id domain.PermitID, at time.Time) {
	t.Helper()
	c := by("ann", domain.RoleResident)
	c.At = at
	must(t, o.RenewPaymentOnly(t.Context(), c, id, payment.ModeImmediate))
}
