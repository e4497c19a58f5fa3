package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// WithdrawUnpaid withdraws an application that was never paid for, once the
// policy's time for that is over.
func (d *Desk) WithdrawUnpaid(ctx context.Context, c Call, id domain.PermitID) (eventstore.Position, error) {
	return d.withdrawFor(ctx, c, id, permit.CancelledUnpaid, func(s permit.State, money payment.State) (time.Time, error) {
		if _, held := lastHold(money); held {
			return time.Time{}, nil
		}
		rules, err := d.rulesOn(s.SubmittedOn)
		return s.SubmittedAt.Add(time.Duration(rules.Rules.UnpaidHours) * time.Hour), err
	})
}

// WithdrawLapsed withdraws an application whose hold lapsed and was not made
// again, at the London midnight that the policy sets.
func (d *Desk) WithdrawLapsed(ctx context.Context, c Call, id domain.PermitID) (eventstore.Position, error) {
	return d.withdrawFor(ctx, c, id, permit.CancelledHoldLapsed, func(_ permit.State, money payment.State) (time.Time, error) {
		ended, held := lastHold(money)
		if !held {
			return time.Time{}, nil
		}
		day := domain.DateOf(ended)
		rules, err := d.rulesOn(day)
		return day.AddDays(rules.Rules.LapsedDays).Midnight(), err
	})
}

// lastHold is when the last hold that was ever made ends, or ended.
func lastHold(s payment.State) (ends time.Time, ok bool) {
	for _, a := range s.Attempts {
		if !a.Authorised {
			continue
		}
		end := a.HoldEndsAt
		if !a.LapsedAt.IsZero() && a.LapsedAt.Before(end) {
			end = a.LapsedAt
		}
		if !ok || end.After(ends) {
			ends, ok = end, true
		}
	}
	return ends, ok
}

// withdrawFor withdraws a pending application for want of payment from an
// instant on; the zero instant means never. The timer only says when to look:
// its read model may be behind the streams. A payment that comes at the same
// moment is given back by Settle.
func (d *Desk) withdrawFor(ctx context.Context, c Call, id domain.PermitID, why permit.CancelReason,
	due func(permit.State, payment.State) (time.Time, error)) (eventstore.Position, error) {
	c = d.dated(c)
	if _, err := d.finish(ctx, c, payment.Stream(id, 1)); err != nil {
		return 0, err
	}
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return 0, err
	}
	cmd := d.command(c, cs.Permit.Account)
	cmd.Versions = d.versionsOn(domain.DateOf(d.at(c)))
	out, err := eventstore.Handle(ctx, d.Ledger, permit.Stream(id), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) {
			if s.Status(at) != permit.StatusPending || s.Price == 0 {
				return nil, nil
			}
			money, err := eventstore.Load(ctx, d.Ledger, payment.Stream(id, 1), moneys)
			if err != nil || money.State.Captured() > 0 {
				return nil, err
			}
			from, err := due(s, money.State)
			if err != nil || from.IsZero() || at.Before(from) {
				return nil, err
			}
			return permit.Decide(s, at, permit.Cancel{Reason: why, Rules: cs.Rules})
		})
	return out.Position, err
}

// RecordLapse writes down that a hold has ended unused.
func (d *Desk) RecordLapse(ctx context.Context, c Call, id domain.PermitID, term int) (eventstore.Position, error) {
	stream := payment.Stream(id, term)
	money, err := eventstore.Load(ctx, d.Ledger, stream, moneys)
	if err != nil {
		return 0, err
	}
	out, err := eventstore.Handle(ctx, d.Ledger, stream, moneys, d.command(c, money.State.Account),
		func(s payment.State, at time.Time) ([]payment.Event, error) {
			current, ok := s.Current()
			if !ok || s.Status(at) != payment.StatusLapsed {
				return nil, nil
			}
			return payment.Receive(s, payment.Message{Attempt: current.Number, Kind: payment.Lapsed,
				ProviderID: current.ProviderID, HoldEndsAt: current.HoldEndsAt, At: at})
		})
	return out.Position, err
}
