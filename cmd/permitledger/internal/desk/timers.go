package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// WithdrawUnpaid withdraws an application that was never paid for.
func (d *Desk) WithdrawUnpaid(ctx context.Context, c Call, id domain.PermitID) (eventstore.Position, error) {
	return d.withdrawFor(ctx, c, id, permit.CancelledUnpaid, func(s payment.State, at time.Time) bool {
		for _, a := range s.Attempts {
			if a.Authorised {
				return false
			}
		}
		return true
	})
}

// WithdrawLapsed withdraws an application whose hold lapsed and was not made
// again.
func (d *Desk) WithdrawLapsed(ctx context.Context, c Call, id domain.PermitID) (eventstore.Position, error) {
	return d.withdrawFor(ctx, c, id, permit.CancelledHoldLapsed, func(s payment.State, at time.Time) bool {
		return s.Status(at) != payment.StatusAuthorised
	})
}

// withdrawFor withdraws a pending application for want of payment, when its
// payment still stands as the timer supposes. A payment that comes at the same
// moment is given back by Settle.
func (d *Desk) withdrawFor(ctx context.Context, c Call, id domain.PermitID, why permit.CancelReason,
	holds func(payment.State, time.Time) bool) (eventstore.Position, error) {
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return 0, err
	}
	cmd := d.command(c, cs.Permit.Account)
	cmd.Versions = d.versionsOn(domain.DateOf(d.at(c)))
	out, err := eventstore.Handle(ctx, d.Ledger, permit.Stream(id), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) {
			money, err := eventstore.Load(ctx, d.Ledger, payment.Stream(id, 1), moneys)
			if err != nil || s.Status(at) != permit.StatusPending || !holds(money.State, at) {
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
