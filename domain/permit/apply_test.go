package permit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

func TestApplicationCarriesWhatWasResolved(t *testing.T) {
	at := noon("2026-03-01")
	l := begin(t).do(at, application(at))
	want := Applied{
		Account: account, Kind: domain.KindResident, Zone: "LB2", Months: 12,
		RequestedFirstDay: day("2026-03-01"), SubmittedOn: day("2026-03-01"),
		Price: 5500, TariffVersion: "2025-04-01", AutoRenewal: true, TermsVersion: "2025-04-01",
		CountsTowardLimit: true, Evidence: proofs(day("2026-03-01")),
		Personal: domain.PersonalOf(AppliedPersonal{
			Property: home, Vehicle: domain.Vehicle{AsTyped: "AB12 CDE", Mark: "AB12CDE"}, EnteredBy: owner,
		}),
	}
	if diff := cmp.Diff(Event(want), l.last()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	latest := l.state.Latest()
	if latest.Term != 0 || latest.Price != 5500 || !l.state.FirstDay().IsZero() || !l.state.LastDay().IsZero() {
		t.Errorf("a pending application shows %+v", latest)
	}
	if got := l.state.RenewalOpensOn(rules()); !got.IsZero() {
		t.Errorf("the renewal of a pending application opens on %s", got)
	}
	if _, ends := l.state.EndsAt(); ends {
		t.Error("a pending application has an end")
	}
	if _, decided := l.state.Decision(); decided {
		t.Error("a pending application was decided")
	}
}

func TestMotorcyclesTakeNoSlot(t *testing.T) {
	at := noon("2026-03-01")
	c := application(at)
	c.Kind = domain.KindMotorcycle
	if begin(t).do(at, c).state.CountsTowardLimit {
		t.Error("a motorcycle takes a slot")
	}
}

func TestApplicationsRefused(t *testing.T) {
	at := noon("2026-03-01")
	for name, c := range map[string]struct {
		rule   domain.Rule
		change func(*Apply)
	}{
		"no zone":          {domain.RuleNoZone, func(c *Apply) { c.Zone = "" }},
		"months not sold":  {domain.RuleKindMonths, func(c *Apply) { c.Months, c.Quote = 6, Quote{} }},
		"no months":        {domain.RuleKindMonths, func(c *Apply) { c.Months = 0 }},
		"no mark":          {domain.RuleVehicle, func(c *Apply) { c.Vehicle = " - " }},
		"strange mark":     {domain.RuleVehicle, func(c *Apply) { c.Vehicle = "AB12 CDÉ" }},
		"long mark":        {domain.RuleVehicle, func(c *Apply) { c.Vehicle = "ABCDEFGHIJK" }},
		"yesterday":        {domain.RuleFirstDay, func(c *Apply) { c.StartsOn = day("2026-02-28") }},
		"31 days ahead":    {domain.RuleFirstDay, func(c *Apply) { c.StartsOn = day("2026-04-01") }},
		"no evidence":      {domain.RuleEvidence, func(c *Apply) { c.Evidence = nil }},
		"no V5C":           {domain.RuleEvidence, func(c *Apply) { c.Evidence = c.Evidence[:1] }},
		"no residency":     {domain.RuleEvidence, func(c *Apply) { c.Evidence = c.Evidence[1:] }},
		"old bill":         {domain.RuleEvidence, func(c *Apply) { c.Evidence[0].IssuedOn = day("2025-11-30") }},
		"bill of tomorrow": {domain.RuleEvidence, func(c *Apply) { c.Evidence[0].IssuedOn = day("2026-03-02") }},
		"not uploaded":     {domain.RuleEvidence, func(c *Apply) { c.Uploaded = func(sha string) bool { return sha != "v5c" } }},
		"no upload at all": {domain.RuleEvidence, func(c *Apply) { c.Uploaded = nil }},
		"no badge":         {domain.RuleEvidence, func(c *Apply) { c.Kind = domain.KindDisabledResident }},
		"expired badge": {domain.RuleEvidence, func(c *Apply) {
			c.Kind, c.StartsOn = domain.KindDisabledResident, day("2026-03-11")
			c.Evidence = append(c.Evidence, domain.Evidence{Kind: domain.EvidenceBlueBadge, SHA256: "badge", ExpiresOn: day("2026-03-10")})
		}},
		"tenancy too long": {domain.RuleEvidence, func(c *Apply) {
			c.Kind = domain.KindTemporaryResident
			c.Evidence[0] = domain.Evidence{Kind: domain.EvidenceTenancy, SHA256: "lease", TenancyFrom: day("2026-01-01"), TenancyMonths: 13, Signed: true}
		}},
		"follows another's": {domain.RuleFollows, func(c *Apply) { c.FollowsPermit = "p" }},
		"follows two":       {domain.RuleFollows, func(c *Apply) { c.FollowsPermit, c.FollowsDispute, c.FollowsOK = "p", "d", true }},
	} {
		t.Run(name, func(t *testing.T) {
			order := application(at)
			c.change(&order)
			if r := begin(t).refused(at, order, c.rule); r.Field == "" {
				t.Errorf("%v names no field", r)
			}
		})
	}
}

func TestApplicationsAtTheEdge(t *testing.T) {
	at := noon("2026-03-01")
	for name, change := range map[string]func(*Apply){
		"today":            func(c *Apply) { c.StartsOn = day("2026-03-01") },
		"30 days ahead":    func(c *Apply) { c.StartsOn = day("2026-03-31") },
		"bill of 3 months": func(c *Apply) { c.Evidence[0].IssuedOn = day("2025-12-01") },
		"badge's last day": func(c *Apply) {
			c.Kind, c.StartsOn = domain.KindDisabledResident, day("2026-03-10")
			c.Evidence = append(c.Evidence, domain.Evidence{Kind: domain.EvidenceBlueBadge, SHA256: "badge", ExpiresOn: day("2026-03-10")})
		},
		"follows a rejection": func(c *Apply) { c.FollowsPermit, c.FollowsOK = "p", true },
		"follows a dispute":   func(c *Apply) { c.FollowsDispute, c.FollowsOK = "d", true },
		"unusual mark":        func(c *Apply) { c.Vehicle = "wd-40.x" },
	} {
		t.Run(name, func(t *testing.T) {
			order := application(at)
			change(&order)
			begin(t).do(at, order)
		})
	}
}

// Just before midnight UTC it is the next day in London in summer.
func TestTodayIsLondons(t *testing.T) {
	at := instant("2026-06-30T23:30:00Z")
	order := application(at)
	l := begin(t).do(at, order)
	if got := l.state.RequestedFirstDay; got != day("2026-07-01") {
		t.Errorf("requested first day %s", got)
	}
	order.StartsOn = day("2026-06-30")
	if r := begin(t).refused(at, order, domain.RuleFirstDay); !strings.Contains(r.Detail, "2026-07-01 to 2026-07-31") {
		t.Errorf("the refusal does not name the days: %s", r.Detail)
	}
}
