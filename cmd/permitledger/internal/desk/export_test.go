package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// TakeSlotOnly is an application or a move that stops after its slot.
func (d *Desk) TakeSlotOnly(ctx context.Context, c Call, id domain.PermitID, owner domain.AccountID, uprn domain.UPRN) error {
	rules, err := d.rulesOn(domain.DateOf(d.at(c)))
	if err != nil {
		return err
	}
	return d.takeSlot(ctx, c, id, owner, uprn, rules.Rules)
}

// PermitOf is the id that an application by this call gets.
func PermitOf(c Call) domain.PermitID {
	return domain.PermitID(eventstore.DerivedID(c.ID, "permit"))
}

// ApplyOnly is an application that stops before it asks for its payment.
func (d *Desk) ApplyOnly(ctx context.Context, c Call, id domain.AccountID, a Application) error {
	permitID := PermitOf(c)
	apply, _, err := d.resolveApplication(ctx, c, id, a)
	if err != nil {
		return err
	}
	if err := d.takeFor(ctx, c, permitID, apply); err != nil {
		return err
	}
	_, err = eventstore.Handle(ctx, d.Ledger, permit.Stream(permitID), permits, d.command(c, id),
		func(s permit.State, at time.Time) ([]permit.Event, error) { return permit.Decide(s, at, apply) })
	return err
}

// RenewPaymentOnly is a renewal that stops after its money was taken.
func (d *Desk) RenewPaymentOnly(ctx context.Context, c Call, id domain.PermitID, mode payment.Mode) error {
	l, err := eventstore.Load(ctx, d.Ledger, permit.Stream(id), permits)
	if err != nil {
		return err
	}
	request, err := d.planRenewal(c, id, l.State, renewing{Mode: mode})
	if err != nil {
		return err
	}
	_, err = d.pay(ctx, c, request, always)
	return err
}
