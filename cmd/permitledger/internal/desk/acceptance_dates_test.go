package desk_test

import (
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

// Cover is never back-dated: asked for on 2 March, approved on the 5th.
func TestTheFirstDayIsTheDayOfTheApproval(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs, papers := o.applied("ann", func(a *desk.Application) { a.StartsOn = day(t, "2026-03-02") })
	shows(t, "dates while pending", cover(cs), " to ")
	o.to("2026-03-05T10:00:00Z")
	cs, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(t, err)
	shows(t, "cover", cover(cs), "2026-03-05 to 2027-03-04")
	shows(t, "requested first day", cs.Permit.RequestedFirstDay, "2026-03-02")
	shows(t, "state", status(cs), permit.StatusActive)
	shows(t, "price", cs.Permit.Latest().Price, "£55.00")
	shows(t, "renewal opens", cs.Permit.RenewalOpensOn(cs.Rules), "2027-02-02")
}

// The dates that the rules tabulate, from application to approval on the same
// day. What ends in another season ends an hour off UTC's midnight.
func TestLastDays(t *testing.T) {
	for _, c := range []struct {
		at     string
		kind   domain.Kind
		months int
		last   string
		ends   string
	}{
		{"2025-08-31T08:00:00Z", domain.KindStudent, 6, "2026-02-28", "2026-03-01T00:00:00Z"},
		{"2025-11-30T09:00:00Z", domain.KindStudent, 3, "2026-02-28", "2026-03-01T00:00:00Z"},
		{"2025-03-01T09:00:00Z", domain.KindResident, 12, "2026-02-28", "2026-03-01T00:00:00Z"},
		{"2025-03-30T09:00:00Z", domain.KindResident, 12, "2026-03-29", "2026-03-29T23:00:00Z"},
		{"2025-10-26T09:00:00Z", domain.KindMotorcycle, 6, "2026-04-25", "2026-04-25T23:00:00Z"},
		// Just before London's midnight in summer, which is 23:00 UTC.
		{"2025-06-30T22:59:00Z", domain.KindResident, 12, "2026-06-29", "2026-06-29T23:00:00Z"},
		{"2025-06-30T23:00:00Z", domain.KindResident, 12, "2026-06-30", "2026-06-30T23:00:00Z"},
	} {
		o := openedAt(t, c.at)
		cs := o.running("ann", func(a *desk.Application) { a.Kind, a.Months = c.kind, c.months })
		shows(t, c.at+" last day", cs.Permit.LastDay(), c.last)
		end := moment(t, c.ends)
		shows(t, c.at+" in the last moment", cs.Permit.Status(end.Add(-time.Microsecond)), permit.StatusActive)
		shows(t, c.at+" after it", cs.Permit.Status(end), permit.StatusExpired)
	}
}

// A requested day may be from today to 30 days ahead, in London's days.
func TestFirstDaysThatMayBeAskedFor(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "ann")
	for _, bad := range []string{"2026-03-01", "2026-04-02"} {
		a := application(papers)
		a.StartsOn = day(t, bad)
		_, err := o.Apply(ctx, by("ann", domain.RoleResident), account, a)
		refusedAs(t, err, domain.RuleFirstDay)
	}
	cs, papers := o.applied("bob", func(a *desk.Application) { a.StartsOn = day(t, "2026-04-01") })
	cs, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(t, err)
	shows(t, "cover", cover(cs), "2026-04-01 to 2027-03-31")
	shows(t, "state", status(cs), permit.StatusUpcoming)
	_, err = o.Renew(ctx, by("bob", domain.RoleResident), cs.ID, 0, nil)
	shows(t, "renewal opens", refusedAs(t, err, domain.RuleRenewalWindow).OpensOn, "2027-03-01")
	first := moment(t, "2026-03-31T23:00:00Z") // London's midnight, in summer time
	shows(t, "before the first day", cs.Permit.Status(first.Add(-time.Microsecond)), permit.StatusUpcoming)
	shows(t, "on the first day", cs.Permit.Status(first), permit.StatusActive)
}

