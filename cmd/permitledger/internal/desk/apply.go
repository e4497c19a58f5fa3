package desk

import (
	"context"
	"errors"
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Apply makes an application: it resolves the property, the tariff and the
// terms, takes a slot at the property, writes Applied and asks for the hold.
//
// The order leaves nothing wrong when the program stops in between. A slot
// without an application is displaced by the next who needs it, and a
// repetition of the command goes on where the first one stopped.
func (d *Desk) Apply(ctx context.Context, c Call, id domain.AccountID, a Application) (Case, error) {
	c = d.dated(c)
	permitID := domain.PermitID(eventstore.DerivedID(c.ID, "permit"))
	known, err := eventstore.Load(ctx, d.Ledger, permit.Stream(permitID), permits)
	if err != nil {
		return Case{}, err
	}
	apply, versions := permit.Apply{}, domain.Versions{}
	if known.Revision < 0 {
		if apply, versions, err = d.resolveApplication(ctx, c, id, a); err != nil {
			return Case{}, err
		}
		if err := d.takeFor(ctx, c, permitID, apply); err != nil {
			return Case{}, err
		}
	}
	cmd := d.command(c, id)
	cmd.Versions = versions
	out, err := eventstore.Handle(ctx, d.Ledger, permit.Stream(permitID), permits, cmd,
		func(s permit.State, at time.Time) ([]permit.Event, error) { return permit.Decide(s, at, apply) })
	if err != nil {
		return Case{}, err
	}
	end := out.Position
	if out.State.Price > 0 {
		may := always
		if out.Repeated {
			may = func() error { return d.unasked(ctx, c, permitID) }
		}
		paid, err := d.pay(ctx, c.step("payment"), holdFor(permitID, out.State), may)
		if errors.Is(err, errOvertaken) {
			// Perhaps by itself, sent twice at once: then the payment that was
			// begun meanwhile is found to be its own.
			paid, err = d.pay(ctx, c.step("payment"), holdFor(permitID, out.State), may)
		}
		if err != nil && !errors.Is(err, errOvertaken) {
			return Case{}, err
		}
		end = max(end, paid.Position)
	}
	return d.caseAt(ctx, permitID, end, out.RecordedAt)
}

// errOvertaken is returned when an application that stopped before its payment
// is repeated after it was decided, withdrawn or paid for by another attempt.
var errOvertaken = errors.New("the application's payment was overtaken")

// unasked refuses to ask for the hold of a repeated application unless it is
// still wanted: nobody may find their money held for what was long rejected.
func (d *Desk) unasked(ctx context.Context, c Call, id domain.PermitID) error {
	cs, err := d.caseNow(ctx, c, id)
	if err != nil {
		return err
	}
	if status := cs.Permit.Status(cs.At); status != permit.StatusPending || cs.Payment != nil {
		return errOvertaken
	}
	return nil
}

// takeFor checks the application before it takes a slot for it, so that one
// that is refused anyway takes none.
func (d *Desk) takeFor(ctx context.Context, c Call, id domain.PermitID, a permit.Apply) error {
	events, err := permit.Decide(permit.State{}, d.at(c), a)
	if err != nil {
		return err
	}
	if applied := events[0].(permit.Applied); !applied.CountsTowardLimit {
		return nil
	}
	return d.takeSlot(ctx, c, id, a.Account, a.Property.UPRN, a.Rules)
}

// resolveApplication looks up what the rules need, as of the call's instant.
func (d *Desk) resolveApplication(ctx context.Context, c Call, id domain.AccountID, a Application) (permit.Apply, domain.Versions, error) {
	var none permit.Apply
	acc, err := d.Account(ctx, id)
	if err != nil {
		return none, domain.Versions{}, err
	}
	book, today := d.Book(), domain.DateOf(d.at(c))
	rules, err := d.rulesOn(today)
	if err != nil {
		return none, domain.Versions{}, err
	}
	place, ok := book.ByUPRN(a.UPRN, today)
	if !ok {
		return none, domain.Versions{}, unknownProperty()
	}
	terms, err := d.acceptedTerms(a.TermsVersion, today)
	if err != nil {
		return none, domain.Versions{}, err
	}
	quote, err := book.Quote(a.Kind, a.Months, today)
	if err != nil {
		return none, domain.Versions{}, err
	}
	follows, err := d.mayFollow(ctx, id, a, d.at(c))
	if err != nil {
		return none, domain.Versions{}, err
	}
	return permit.Apply{
		Account: id, Kind: a.Kind, Months: a.Months, StartsOn: a.StartsOn,
		Property: placeOf(place), Zone: place.Zone, Vehicle: a.Vehicle, AutoRenewal: a.AutoRenewal,
		TermsVersion: terms, Evidence: a.Evidence, Uploaded: acc.State.Has, EnteredBy: c.Subject,
		FollowsPermit: a.FollowsPermit, FollowsDispute: a.FollowsDispute, FollowsOK: follows,
		Quote: permit.Quote{Sold: true, Price: quote.Price, TariffVersion: quote.TariffVersion}, Rules: rules.Rules,
	}, domain.Versions{Policy: rules.Version, Tariff: quote.TariffVersion, Terms: terms, Gazetteer: book.Gazetteer()}, nil
}

// mayFollow reports whether an application may name what it follows: a
// rejected permit of the same account. Disputes cannot be named yet.
func (d *Desk) mayFollow(ctx context.Context, id domain.AccountID, a Application, at time.Time) (bool, error) {
	if a.FollowsPermit == "" {
		return a.FollowsDispute == "", nil
	}
	earlier, err := eventstore.Load(ctx, d.Ledger, permit.Stream(a.FollowsPermit), permits)
	if err != nil {
		return false, err
	}
	return earlier.State.Account == id && earlier.State.Status(at) == permit.StatusRejected, nil
}

// placeOf is a row of the gazetteer as an address.
func placeOf(r policy.Row) domain.Property {
	return domain.Property{UPRN: r.UPRN, House: r.House, Street: r.Street, Postcode: r.Postcode}
}

func always() error { return nil }

func unknownProperty() error {
	return domain.Refuse(domain.RulePropertyUnknown, "uprn",
		"No property with this UPRN is in the council's gazetteer; look it up by postcode and house first.")
}
