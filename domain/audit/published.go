package audit

import (
	"slices"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
)

// published is what the council has published so far, without the gazetteer's
// rows and the text of the terms.
type published struct {
	tariffs    []policy.TariffPublished // each list in the order of the log
	policies   []inForce
	terms      []inForce
	gazetteers []string
	blind      bool
}

// inForce is a version of a policy or of the terms.
type inForce struct {
	version string
	from    domain.Date
	rules   policy.Rules // of a policy
}

func (p *published) add(f *finder, e policy.Event) {
	again := false
	switch e := e.(type) {
	case policy.TariffPublished:
		again = slices.ContainsFunc(p.tariffs, func(t policy.TariffPublished) bool { return t.Version == e.Version })
		p.tariffs = append(p.tariffs, e)
	case policy.PolicyPublished:
		again = has(p.policies, e.Version)
		p.policies = append(p.policies, inForce{e.Version, e.EffectiveFrom, e.Rules})
	case policy.TermsPublished:
		again = has(p.terms, e.Version)
		p.terms = append(p.terms, inForce{version: e.Version, from: e.EffectiveFrom})
	case policy.GazetteerImported:
		if e.Part == e.Parts && !slices.Contains(p.gazetteers, e.Version) {
			p.gazetteers = append(p.gazetteers, e.Version)
		}
	}
	f.expect(!again, RulePublished, "this version was published before; what is published is never edited")
}

func has(all []inForce, version string) bool {
	return slices.ContainsFunc(all, func(v inForce) bool { return v.version == version })
}

// versions checks that the versions that an event names were published.
func (w *Whole) versions(f *finder) {
	p, v := &w.published, f.Versions
	if p.blind {
		return
	}
	told := func(what, version string, published bool) {
		f.expect(version == "" || published, RulePublished, "version %q of the %s had not been published", version, what)
	}
	told("policy", v.Policy, has(p.policies, v.Policy))
	told("terms", v.Terms, has(p.terms, v.Terms))
	told("gazetteer", v.Gazetteer, slices.Contains(p.gazetteers, v.Gazetteer))
	_, ok := p.tariff(v.Tariff)
	told("tariff", v.Tariff, ok)
}

func (p *published) tariff(version string) (policy.TariffPublished, bool) {
	for _, t := range p.tariffs {
		if t.Version == version {
			return t, true
		}
	}
	return policy.TariffPublished{}, false
}

// application checks the tariff and the first day of an application.
func (p *published) application(f *finder, e permit.Applied) {
	if p.blind {
		return
	}
	var last policy.TariffPublished // in force on the day of the application
	for _, t := range p.tariffs {
		if !t.EffectiveFrom.After(e.SubmittedOn) && !t.EffectiveFrom.Before(last.EffectiveFrom) {
			last = t
		}
	}
	f.expect(e.TariffVersion == last.Version, RulePublished, "the tariff %q was applied and %q was in force on %s", e.TariffVersion, last.Version, e.SubmittedOn)
	p.price(f, e.TariffVersion, e.Kind, e.Months, e.Price)
	rules, ok := p.rules(f.Versions.Policy)
	if !ok {
		return // told by versions
	}
	latest := e.SubmittedOn.AddDays(rules.StartAheadDays)
	f.expect(!e.RequestedFirstDay.After(latest), RuleWindow, "the first day asked for, %s, is later than %s, the latest by the policy", e.RequestedFirstDay, latest)
	f.expect(e.CountsTowardLimit != slices.Contains(rules.UncountedKinds, e.Kind), RuleSlots,
		"whether a %s permit counts towards the limit is recorded otherwise than the policy has it", e.Kind)
}

// price checks a price against the tariff that it is said to be from.
func (p *published) price(f *finder, version string, kind domain.Kind, months int, price domain.Pence) {
	t, ok := p.tariff(version)
	if !ok {
		return // told by versions, or by the tariff in force
	}
	for _, offer := range t.Prices {
		if offer.Kind == kind && offer.Months == months {
			f.expect(offer.Price == price, RulePrice, "the price is %s and that of the tariff %s", price, offer.Price)
			return
		}
	}
	f.wrong(RulePrice, "the tariff %q does not sell %d months of this kind", version, months)
}

func (p *published) rules(version string) (policy.Rules, bool) {
	for _, v := range p.policies {
		if v.version == version {
			return v.rules, true
		}
	}
	return policy.Rules{}, false
}

// renewal checks that a permit was renewed inside the window of the policy
// that the event names.
func (p *published) renewal(f *finder, h holder, e permit.Renewed) {
	rules, ok := p.rules(f.Versions.Policy)
	if !ok || p.blind {
		return
	}
	opens := e.PreviousLastDay.AddDays(-rules.RenewalWindowDays)
	if first := h.first.date(); opens.Before(first) {
		opens = first
	}
	f.expect(!f.Meta.At.Before(opens.Midnight()), RuleWindow, "renewed before the window opened on %s", opens)
	closed := !f.Meta.At.Before(e.PreviousLastDay.AddDays(1).Midnight())
	f.expect(!closed, RuleWindow, "renewed after the last day, %s", e.PreviousLastDay)
	if h.exists && !h.blind && h.kind >= 0 {
		p.price(f, e.TariffVersion, domain.Kinds()[h.kind], e.Months, e.Price)
	}
}

// limit checks that the limit that a property was held to is that of a policy.
// Which one was applied is not recorded in the event, so it has to be one that
// was published by then.
func (p *published) limit(f *finder, limit int) {
	known := slices.ContainsFunc(p.policies, func(v inForce) bool { return v.rules.PermitsPerProperty == limit })
	f.expect(known || p.blind, RuleSlots, "no published policy has the limit %d", limit)
}
