package permit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

func TestVehicleChange(t *testing.T) {
	l := approved(t, "2026-03-01", 12)
	at := noon("2026-06-01")
	l.refused(at, vehicle("ab-12 cde"), domain.RuleSameVehicle)
	l.refused(at, vehicle("???"), domain.RuleVehicle)
	l.do(at, vehicle("A812 CDE")) // what folds alike is another mark all the same
	want := VehicleChanged{EffectiveAt: at, Personal: domain.PersonalOf(VehicleChangedPersonal{
		From: domain.Vehicle{AsTyped: "AB12 CDE", Mark: "AB12CDE"}, To: domain.Vehicle{AsTyped: "A812 CDE", Mark: "A812CDE"},
	})}
	if diff := cmp.Diff(Event(want), l.last()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if l.state.Vehicle.Mark != "A812CDE" {
		t.Errorf("vehicle %v", l.state.Vehicle)
	}
}

func TestVehiclesAreComparedExactly(t *testing.T) {
	at := noon("2026-03-01")
	order := application(at)
	order.Vehicle = "O1"
	begin(t).do(at, order).do(at, approval(at)).do(at, vehicle("01"))
}

// A limit counts the changes of the term that runs; one made before the first
// day belongs to the first term.
func TestVehicleChangesPerTerm(t *testing.T) {
	at := noon("2026-03-01")
	order := application(at)
	order.StartsOn = day("2026-03-10")
	l := begin(t).do(at, order).do(at, approval(at))
	change := func(mark string) ChangeVehicle {
		c := vehicle(mark)
		c.Rules.VehicleChangesPerTerm = 2
		return c
	}
	l.do(noon("2026-03-02"), change("B1")).do(noon("2026-03-10"), change("B2"))
	l.do(noon("2027-02-20"), renewal(0))
	l.refused(noon("2027-03-09"), change("B3"), domain.RuleVehicle)
	l.do(noon("2027-03-10"), change("B3"))
	l.do(noon("2027-03-11"), vehicle("B4")).do(noon("2027-03-11"), vehicle("B5")) // the default has no limit
	if got := []int{l.state.Terms[0].VehicleChanges, l.state.Terms[1].VehicleChanges}; got[0] != 2 || got[1] != 3 {
		t.Errorf("changes by term %v", got)
	}
}

func TestVehicleChangeMayNeedTheV5C(t *testing.T) {
	at := noon("2026-06-01")
	l := approved(t, "2026-03-01", 12)
	c := vehicle("B1")
	c.Rules.VehicleChangeNeedsV5C = true
	l.refused(at, c, domain.RuleEvidence)
	c.Evidence = []domain.Evidence{{Kind: domain.EvidenceV5C, SHA256: "new-v5c"}}
	l.refused(at, c, domain.RuleEvidence) // named and not uploaded
	c.Uploaded = uploaded
	l.do(at, c)
	if !l.state.names("new-v5c") || l.state.names("v5c") || !l.state.names("bill") {
		t.Errorf("the permit rests on %v", l.state.Evidence)
	}
}

func TestAddressChange(t *testing.T) {
	at := noon("2026-06-01")
	l := approved(t, "2026-03-01", 12)
	same, abroad, outside, bare, stale := move(at), move(at), move(at), move(at), move(at)
	same.Property = home
	abroad.Zone = "OA1"
	outside.Zone = ""
	bare.Evidence = []domain.Evidence{{Kind: domain.EvidenceV5C, SHA256: "v5c"}}
	stale.Evidence = []domain.Evidence{{Kind: domain.EvidenceTenancy, SHA256: "lease", TenancyFrom: day("2025-06-01"), TenancyMonths: 12, Signed: true}}

	l.refused(at, same, domain.RuleSameAddress)
	r := l.refused(at, abroad, domain.RuleOtherZone)
	if want := "Apply anew with proof of residency for the new address and the V5C, and cancel this permit"; !strings.Contains(r.Detail, want) {
		t.Errorf("the refusal does not say what to do: %s", r.Detail)
	}
	l.refused(at, outside, domain.RuleNoZone)
	l.refused(at, bare, domain.RuleEvidence)
	l.refused(at, stale, domain.RuleEvidence) // the tenancy ended yesterday
	missing := move(at)
	missing.Uploaded = nil
	l.refused(at, missing, domain.RuleEvidence)

	l.do(at, move(at))
	if l.state.Property != other || l.state.Zone != "LB2" || !l.state.names("statement") || l.state.names("bill") || !l.state.names("v5c") {
		t.Errorf("moved to %v in %s with %v", l.state.Property, l.state.Zone, l.state.Evidence)
	}
	back := move(at)
	back.Property = home
	l.do(at, back)
}

func TestTenancyMustCoverTheDayOfTheMove(t *testing.T) {
	at := noon("2026-06-01")
	c := move(at)
	c.Evidence = []domain.Evidence{{Kind: domain.EvidenceTenancy, SHA256: "lease", TenancyFrom: day("2026-06-01"), TenancyMonths: 1, Signed: true}}
	approved(t, "2026-03-01", 12).do(at, c)
}
