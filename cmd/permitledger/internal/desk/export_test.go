package desk

import (
	"context"

	"permitledger/domain"
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
