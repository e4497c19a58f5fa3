package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	c = d.dated(c)
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
	asked, err := d.request(ctx, c, r, may)
	if refusal, ok := errors.AsType[*domain.Refusal](err); ok && refusal.Rule == domain.RuleHold {
		// Whoever began the attempt that is in the way may have been cut off.
		finished, ferr := d.finish(ctx, c, stream)
		if ferr != nil {
			return paid{}, ferr
		}
		if finished > 0 {
			asked, err = d.request(ctx, c, r, may)
		}
	}
	if err != nil {
		return paid{}, err
	}
	if p, ok, err := d.answered(ctx, stream, asked.Position); ok || err != nil {
		return p, err
	}
	if _, err := d.finish(ctx, c, stream); err != nil {
		return paid{}, err
	}
	p, ok, err := d.answered(ctx, stream, asked.Position)
	if err == nil && !ok {
		err = fmt.Errorf("the payment provider says nothing of %s; ask again", stream)
	}
	return p, err
}

// request records that money is asked for.
func (d *Desk) request(ctx context.Context, c Call, r payment.Request, may func() error) (eventstore.Outcome[payment.State], error) {
	cmd := d.command(c, r.Account)
	cmd.IfRevision = nil
	return eventstore.Handle(ctx, d.Ledger, payment.Stream(r.Permit, r.Term), moneys, cmd,
		func(s payment.State, at time.Time) ([]payment.Event, error) {
			if err := may(); err != nil {
				return nil, err
			}
			r.At = at
			return payment.Ask(s, r)
		})
}

// finish asks the provider for the attempt of which it has said nothing, if
// there is one, and records what it says: the attempt's own command, or
// whoever meets what was cut off. It gives the position of what was recorded.
func (d *Desk) finish(ctx context.Context, c Call, stream string) (eventstore.Position, error) {
	l, err := eventstore.Load(ctx, d.Ledger, stream, moneys)
	if err != nil {
		return 0, err
	}
	open, ok := l.State.Unanswered()
	if !ok {
		return 0, nil
	}
	r := open.Request
	messages, err := d.Gateway.Request(ctx, payments.Charge{Reference: r.Reference, Account: r.Account,
		Mode: r.Mode, Amount: r.Amount, At: open.RequestedAt})
	if err != nil {
		return 0, fmt.Errorf("ask the payment provider: %w", err)
	}
	p, err := d.receive(ctx, c.step("answer to "+r.Reference), stream, r.Account, messages, asItIs)
	return p.Position, err
}

// answered is a payment as the provider's first answer to a request left it,
// whoever recorded that; false when there is none yet.
func (d *Desk) answered(ctx context.Context, stream string, asked eventstore.Position) (paid, bool, error) {
	history, err := d.Ledger.History(ctx, stream)
	if err != nil {
		return paid{}, false, err
	}
	end := slices.IndexFunc(history, func(e eventstore.Event) bool { return e.Position > asked })
	for ; 0 <= end && end < len(history); end++ {
		state, _ := fold(history[:end+1], moneys, everything)
		last := end == len(history)-1 || history[end+1].Command != history[end].Command
		if _, open := state.Unanswered(); !open && last {
			return paid{State: state, Position: history[end].Position, At: history[end].RecordedAt}, true, nil
		}
	}
	return paid{}, false, nil
}

// receive records what a provider said about a payment: what is new in it. How
// a word of the provider is to be taken depends on what it was asked.
func (d *Desk) receive(ctx context.Context, c Call, stream string, owner domain.AccountID, messages []payments.Message,
	taken func(payment.Message) payment.Message) (paid, error) {
	cmd := d.command(c, owner)
	cmd.MustExist = true
	out, err := eventstore.Handle(ctx, d.Ledger, stream, moneys, cmd,
		func(s payment.State, at time.Time) ([]payment.Event, error) {
			var all []payment.Event
			for _, m := range messages {
				if _, attempt, _ := payment.ParseReference(m.Reference); m.Kind == payments.KindRefunded && m.Amount < refunded(s, attempt) {
					continue // overtaken: more has gone back since, and that is known
				}
				events, err := payment.Receive(s, taken(translate(s, m)))
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

// asItIs takes a word of the provider as it was said.
func asItIs(m payment.Message) payment.Message { return m }

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
	p, err := d.receive(ctx, c, stream, l.State.Account, []payments.Message{m}, asItIs)
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
