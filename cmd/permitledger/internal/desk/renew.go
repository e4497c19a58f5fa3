package desk

import (
	"context"
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// Renew adds a term to a permit. The money is asked for first; Renewed is
// written when it was taken. Should the program stop in between, Settle
// finishes what was begun.
func (d *Desk) Renew(ctx context.Context, c Call, id domain.PermitID, months int, autoRenewal *bool) (Renewal, error) {
	return d.renew(ctx, c, id, renewing{Months: months, AutoRenewal: autoRenewal, Mode: payment.ModeImmediate})
}

// AutoRenew tries to renew a permit under the agreement that came with its
// automatic renewal. An attempt that the provider declines is recorded and is
// no error.
func (d *Desk) AutoRenew(ctx context.Context, c Call, id domain.PermitID) (eventstore.Position, error) {
	r, err := d.renew(ctx, c, id, renewing{Mode: payment.ModeAgreement})
	return r.Position, err
}

// renewing is how a permit is to be renewed.
type renewing struct {
	Months      int
	AutoRenewal *bool
	Mode        payment.Mode
}

func (d *Desk) renew(ctx context.Context, c Call, id domain.PermitID, how renewing) (Renewal, error) {
	c = d.dated(c)
	story, err := Story(ctx, d.Ledger, id)
	if err != nil {
		return Renewal{}, err
	}
	if len(story) == 0 {
		return Renewal{}, ErrNotFound
	}
	seen := After(id, story)
	request, begun := begunBy(story, c.ID)
	if !begun {
		if err := matchRevision(c, seen); err != nil {
			return Renewal{}, err
		}
		state, _ := fold(story, permits, everything)
		if request, err = d.planRenewal(c, id, state, how); err != nil {
			return Renewal{}, err
		}
	}
	if request.Amount == 0 {
		return d.renewFree(ctx, c, id, how, request)
	}
	p, err := d.pay(ctx, c, request, func() error { return matchRevision(c, seen) })
	if err != nil {
		return Renewal{}, err
	}
	return d.renewPaid(ctx, c, id, how, p)
}

// begunBy finds the payment that a command asked for already. A free renewal
// leaves none, and Handle finds that one by itself.
func begunBy(story []eventstore.Event, command domain.CommandID) (payment.Request, bool) {
	for _, e := range story {
		if e.Command != command {
			continue
		}
		switch body := e.Body.(type) {
		case payment.PaymentRequested:
			return payment.Request{Permit: body.Permit, Account: body.Account, Term: body.Term, Mode: body.Mode,
				Amount: body.Amount, Months: body.Months, AutoRenewal: body.AutoRenewal,
				TariffVersion: body.TariffVersion, TermsVersion: body.TermsVersion}, true
		case permit.Renewed:
			return payment.Request{}, true
		}
	}
	return payment.Request{}, false
}

// planRenewal checks that the permit can be renewed and says what it costs.
func (d *Desk) planRenewal(c Call, id domain.PermitID, s permit.State, how renewing) (payment.Request, error) {
	at := d.at(c)
	today := domain.DateOf(at)
	rules, err := d.rulesOn(today)
	if err != nil {
		return payment.Request{}, err
	}
	plan, err := permit.PlanRenewal(s, at, how.Months, rules.Rules)
	if err != nil {
		return payment.Request{}, err
	}
	if how.Mode == payment.ModeAgreement && !s.AutoRenewalOn(at) {
		return payment.Request{}, domain.Refuse(domain.RuleAutoRenewalOff, "", "Automatic renewal is off: the holder has not agreed to this charge.")
	}
	quote, err := d.Book().Quote(s.Kind, plan.Months, today)
	if err != nil {
		return payment.Request{}, err
	}
	terms, err := d.acceptedTerms("", today)
	if err != nil {
		return payment.Request{}, err
	}
	return payment.Request{Permit: id, Account: s.Account, Term: plan.Term, Mode: how.Mode, Amount: quote.Price,
		Months: plan.Months, AutoRenewal: how.AutoRenewal, TariffVersion: quote.TariffVersion, TermsVersion: terms}, nil
}

func (d *Desk) renewFree(ctx context.Context, c Call, id domain.PermitID, how renewing, r payment.Request) (Renewal, error) {
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Renewal{}, err
	}
	cs, err = d.changePermit(ctx, c, cs, d.versionsOn(domain.DateOf(d.at(c))), permit.Renew{Months: r.Months,
		AutoRenewal: how.AutoRenewal, TariffVersion: r.TariffVersion, TermsVersion: r.TermsVersion,
		Automatic: how.Mode == payment.ModeAgreement, Rules: cs.Rules})
	return Renewal{Case: cs}, err
}

// renewPaid goes on from what the provider said.
func (d *Desk) renewPaid(ctx context.Context, c Call, id domain.PermitID, how renewing, p paid) (Renewal, error) {
	switch p.State.Status(p.At) {
	case payment.StatusAwaited:
		cs, err := d.caseAt(ctx, id, p.Position, p.At)
		return Renewal{Case: cs, Awaited: &p.State}, err
	case payment.StatusCaptured, payment.StatusRefunded:
		return d.renewTaken(ctx, c, id, p)
	}
	if how.Mode == payment.ModeAgreement { // recorded, and tried again another day
		return Renewal{Case: Case{ID: id, Position: p.Position}}, nil
	}
	return Renewal{}, domain.Refuse(domain.RuleHold, "",
		"The payment was declined and nothing was taken; try again with another card.")
}

func (d *Desk) renewTaken(ctx context.Context, c Call, id domain.PermitID, p paid) (Renewal, error) {
	if _, err := d.writeRenewal(ctx, c, id, p.State); err != nil {
		return Renewal{}, err
	}
	// The reactor may have been quicker: the term is found by its payment.
	stream := payment.Stream(id, p.State.Term)
	events, err := d.Ledger.History(ctx, permit.Stream(id))
	if err != nil {
		return Renewal{}, err
	}
	for _, e := range events {
		if r, ok := e.Body.(permit.Renewed); ok && r.Payment == stream {
			cs, err := d.caseAt(ctx, id, max(e.Position, p.Position), e.RecordedAt)
			return Renewal{Case: cs}, err
		}
	}
	return Renewal{}, fmt.Errorf("the renewal paid by %s was not written", stream)
}

// writeRenewal writes the renewal that a payment was taken for, once.
func (d *Desk) writeRenewal(ctx context.Context, c Call, id domain.PermitID, money payment.State) (eventstore.Outcome[permit.State], error) {
	taken, ok := money.Current()
	if !ok {
		return eventstore.Outcome[permit.State]{}, fmt.Errorf("no payment was asked for in %s", payment.Stream(id, money.Term))
	}
	r, stream := taken.Request, payment.Stream(id, money.Term)
	today := domain.DateOf(d.at(c))
	rules, err := d.rulesOn(today)
	if err != nil {
		return eventstore.Outcome[permit.State]{}, err
	}
	cmd := d.command(c, money.Account)
	cmd.IfRevision = nil
	cmd.Versions = d.versionsOn(today)
	return eventstore.Handle(ctx, d.Ledger, permit.Stream(id), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) {
			for _, t := range s.Terms {
				if t.Payment == stream {
					return nil, nil
				}
			}
			return permit.Decide(s, at, permit.Renew{Months: r.Months, AutoRenewal: r.AutoRenewal, Price: r.Amount,
				TariffVersion: r.TariffVersion, TermsVersion: r.TermsVersion, Payment: stream,
				Automatic: r.Mode == payment.ModeAgreement, Rules: rules.Rules})
		})
}
