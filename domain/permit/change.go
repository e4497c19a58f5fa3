package permit

import (
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
)

func (s State) changeVehicle(at time.Time, c ChangeVehicle) (Event, error) {
	if r := s.live(at); r != nil {
		return nil, r
	}
	to, _, err := domain.ParseVehicle(c.Vehicle)
	if err != nil {
		return nil, err
	}
	if to.Mark == s.Vehicle.Mark {
		return nil, domain.Refuse(domain.RuleSameVehicle, "vehicle", "This vehicle is on the permit already.")
	}
	if limit := c.Rules.VehicleChangesPerTerm; limit > 0 {
		if s.Terms[s.termIndexOn(domain.DateOf(at))].VehicleChanges >= limit {
			return nil, domain.Refuse(domain.RuleVehicle, "vehicle", fmt.Sprintf(
				"The vehicle can be changed %d times in a term, and has been.", limit))
		}
	}
	if c.Rules.VehicleChangeNeedsV5C && !hasV5C(c.Evidence, c.Uploaded) {
		return nil, domain.Refuse(domain.RuleEvidence, "evidence", "The V5C of the new vehicle is needed: upload it and name it.")
	}
	return VehicleChanged{
		EffectiveAt: at,
		Evidence:    slices.Clone(c.Evidence),
		Personal:    domain.PersonalOf(VehicleChangedPersonal{From: s.Vehicle, To: to}),
	}, nil
}

func hasV5C(items []domain.Evidence, uploaded func(sha string) bool) bool {
	return slices.ContainsFunc(items, func(e domain.Evidence) bool {
		return isV5C(e) && uploaded != nil && uploaded(e.SHA256)
	})
}

func (s State) changeAddress(at time.Time, c ChangeAddress) (Event, error) {
	if r := s.live(at); r != nil {
		return nil, r
	}
	if c.Property.UPRN == s.Property.UPRN {
		return nil, domain.Refuse(domain.RuleSameAddress, "uprn", "The permit is for this address already.")
	}
	switch c.Zone {
	case s.Zone:
	case "":
		return nil, outsideZones()
	default:
		return nil, domain.Refuse(domain.RuleOtherZone, "uprn", fmt.Sprintf(
			"This address lies in zone %s and the permit is for zone %s. Apply anew with proof of residency for the new address and the V5C, and cancel this permit.",
			c.Zone, s.Zone))
	}
	if err := s.checkMove(c, domain.DateOf(at)); err != nil {
		return nil, err
	}
	return AddressChanged{
		Zone:     c.Zone,
		Evidence: slices.Clone(c.Evidence),
		Personal: domain.PersonalOf(AddressChangedPersonal{From: s.Property, To: c.Property}),
	}, nil
}

// checkMove asks for one proof of residency that holds today; the V5C and the
// badge were shown with the application.
func (s State) checkMove(c ChangeAddress, today domain.Date) error {
	return domain.CheckEvidence(c.Evidence, domain.EvidenceRules{
		Kind: s.Kind, FirstDay: today, SubmittedOn: today,
		ProofMonths: c.Rules.ProofMonths, TemporaryTenancyMonths: c.Rules.TemporaryTenancyMonths,
		Uploaded: c.Uploaded,
	})
}
