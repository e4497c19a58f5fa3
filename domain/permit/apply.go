package permit

import (
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
)

// Check refuses a number of months for which a kind is not sold.
func (q Quote) Check(k domain.Kind, months int) error {
	if q.Sold && months > 0 {
		return nil
	}
	return domain.Refuse(domain.RuleKindMonths, "months", fmt.Sprintf(
		"A %s permit is not sold for %d months. Choose a number of months from the tariff.", k, months))
}

func (s State) apply(at time.Time, c Apply) (Event, error) {
	if s.Exists() {
		return nil, domain.Refuse(domain.RuleNotPending, "", "This application has been made already.")
	}
	if c.Zone == "" {
		return nil, outsideZones()
	}
	if err := c.Quote.Check(c.Kind, c.Months); err != nil {
		return nil, err
	}
	vehicle, _, err := domain.ParseVehicle(c.Vehicle)
	if err != nil {
		return nil, err
	}
	today := domain.DateOf(at)
	first, err := c.firstDay(today)
	if err != nil {
		return nil, err
	}
	if err := c.checkEvidence(today, first); err != nil {
		return nil, err
	}
	if err := c.checkFollows(); err != nil {
		return nil, err
	}
	return Applied{
		Account: c.Account, Kind: c.Kind, Zone: c.Zone, Months: c.Months,
		RequestedFirstDay: first, SubmittedOn: today,
		Price: c.Quote.Price, TariffVersion: c.Quote.TariffVersion,
		AutoRenewal: c.AutoRenewal, TermsVersion: c.TermsVersion,
		CountsTowardLimit: !slices.Contains(c.Rules.UncountedKinds, c.Kind),
		Evidence:          slices.Clone(c.Evidence),
		FollowsPermit:     c.FollowsPermit, FollowsDispute: c.FollowsDispute,
		Personal: domain.PersonalOf(AppliedPersonal{Property: c.Property, Vehicle: vehicle, EnteredBy: c.EnteredBy}),
	}, nil
}

func outsideZones() error {
	return domain.Refuse(domain.RuleNoZone, "uprn", "No permits are sold for this address: it lies in no permit zone.")
}

// firstDay is the day asked for, or today.
func (c Apply) firstDay(today domain.Date) (domain.Date, error) {
	if c.StartsOn.IsZero() {
		return today, nil
	}
	latest := today.AddDays(c.Rules.StartAheadDays)
	if c.StartsOn.Before(today) || c.StartsOn.After(latest) {
		return domain.Date{}, domain.Refuse(domain.RuleFirstDay, "startsOn", fmt.Sprintf(
			"The first day must be from %s to %s.", today, latest))
	}
	return c.StartsOn, nil
}

// checkEvidence holds the documents against the day of submission and the
// first day asked for. They are not held against a later first day again: a
// slow review must not make good evidence stale.
func (c Apply) checkEvidence(today, first domain.Date) error {
	return domain.CheckEvidence(c.Evidence, domain.EvidenceRules{
		Kind: c.Kind, FirstDay: first, SubmittedOn: today,
		ProofMonths: c.Rules.ProofMonths, TemporaryTenancyMonths: c.Rules.TemporaryTenancyMonths,
		NeedV5C: true, NeedBadge: c.Kind == domain.KindDisabledResident,
		Uploaded: c.Uploaded,
	})
}

func (c Apply) checkFollows() error {
	switch {
	case c.FollowsPermit == "" && c.FollowsDispute == "":
		return nil
	case c.FollowsPermit != "" && c.FollowsDispute != "":
		return domain.Refuse(domain.RuleFollows, "follows", "An application follows one permit or one dispute, not both.")
	case !c.FollowsOK:
		return domain.Refuse(domain.RuleFollows, "follows",
			"An application can follow a rejected application of the same account, or an overturned dispute about one.")
	}
	return nil
}
