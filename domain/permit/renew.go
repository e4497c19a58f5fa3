package permit

import (
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// Renewal is the term that a renewal would add.
type Renewal struct {
	Term            int
	Months          int
	PreviousLastDay domain.Date
	FirstDay        domain.Date
	LastDay         domain.Date
}

// PlanRenewal says which term a renewal at this instant would add, or why there
// can be none. It is asked before the payer is, and again by Decide when the
// money was taken; months of 0 means those of the latest term.
//
// The new term begins on the day after the last one, so renewing early loses
// nothing, and its last day is counted from the permit's own first day with
// all months paid so far: counted from the previous last day, a permit begun
// on 31 January would end on the 28th of every month after its first February.
func PlanRenewal(s State, at time.Time, months int, r policy.Rules) (Renewal, error) {
	if refusal := s.renewable(at, r); refusal != nil {
		return Renewal{}, stamp(at, refusal)
	}
	if months == 0 {
		months = s.Latest().Months
	}
	if months < 0 {
		return Renewal{}, stamp(at, Quote{}.Check(s.Kind, months))
	}
	total := months
	for _, t := range s.Terms {
		total += t.Months
	}
	previous := s.LastDay()
	return Renewal{
		Term:            s.Latest().Term + 1,
		Months:          months,
		PreviousLastDay: previous,
		FirstDay:        previous.AddDays(1),
		LastDay:         domain.LastDay(s.Anchor(), total),
	}, nil
}

// renewable refuses a renewal outside the window of the latest term. When the
// end of the permit is decided there is nothing to renew, although the notice
// still runs.
func (s State) renewable(at time.Time, r policy.Rules) *domain.Refusal {
	switch s.Status(at) {
	case StatusActive, StatusUpcoming:
		if s.Cancellation != nil {
			return domain.Refuse(domain.RuleNotLive, "", "The council has withdrawn this permit; it cannot be renewed.")
		}
		return s.windowOpen(at, r)
	case StatusCancelled:
		return domain.Refuse(domain.RuleNotLive, "", "This permit was cancelled. A new application is needed.")
	}
	return s.live(at)
}

// windowOpen refuses a renewal that comes too early. The window closes with
// the last day, when the permit expires.
func (s State) windowOpen(at time.Time, r policy.Rules) *domain.Refusal {
	opens := s.RenewalOpensOn(r)
	if !at.Before(opens.Midnight()) {
		return nil
	}
	return &domain.Refusal{Rule: domain.RuleRenewalWindow, OpensOn: opens, Detail: fmt.Sprintf(
		"Renewal opens on %s. Nothing is lost by waiting: the new term follows the present one.", opens)}
}

func (s State) renew(at time.Time, c Renew) (Event, error) {
	plan, err := PlanRenewal(s, at, c.Months, c.Rules)
	if err != nil {
		return nil, err
	}
	if c.Automatic && !s.AutoRenewalOn(at) {
		return nil, domain.Refuse(domain.RuleAutoRenewalOff, "", "Automatic renewal is off: the holder has not agreed to this charge.")
	}
	if c.Payment != "" && slices.ContainsFunc(s.Terms, func(t Term) bool { return t.Payment == c.Payment }) {
		// The window alone would not stop this where terms are shorter than it.
		return nil, &domain.Refusal{Rule: domain.RuleRenewalWindow, OpensOn: s.RenewalOpensOn(c.Rules),
			Detail: "This payment has renewed the permit already. A further renewal needs a payment of its own."}
	}
	auto := s.AutoRenewal
	if c.AutoRenewal != nil {
		auto = *c.AutoRenewal
	}
	return Renewed{
		Term: plan.Term, Months: plan.Months, PreviousLastDay: plan.PreviousLastDay,
		FirstDay: plan.FirstDay, LastDay: plan.LastDay,
		Price: c.Price, TariffVersion: c.TariffVersion, Payment: c.Payment,
		Automatic: c.Automatic, AutoRenewal: auto, TermsVersion: c.TermsVersion,
	}, nil
}

func (s State) cancelAutoRenewal(at time.Time) (Event, error) {
	if !s.AutoRenewalOn(at) {
		return nil, domain.Refuse(domain.RuleAutoRenewalOff, "", "Automatic renewal is off for this permit.")
	}
	return AutoRenewalCancelled{}, nil
}