// The window opens at London's midnight, 30 calendar days before the last day.
func TestRenewalWindows(t *testing.T) {
	for _, c := range []struct{ begun, last, opens, tooEarly string }{
		{"2025-04-01T09:00:00Z", "2026-03-31", "2026-03-01T00:00:00Z", "2026-02-28T23:59:59Z"},
		{"2025-11-11T09:00:00Z", "2026-11-10", "2026-10-10T23:00:00Z", "2026-10-10T22:59:59Z"},
		{"2025-03-02T09:00:00Z", "2026-03-01", "2026-01-30T00:00:00Z", "2026-01-29T23:59:59Z"},
		{"2026-12-01T09:00:00Z", "2027-11-30", "2027-10-30T23:00:00Z", "2027-10-30T22:59:59Z"},
	} {
		t.Run(c.last, func(t *testing.T) {
			o, ctx := openedAt(t, c.begun), t.Context()
			cs := o.running("ann", nil)
			shows(t, "last day", cs.Permit.LastDay(), c.last)
			early, open := by("ann", domain.RoleResident), by("ann", domain.RoleResident)
			early.At, open.At = moment(t, c.tooEarly), moment(t, c.opens)
			_, err := o.Renew(ctx, early, cs.ID, 0, nil)
			shows(t, "opens on", refusedAs(t, err, domain.RuleRenewalWindow).OpensOn, domain.DateOf(open.At))
			r, err := o.Renew(ctx, open, cs.ID, 0, nil)
			must(t, err)
			term := r.Permit.Latest()
			shows(t, "new first day", term.FirstDay, day(t, c.last).AddDays(1))
			shows(t, "new last day", term.LastDay, domain.LastDay(cs.Permit.FirstDay(), 24))
			shows(t, "first term", cover(r.Case)[:10], cs.Permit.FirstDay())
			shows(t, "id", r.ID, cs.ID)
			shows(t, "money", money(r.Case), payment.StatusCaptured)
			// The window is now that of the new last day.
			again := by("ann", domain.RoleResident)
			again.At = open.At.Add(time.Hour)
			_, err = o.Renew(ctx, again, cs.ID, 0, nil)
			refusedAs(t, err, domain.RuleRenewalWindow)
		})
	}
}

func TestRenewalInTheLastMomentAndAfterIt(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	ann, bob := o.running("ann", nil), o.running("bob", nil)
	end := moment(t, "2026-03-31T23:00:00Z") // the last day ends in summer time
	last, late := by("ann", domain.RoleResident), by("bob", domain.RoleResident)
	last.At, late.At = end.Add(-time.Second), end
	r, err := o.Renew(ctx, last, ann.ID, 0, nil)
	must(t, err)
	shows(t, "cover", cover(r.Case), "2025-04-01 to 2027-03-31")
	_, err = o.Renew(ctx, late, bob.ID, 0, nil)
	refusedAs(t, err, domain.RuleEnded)
}

// Terms that began on the 31st do not slip: each is counted from the anchor.
func TestTermsAreCountedFromTheAnchor(t *testing.T) {
	o, ctx := openedAt(t, "2025-08-31T08:00:00Z"), t.Context()
	cs := o.running("ann", func(a *desk.Application) { a.Kind, a.Months = domain.KindStudent, 3 })
	want := []string{"2025-11-30", "2026-02-28", "2026-05-30", "2026-08-30", "2026-11-30"}
	for i, last := range want {
		shows(t, "last day", cs.Permit.LastDay(), last)
		if i == len(want)-1 {
			break
		}
		o.clock.Set(cs.Permit.LastDay().Midnight().Add(12 * time.Hour))
		r, err := o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil)
		must(t, err)
		cs = r.Case
	}
	for i, term := range cs.Permit.Terms[1:] {
		shows(t, "the terms touch", term.FirstDay, cs.Permit.Terms[i].LastDay.AddDays(1))
	}
}

// The price is that of the application's day for the first term, and that of
// the day of payment for a renewal. A decision after the change alters nothing.
func TestPricesOverAChangeOfTariff(t *testing.T) {
	o, ctx := openedAt(t, "2025-03-31T22:59:59Z"), t.Context() // one second before 1 April in London
	before, papers := o.applied("ann", nil)
	shows(t, "price on 31 March", before.Permit.Price, "£50.00")
	shows(t, "tariff on 31 March", before.Permit.TariffVersion, "2024-04-01")
	o.to("2025-03-31T23:00:01Z")
	after, _ := o.applied("bob", nil)
	shows(t, "price on 1 April", after.Permit.Price, "£55.00")
	approved, err := o.Approve(ctx, by("rita", domain.RoleReviewer), before.ID, fine(papers))
	must(t, err)
	shows(t, "price when approved later", approved.Permit.Latest().Price, "£50.00")
	shows(t, "first day", approved.Permit.FirstDay(), "2025-04-01")
	cs := o.settled(before.ID, 1)
	shows(t, "taken", cs.Payment.Captured(), "£50.00")

	must(t, o.Publish(ctx, dearer(t, "2026-03-15")))
	renewal := by("ann", domain.RoleResident)
	renewal.At = moment(t, "2026-03-14T23:59:59Z")
	cheap, err := o.Renew(ctx, renewal, before.ID, 0, nil)
	must(t, err)
	shows(t, "renewed on 14 March for", cheap.Permit.Latest().Price, "£55.00")
	o.to("2026-03-15T00:00:00Z")
	dear := o.running("cid", func(a *desk.Application) { a.UPRN = o.house(t, 0) })
	shows(t, "applied on 15 March for", dear.Permit.Price, "£60.00")
	shows(t, "terms of the first permit", o.now(before.ID).Permit.Terms[0].Price, "£50.00")
}

