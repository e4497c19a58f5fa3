// Package policy is what the council has published: tariffs, policies, terms
// and conditions, and the gazetteer of its properties.
//
// It holds no figure of its own. Every figure comes from an event with a
// version and a first day, and what is in force is asked for by day, so that
// an answer for a day long gone is the one that was given then. It decides
// nothing about permits.
//
// Begin reading at Book.
package policy

import (
	"slices"

	"permitledger/domain"
)

// The streams of what is published. Policies and terms share one.
const (
	TariffStream    = "tariff-main"
	PolicyStream    = "policy-main"
	GazetteerStream = "gazetteer-main"
)

// The things published, as they are kept in a Book.
type (
	// Tariff is the prices from a day on.
	Tariff TariffPublished
	// Policy is the council's figures and its contact from a day on.
	Policy PolicyPublished
	// Terms are the terms and conditions from a day on.
	Terms TermsPublished
)

// Book is all that was published so far. The zero Book is empty.
//
// A Book is read by value and from any number of goroutines: Evolve never
// changes what the queries of an earlier Book read. Only the newest Book may be
// evolved, and by one goroutine at a time, because the parts of a gazetteer
// that is not complete yet are collected in place.
type Book struct {
	tariffs  []Tariff // each list in the order in which its members come into force
	policies []Policy
	terms    []Terms

	gazetteer *gazetteer            // the latest complete one; never changed
	importing map[importKey]*parted // owned by Evolve; no query reads it
}

// Evolve adds one published event to the book and takes the old book over.
func Evolve(b Book, e Event, _ domain.Meta) Book {
	switch e := e.(type) {
	case TariffPublished:
		b.tariffs = inForceOrder(b.tariffs, Tariff(e), func(t Tariff) domain.Date { return t.EffectiveFrom })
	case PolicyPublished:
		b.policies = inForceOrder(b.policies, Policy(e), func(p Policy) domain.Date { return p.EffectiveFrom })
	case TermsPublished:
		b.terms = inForceOrder(b.terms, Terms(e), func(t Terms) domain.Date { return t.EffectiveFrom })
	case GazetteerImported:
		b = b.collect(e)
	}
	return b
}

// inForceOrder inserts a newly published thing by its first day. Of two with
// the same first day the one published later supersedes the other. The old
// list is left as it was.
func inForceOrder[T any](list []T, item T, from func(T) domain.Date) []T {
	at := len(list)
	for at > 0 && from(list[at-1]).After(from(item)) {
		at--
	}
	return slices.Insert(slices.Clone(list), at, item)
}

// lastInForce gives the last thing whose first day has come.
func lastInForce[T any](list []T, day domain.Date, from func(T) domain.Date) (T, bool) {
	for _, item := range slices.Backward(list) {
		if !from(item).After(day) {
			return item, true
		}
	}
	var none T
	return none, false
}

// PolicyOn gives the policy in force on a day; false before the first one.
func (b Book) PolicyOn(day domain.Date) (Policy, bool) {
	return lastInForce(b.policies, day, func(p Policy) domain.Date { return p.EffectiveFrom })
}

// TermsOn gives the terms and conditions in force on a day; false before the
// first ones.
func (b Book) TermsOn(day domain.Date) (Terms, bool) {
	return lastInForce(b.terms, day, func(t Terms) domain.Date { return t.EffectiveFrom })
}

// Terms gives a version of the terms and conditions, in force or not.
func (b Book) Terms(version string) (Terms, bool) {
	for _, t := range slices.Backward(b.terms) {
		if t.Version == version {
			return t, true
		}
	}
	return Terms{}, false
}

// VersionsOn names what is in force on a day, for the record of a decision.
func (b Book) VersionsOn(day domain.Date) domain.Versions {
	tariff, _ := b.TariffOn(day)
	policy, _ := b.PolicyOn(day)
	terms, _ := b.TermsOn(day)
	return domain.Versions{Tariff: tariff.Version, Policy: policy.Version, Terms: terms.Version, Gazetteer: b.Gazetteer()}
}
