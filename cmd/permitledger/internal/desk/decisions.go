package desk

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// Approve turns a pending application into a permit. The hold is taken
// afterwards, by Settle.
func (d *Desk) Approve(ctx context.Context, c Call, id domain.PermitID, decision domain.Decision) (Case, error) {
	return d.review(ctx, c, id, decision, func(r permit.Review, cs Case) permit.Command {
		return permit.Approve{Review: r, Payment: heldMoney(cs, cs.At), Rules: cs.Rules}
	})
}

// Reject ends a pending application. The hold is given back afterwards, by
// Settle.
func (d *Desk) Reject(ctx context.Context, c Call, id domain.PermitID, decision domain.Decision) (Case, error) {
	return d.review(ctx, c, id, decision, func(r permit.Review, _ Case) permit.Command {
		return permit.Reject{Review: r}
	})
}

// Withdraw takes a permit away from a day on, with notice to its holder.
func (d *Desk) Withdraw(ctx context.Context, c Call, id domain.PermitID, decision domain.Decision, on domain.Date) (Case, error) {
	return d.review(ctx, c, id, decision, func(r permit.Review, cs Case) permit.Command {
		return permit.Withdraw{Review: r, EffectiveOn: on, Rules: cs.Rules}
	})
}

// review resolves what every decision of a reviewer needs, and has it decided.
func (d *Desk) review(ctx context.Context, c Call, id domain.PermitID, decision domain.Decision,
	command func(permit.Review, Case) permit.Command) (Case, error) {
	c = d.dated(c)
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	owner, err := d.Account(ctx, cs.Permit.Account)
	if err != nil {
		return Case{}, err
	}
	versions := d.versionsOn(domain.DateOf(d.at(c)))
	review := permit.Review{Actor: c.actor(cs.Permit.Account), Subject: c.Subject, OwnerSubject: owner.State.Subject,
		Decision: decision, Versions: versions, Known: cs.Notice.Has}
	return d.changePermit(ctx, c, cs, versions, command(review, cs))
}

// heldMoney is what the decision needs to know of the application's payment.
func heldMoney(cs Case, at time.Time) permit.Payment {
	if cs.Permit.Price == 0 {
		return permit.Payment{Free: true}
	}
	if cs.Payment == nil { // the program stopped before it could ask
		return permit.Payment{}
	}
	ends, _ := cs.Payment.Hold()
	return permit.Payment{Authorised: cs.Payment.Status(at) == payment.StatusAuthorised, HoldEndsAt: ends}
}

// changePermit has one command decided on the permit's stream and answers
// with the case as that command left it.
func (d *Desk) changePermit(ctx context.Context, c Call, cs Case, v domain.Versions, command permit.Command) (Case, error) {
	cmd := d.command(c, cs.Permit.Account)
	cmd.Versions = v
	out, err := eventstore.Handle(ctx, d.Ledger, permit.Stream(cs.ID), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) { return permit.Decide(s, at, command) })
	if err != nil {
		return Case{}, err
	}
	return d.caseAt(ctx, cs.ID, out.Position, out.RecordedAt)
}

// RequestInformation refers an application back to the resident.
func (d *Desk) RequestInformation(ctx context.Context, c Call, id domain.PermitID, what string, by domain.Date) (Case, error) {
	return d.correspond(ctx, c, id, func(s notice.State, cs Case, at time.Time) ([]notice.Event, error) {
		return notice.RequestInformation(s, notice.Ask{Permit: id, Pending: cs.Permit.Status(at) == permit.StatusPending,
			What: what, By: by, At: at})
	})
}

// SupplyInformation answers a request with documents, words or both.
func (d *Desk) SupplyInformation(ctx context.Context, c Call, id domain.PermitID, evidence []domain.Evidence, note string) (Case, error) {
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	owner, err := d.Account(ctx, cs.Permit.Account)
	if err != nil {
		return Case{}, err
	}
	return d.correspond(ctx, c, id, func(s notice.State, cs Case, at time.Time) ([]notice.Event, error) {
		return notice.SupplyInformation(s, notice.Supply{Permit: id, Pending: cs.Permit.Status(at) == permit.StatusPending,
			Evidence: evidence, Uploaded: owner.State.Has, Note: note, At: at})
	})
}

// correspond appends to the correspondence about an application. The revision
// that a caller has seen is the permit's, so it is checked against that.
func (d *Desk) correspond(ctx context.Context, c Call, id domain.PermitID,
	decide func(notice.State, Case, time.Time) ([]notice.Event, error)) (Case, error) {
	c = d.dated(c)
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return Case{}, err
	}
	cmd := d.command(c, cs.Permit.Account)
	cmd.IfRevision = nil
	out, err := eventstore.Handle(ctx, d.Ledger, notice.Stream(id), notices, cmd,
		func(s notice.State, at time.Time) ([]notice.Event, error) {
			if err := matchRevision(c, cs); err != nil {
				return nil, err
			}
			return decide(s, cs, at)
		})
	if err != nil {
		return Case{}, err
	}
	return d.caseAt(ctx, id, out.Position, out.RecordedAt)
}

// matchRevision checks If-Match for commands that are decided on a stream
// other than the permit's.
func matchRevision(c Call, cs Case) error {
	if c.IfRevision != nil && *c.IfRevision != cs.Revision {
		return &eventstore.RevisionError{Actual: int64(cs.Revision)}
	}
	return nil
}