// "Within the last three months" counts civil months back from the day of
// submission, and a slow review makes nothing stale.
func TestEvidenceByItsDates(t *testing.T) {
	for _, c := range []struct {
		at, issued string
		good       bool
	}{
		{"2026-05-31T10:00:00Z", "2026-02-28", true},
		{"2026-05-31T10:00:00Z", "2026-02-27", false},
		{"2026-03-15T10:00:00Z", "2025-12-15", true},
		{"2026-03-15T10:00:00Z", "2025-12-14", false},
		{"2026-03-15T10:00:00Z", "2026-03-15", true},
		{"2026-03-15T10:00:00Z", "2026-03-16", false},
	} {
		o, ctx := openedAt(t, c.at), t.Context()
		account, papers := o.resident(ctx, "ann")
		papers[0].IssuedOn = day(t, c.issued)
		cs, err := o.Apply(ctx, by("ann", domain.RoleResident), account, application(papers))
		if !c.good {
			refusedAs(t, err, domain.RuleEvidence)
			continue
		}
		must(t, err)
		o.clock.Set(o.Now().Add(100 * time.Hour))
		_, err = o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
		must(t, err)
	}
}

func TestEvidenceThatIsMissingForeignOrBad(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "ann")
	_, foreign := o.resident(ctx, "bob")
	bill, v5c := papers[0], papers[1]
	tenancy := func(from string, months int, signed bool) domain.Evidence {
		return domain.Evidence{Kind: domain.EvidenceTenancy, SHA256: bill.SHA256, TenancyFrom: day(t, from), TenancyMonths: months, Signed: signed}
	}
	same := v5c
	same.SHA256 = bill.SHA256
	for name, c := range map[string]struct {
		kind     domain.Kind
		evidence []domain.Evidence
		good     bool
	}{
		"nothing":                          {domain.KindResident, nil, false},
		"no V5C":                           {domain.KindResident, []domain.Evidence{bill}, false},
		"no proof":                         {domain.KindResident, []domain.Evidence{v5c}, false},
		"another's bill":                   {domain.KindResident, []domain.Evidence{foreign[0], v5c}, false},
		"one scan that shows both":         {domain.KindMotorcycle, []domain.Evidence{bill, same}, true},
		"unsigned tenancy":                 {domain.KindResident, []domain.Evidence{tenancy("2026-01-01", 6, false), v5c}, false},
		"tenancy from tomorrow":            {domain.KindResident, []domain.Evidence{tenancy("2026-03-03", 6, true), v5c}, false},
		"tenancy that ended yesterday":     {domain.KindResident, []domain.Evidence{tenancy("2025-09-02", 6, true), v5c}, false},
		"temporary for thirteen months":    {domain.KindTemporaryResident, []domain.Evidence{tenancy("2026-01-01", 13, true), v5c}, false},
		"badge left out":                   {domain.KindDisabledResident, []domain.Evidence{bill, v5c}, false},
		"badge that ended":                 {domain.KindDisabledResident, []domain.Evidence{bill, v5c, o.badge(ctx, "ann", account, "2026-03-01")}, false},
		"unsigned tenancy beside a bill":   {domain.KindMotorcycle, []domain.Evidence{tenancy("2026-01-01", 6, false), bill, v5c}, true},
		"tenancy that ends today":          {domain.KindMotorcycle, []domain.Evidence{tenancy("2025-09-03", 6, true), v5c}, true},
		"badge that ends on the first day": {domain.KindDisabledResident, []domain.Evidence{bill, v5c, o.badge(ctx, "ann", account, "2026-03-02")}, true},
	} {
		a := application(c.evidence)
		a.Kind = c.kind
		_, err := o.Apply(ctx, by("ann", domain.RoleResident), account, a)
		if c.good && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !c.good && refusedBy(err) != domain.RuleEvidence {
			t.Errorf("%s: %v", name, err)
		}
	}
}
