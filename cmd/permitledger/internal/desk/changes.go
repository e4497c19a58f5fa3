package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// ChangeVehicle puts another vehicle on the permit.
func (d *Desk) ChangeVehicle(ctx context.Context, c Call, id domain.PermitID, mark string) (Case, error) {
	return d.change(ctx, c, id, func(cs Case) permit.Command {
		return permit.ChangeVehicle{Vehicle: mark, Rules: cs.Rules}
	})
}

// Cancel withdraws an application or ends a permit by its holder's wish.
func (d *Desk) Cancel(ctx context.Context, c Call, id domain.PermitID, words string) (Case, error) {
	return d.change(ctx, c, id, func(cs Case) permit.Command {
		return permit.Cancel{Reason: permit.CancelledByHolder, Words: words, Rules: cs.Rules}
	})
}

// CancelAutoRenewal takes back the consent to later charges.
func (d *Desk) CancelAutoRenewal(ctx context.Context, c Call, id domain.PermitID) (Case, error) {
	return d.change(ctx, c, id, func(Case) permit.Command { return permit.CancelAutoRenewal{} })
}

func (d *Desk) change(ctx context.Context, c Call, id domain.PermitID, command func(Case) permit.Command) (Case, error) {
	c = d.dated(c)
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	return d.changePermit(ctx, c, cs, d.versionsOn(domain.DateOf(d.at(c))), command(cs))
}

// ChangeAddress moves a permit to another property of its zone. The slot at
// the new property is taken first; should the move then fail, the slot is
// displaced by the next who needs it.
func (d *Desk) ChangeAddress(ctx context.Context, c Call, id domain.PermitID, uprn domain.UPRN, evidence []domain.Evidence) (Case, error) {
	c = d.dated(c)
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	owner, err := d.Account(ctx, cs.Permit.Account)
	if err != nil {
		return Case{}, err
	}
	today := domain.DateOf(d.at(c))
	place, known := d.Book().ByUPRN(uprn, today)
	move := permit.ChangeAddress{Property: placeOf(place), Zone: place.Zone, Evidence: evidence,
		Uploaded: owner.State.Has, Rules: cs.Rules}
	cmd := d.command(c, cs.Permit.Account)
	cmd.Versions = d.versionsOn(today)
	out, err := eventstore.Handle(ctx, d.Ledger, permit.Stream(id), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) {
			if !known {
				return nil, unknownProperty()
			}
			events, err := permit.Decide(s, at, move)
			if err == nil && s.CountsTowardLimit {
				err = d.takeSlot(ctx, c, id, s.Account, uprn, cs.Rules)
			}
			return events, err
		})
	if err != nil {
		return Case{}, err
	}
	return d.caseAt(ctx, id, out.Position, out.RecordedAt)
}
