package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// Settle brings the money of one term to where the permit says it belongs:
// it takes the hold of an approved application, gives back that of a rejected
// one, writes the renewal that was paid for, or gives back what cannot be
// used. It decides from the states alone, so order and repetition do not
// matter. It gives the position of the last event that it wrote.
func (d *Desk) Settle(ctx context.Context, c Call, id domain.PermitID, term int) (eventstore.Position, error) {
	c = d.dated(c)
	var end eventstore.Position
	// Each round does one step; a payment needs three at the most, and the
	// bound only keeps a contradicting provider from turning it for ever.
	for range 8 {
		at, wrote, err := d.settleOnce(ctx, c, id, term)
		end = max(end, at)
		if err != nil || !wrote {
			return end, err
		}
	}
	return end, fmt.Errorf("the payment %s does not come to rest; compare it at the provider", payment.Stream(id, term))
}

func (d *Desk) settleOnce(ctx context.Context, c Call, id domain.PermitID, term int) (eventstore.Position, bool, error) {
	stream := payment.Stream(id, term)
	money, err := eventstore.Load(ctx, d.Ledger, stream, moneys)
	if err != nil {
		return 0, false, err
	}
	if _, open := money.State.Unanswered(); open {
		answered, err := d.finish(ctx, c, stream)
		return answered, answered > 0, err
	}
	holder, err := eventstore.Load(ctx, d.Ledger, permit.Stream(id), permits)
	if err != nil {
		return 0, false, err
	}
	ruling, refund, end, err := d.ruling(ctx, c, id, term, holder.State, money.State)
	if err != nil {
		return end, false, err
	}
	step := money.State.NextStep(d.at(c), ruling, refund)
	if step.Kind == payment.StepNothing {
		return end, false, nil
	}
	if over := holder.State.Cancellation; step.Reason == payment.RefundCancelled && c.At.Before(over.RecordedAt) {
		c.At = over.RecordedAt // settled with what fell due before it, and no earlier than it came
	}
	messages, err := d.ask(ctx, step, money.State, d.at(c))
	if err != nil {
		return end, false, fmt.Errorf("%s a payment: %w", step.Kind, err)
	}
	call := c.step(fmt.Sprintf("%s %s-%d at %d", step.Kind, stream, step.Attempt, money.Revision))
	p, err := d.receive(ctx, call, stream, money.State.Account, messages, answerTo(step))
	return max(end, p.Position), p.Position > money.Position, err
}

// ask has the provider do one step.
func (d *Desk) ask(ctx context.Context, step payment.Step, s payment.State, at time.Time) ([]payments.Message, error) {
	switch step.Kind {
	case payment.StepCapture:
		return d.Gateway.Capture(ctx, step.ProviderID, at)
	case payment.StepRelease:
		return d.Gateway.Release(ctx, step.ProviderID, at)
	}
	return d.Gateway.Refund(ctx, step.ProviderID, refunded(s, step.Attempt)+step.Amount, at)
}

// answerTo takes the provider's words as the answer to a step. A capture that
// did not succeed leaves the sum outstanding: the permit stands, and the
// council is told.
func answerTo(step payment.Step) func(payment.Message) payment.Message {
	return func(m payment.Message) payment.Message {
		switch {
		case step.Kind == payment.StepCapture && m.Kind != payment.Captured:
			m.Kind, m.Outstanding = payment.Failed, true
		case m.Kind == payment.Refunded:
			m.Code = step.Reason
		}
		return m
	}
}

// ruling says what the permit has decided about a term's money, and writes the
// renewal that a captured payment is for.
func (d *Desk) ruling(ctx context.Context, c Call, id domain.PermitID, term int, s permit.State, money payment.State) (payment.Ruling, domain.Pence, eventstore.Position, error) {
	if term == 1 {
		return rulingOfApplication(s), s.RefundFrom(term), 0, nil
	}
	if len(s.Terms) < term && money.Captured() > money.Refunded() {
		out, err := d.writeRenewal(ctx, inTime(c.step("renewal"), money), id, money)
		var refused *domain.Refusal
		if errors.As(err, &refused) {
			return payment.RulingVoid, 0, 0, nil
		}
		if err != nil {
			return payment.RulingNone, 0, 0, err
		}
		return payment.RulingDue, 0, out.Position, nil
	}
	if len(s.Terms) >= term {
		return payment.RulingDue, s.RefundFrom(term), 0, nil
	}
	return payment.RulingNone, 0, 0, nil
}

// inTime lets a renewal that was paid for a moment ago count from when it was
// paid for. The request that was paid for may still be about to write it, with
// its own instant; if this one found the permit ended in between and gave the
// money back, the permit would be renewed for nothing. Within this time nobody
// takes the place of a permit that has just ended.
func inTime(c Call, money payment.State) Call {
	a, _ := money.Current()
	if age := c.At.Sub(a.CapturedAt); age >= 0 && age < property.Grace-property.RequestLife {
		c.At = a.CapturedAt
	}
	return c
}

func rulingOfApplication(s permit.State) payment.Ruling {
	switch {
	case len(s.Terms) > 0:
		return payment.RulingDue
	case s.Decided != nil || s.Cancellation != nil:
		return payment.RulingVoid
	}
	return payment.RulingNone
}
