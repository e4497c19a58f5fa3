package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// propertyStream names the stream of a property's slots. The UPRN is hashed
// with the pepper, for it would name a house in the log for ever.
func (d *Desk) propertyStream(uprn domain.UPRN) string {
	return property.Stream(keyedHash(d.Pepper, "property", string(uprn)))
}

// takeSlot takes a slot for a permit at a property. The permits that hold the
// slots are folded anew for each attempt, because the property's stream moves
// on only when somebody takes one.
func (d *Desk) takeSlot(ctx context.Context, c Call, id domain.PermitID, owner domain.AccountID, uprn domain.UPRN, rules policy.Rules) error {
	stream, cmd := d.propertyStream(uprn), d.command(c, owner)
	cmd.IfRevision = nil
	cmd.Again = true // the decision looks for itself: a slot wears off
	_, err := eventstore.Handle(ctx, d.Ledger, stream, properties, cmd,
		func(s property.State, at time.Time) ([]property.Event, error) {
			holders, err := d.holders(ctx, s, uprn, at)
			if err != nil {
				return nil, err
			}
			return property.Decide(s, property.Take{Permit: id, Account: owner, Command: c.ID, At: at,
				Limit: rules.PermitsPerProperty, Holders: holders})
		})
	return err
}

// slotsFree counts by the taking rule how many permits could be applied for
// at a property now.
func (d *Desk) slotsFree(ctx context.Context, uprn domain.UPRN, rules policy.Rules, at time.Time) (int, error) {
	l, err := eventstore.Load(ctx, d.Ledger, d.propertyStream(uprn), properties)
	if err != nil {
		return 0, err
	}
	holders, err := d.holders(ctx, l.State, uprn, at)
	if err != nil {
		return 0, err
	}
	return l.State.Free(at, rules.PermitsPerProperty, holders, ""), nil
}

// holders folds the permits that hold the slots of a property and says how
// each stands at an instant.
func (d *Desk) holders(ctx context.Context, s property.State, uprn domain.UPRN, at time.Time) ([]property.HolderStatus, error) {
	var all []property.HolderStatus
	for _, slot := range s.Holders() {
		l, err := eventstore.Load(ctx, d.Ledger, permit.Stream(slot.Permit), permits)
		if err != nil {
			return nil, err
		}
		h := holderStatus(slot, l.State, uprn, at)
		if h.Elsewhere {
			if h.ElsewhereSince, err = d.slotSince(ctx, l.State.Property.UPRN, slot.Permit); err != nil {
				return nil, err
			}
		}
		all = append(all, h)
	}
	return all, nil
}

// slotSince is when a permit took its slot at the property where it is now.
func (d *Desk) slotSince(ctx context.Context, uprn domain.UPRN, id domain.PermitID) (time.Time, error) {
	l, err := eventstore.Load(ctx, d.Ledger, d.propertyStream(uprn), properties)
	if err != nil {
		return time.Time{}, err
	}
	for _, slot := range l.State.Holders() {
		if slot.Permit == id {
			return slot.TakenAt, nil
		}
	}
	return time.Time{}, nil // displaced there: long ago
}

func holderStatus(slot property.Slot, s permit.State, uprn domain.UPRN, at time.Time) property.HolderStatus {
	h := property.HolderStatus{Permit: slot.Permit, Exists: s.Exists(), Account: s.Account}
	switch s.Status(at) {
	case permit.StatusRejected:
		h.Rejected = true
	case permit.StatusCancelled:
		h.Cancelled = true
	case permit.StatusExpired:
		h.EndedAt, _ = s.EndsAt()
	}
	h.Elsewhere = s.Exists() && !s.Erased && s.Property.UPRN != uprn
	return h
}
