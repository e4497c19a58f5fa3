package desk

import (
	"context"
	"fmt"
	"time"

	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// paid is a payment as one command left it.
type paid struct {
	State    payment.State
	Position eventstore.Position
	At       time.Time
}

// Pay makes a new attempt to pay for an application, when the last one failed
// or its hold lapsed.
func (d *Desk) Pay(ctx context.Context, c Call, id domain.PermitID) (Case, error) {
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	p, err := d.pay(ctx, c, holdFor(id, cs.Permit), func() error {
		if err := matchRevision(c, cs); err != nil {
			return err
		}
		return payable(cs)
	})
	if err != nil {
		return Case{}, err
	}
	return d.caseAt(ctx, id, p.Position, p.At)
}

// payable refuses a payment for what is not waiting for one.
func payable(cs Case) error {
	switch {
	case cs.Permit.Status(cs.At) != permit.StatusPending:
		return domain.Refuse(domain.RuleNotPending, "", "There is nothing to pay: this application has been decided or withdrawn.")
	case cs.Permit.Price == 0:
		return domain.Refuse(domain.RuleHold, "", "There is nothing to pay: this permit is free.")
	}
	return nil
}

// holdFor asks for the hold of an application.
func holdFor(id domain.PermitID, s permit.State) payment.Request {
	return payment.Request{Permit: id, Account: s.Account, Term: 1, Mode: payment.ModeHold, Amount: s.Price,
		Months: s.Months, TariffVersion: s.TariffVersion, TermsVersion: s.TermsVersion}
}

// pay records that money is asked for, asks the provider, and records what it
// says. A repetition goes on where the first one stopped, and asks the
// provider again only when its answer was not recorded.
func (d *Desk) pay(ctx context.Context, c Call, r payment.Request, may func() error) (paid, error) {
	stream := payment.Stream(r.Permit, r.Term)
	cmd := d.command(c, r.Account)
	cmd.IfRevision = nil
	asked, err := eventstore.Handle(ctx, d.Ledger, stream, moneys, cmd,
		func(s payment.State, at time.Time) ([]payment.Event, error) {
			if err := may(); err != nil {
				return nil, err
			}
			r.At = at
			return payment.Ask(s, r)
		})
	if err != nil {
		return paid{}, err
	}
	request := asked.Events[0].Body.(payment.PaymentRequested)
	answer := c.step("provider's answer")
	history, err := d.Ledger.History(ctx, stream)
	if err != nil {
		return paid{}, err
	}
	for _, e := range history {
		if e.Command == answer.ID {
			return d.receive(ctx, answer, stream, request.Account, nil)
		}
	}
	messages, err := d.Gateway.Request(ctx, payments.Charge{Reference: request.Reference, Account: request.Account,
		Mode: request.Mode, Amount: request.Amount, At: asked.RecordedAt})
	if err != nil {
		return paid{}, fmt.Errorf("ask the payment provider: %w", err)
	}
	return d.receive(ctx, answer, stream, request.Account, messages)
}

// receive records what a provider said about a payment: what is new in it.
func (d *Desk) receive(ctx context.Context, c Call, stream string, owner domain.AccountID, messages []payments.Message) (paid, error) {
	cmd := d.command(c, owner)
	cmd.MustExist = true
	out, err := eventstore.Handle(ctx, d.Ledger, stream, moneys, cmd,
		func(s payment.State, at time.Time) ([]payment.Event, error) {
			var all []payment.Event
			for _, m := range messages {
				events, err := payment.Receive(s, translate(s, m))
				if err != nil {
					return nil, err
				}
				for _, e := range events {
					s = payment.Evolve(s, e, domain.Meta{At: at})
				}
				all = append(all, events...)
			}
			return all, nil
		})
	if err != nil {
		return paid{}, err
	}
	return paid{State: out.State, Position: out.Position, At: out.RecordedAt}, nil
}

// Receive records a message that the provider sent by itself.
func (d *Desk) Receive(ctx context.Context, m payments.Message) (eventstore.Position, error) {
	stream, _, ok := payment.ParseReference(m.Reference)
	if !ok {
		return 0, fmt.Errorf("a message of the payment provider is about %q, which is no reference of this ledger", m.Reference)
	}
	l, err := eventstore.Load(ctx, d.Ledger, stream, moneys)
	if err != nil {
		return 0, err
	}
	c := SystemCall(fmt.Sprintf("provider %s %s %d", m.Reference, m.Kind, m.Amount), "", time.Time{})
	p, err := d.receive(ctx, c, stream, l.State.Account, []payments.Message{m})
	return p.Position, err
}

// refunded is what has gone back of one attempt's money.
func refunded(s payment.State, attempt int) domain.Pence {
	for _, a := range s.Attempts {
		if a.Number == attempt {
			return a.Refunded
		}
	}
	return 0
}

// translate puts a provider's message into the ledger's words. A provider
// tells how much has gone back in all; the ledger records each refund.
func translate(s payment.State, m payments.Message) payment.Message {
	_, attempt, _ := payment.ParseReference(m.Reference)
	t := payment.Message{Attempt: attempt, ProviderID: m.ProviderID, PayURL: m.PayURL,
		HoldEndsAt: m.HoldEndsAt, Amount: m.Amount, Code: m.Code, At: m.At}
	switch m.Kind {
	case payments.KindDeclined:
		t.Kind = payment.Failed
	case payments.KindRefunded:
		t.Kind = payment.Refunded
		t.ProviderID = fmt.Sprintf("%s-refund-%d", m.ProviderID, m.Amount)
		t.Amount = m.Amount - refunded(s, attempt)
	default:
		t.Kind = payment.MessageKind(m.Kind)
	}
	return t
}
