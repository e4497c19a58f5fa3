package permit

import (
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// cancel ends a permit at once. Cancelling an application withdraws it; its
// hold is then given back by the payment, so nothing is refunded here.
func (s State) cancel(at time.Time, c Cancel) (Event, error) {
	reason := c.Reason
	if reason == "" {
		reason = CancelledByHolder
	}
	if reason == CancelledByCouncil {
		return nil, domain.Refuse(domain.RuleReasons, "", "The council ends a permit by withdrawing it, with a recorded decision.")
	}
	notPending := s.pending(at)
	if notPending != nil {
		if reason != CancelledByHolder {
			// Paid and decided in the meantime: the timer came too late.
			return nil, notPending
		}
		if r := s.live(at); r != nil {
			return nil, r
		}
	}
	e := Cancelled{Reason: reason, EffectiveAt: at, RefundRule: c.Rules.Refund.Kind,
		Personal: domain.PersonalOf(CancelledPersonal{Words: c.Words})}
	if notPending != nil {
		e.Refund = s.refund(at, c.Rules)
	}
	return e, nil
}

// withdraw ends a permit by the council's decision, from a day on. The permit
// stays live until that London midnight; a withdrawal for today takes effect
// at once, because what was covered this morning stays covered.
func (s State) withdraw(at time.Time, c Withdraw) (Event, error) {
	if r := s.live(at); r != nil {
		return nil, r
	}
	if err := s.checkReview(domain.OutcomeWithdrawn, c.Review); err != nil {
		return nil, err
	}
	today := domain.DateOf(at)
	if c.EffectiveOn.Before(today) || c.EffectiveOn.After(s.LastDay()) {
		return nil, domain.Refuse(domain.RuleFirstDay, "effectiveOn", fmt.Sprintf(
			"A withdrawal takes effect today or later and not after the last day: from %s to %s.", today, s.LastDay()))
	}
	effective := c.EffectiveOn.Midnight()
	if effective.Before(at) {
		effective = at
	}
	record, words := c.Decision.Split(domain.OutcomeWithdrawn, c.Actor, c.Versions)
	return Cancelled{
		Reason: CancelledByCouncil, EffectiveAt: effective,
		Refund: s.refund(effective, c.Rules), RefundRule: c.Rules.Refund.Kind,
		Decision: &record,
		Personal: domain.PersonalOf(CancelledPersonal{Decision: &words}),
	}, nil
}

// refund is what the policy gives back of all terms when the permit ends at an
// instant. The figure is fixed in the event; a later policy never changes it.
func (s State) refund(end time.Time, r policy.Rules) domain.Pence {
	paid := make([]policy.PaidTerm, 0, len(s.Terms))
	before := 0
	for _, t := range s.Terms {
		paid = append(paid, policy.PaidTerm{Anchor: s.Anchor(), Before: before, Months: t.Months, Price: t.Price})
		before += t.Months
	}
	return r.RefundFor(end, paid...)
}
