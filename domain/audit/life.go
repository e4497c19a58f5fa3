package audit

import (
	"slices"
	"strings"
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
)

// life is the summary of a permit's own stream.
type life struct {
	line
	anchor, last, asked day // first and last day of the whole cover, first day asked for
	months              int32
	total               int32 // months of all terms
	term                int32 // number of the last term
	paid                int64 // price of all terms
	price               int64 // of the first term
	zone, mark, entered key
	applied, approved   bool
	rejected, cancelled bool
	autoRenewal         bool
}

// check folds one lifecycle event. What is out of its place is told once and
// still folded, as a reader of the log would.
func (l *life) check(f *finder, e permit.Event) {
	if a, ok := e.(permit.Applied); ok {
		f.expect(!l.applied, RuleLifeCycle, "applied for a second time")
		l.apply(f, a)
		return
	}
	if !l.applied {
		f.wrong(RuleLifeCycle, "a %s before the application", f.Type)
		l.blind = true // nothing that follows could be right
		return
	}
	f.expect(!l.rejected, RuleLifeCycle, "a %s after the rejection", f.Type)
	f.expect(!l.cancelled, RuleLifeCycle, "a %s after the cancellation", f.Type)
	f.expect(!l.approved || f.Meta.At.Before(l.last.over()), RuleLifeCycle, "a %s after the last day, %s", f.Type, l.last.date())
	switch e := e.(type) {
	case permit.Approved:
		f.expect(!l.approved, RuleLifeCycle, "approved for a second time")
		l.approve(f, e)
	case permit.Rejected:
		f.expect(!l.approved, RuleLifeCycle, "rejected after the approval")
		l.decided(f, e.Decision, domain.OutcomeRejected)
		reasons(f, e)
		l.rejected = true
	case permit.Renewed:
		l.live(f)
		l.renew(f, e)
	case permit.VehicleChanged:
		l.live(f)
		l.changeVehicle(f, e)
	case permit.AddressChanged:
		l.live(f)
		f.expect(keyOf(e.Zone) == l.zone, RuleContent, "moved to another zone")
	case permit.Cancelled:
		l.cancel(f, e)
	case permit.AutoRenewalCancelled:
		f.expect(l.autoRenewal, RuleLifeCycle, "automatic renewal was off already")
		l.autoRenewal = false
	}
}

func (l *life) live(f *finder) {
	f.expect(l.approved, RuleLifeCycle, "a %s before the approval", f.Type)
}

func (l *life) apply(f *finder, e permit.Applied) {
	f.expect(e.Kind.Valid() && e.Months > 0 && e.Zone != "" && e.Price >= 0 && e.Account != "", RuleContent,
		"kind, months, zone, price or account is missing or none")
	f.expect(e.SubmittedOn == domain.DateOf(f.Meta.At), RuleContent, "submitted on %s and recorded on %s", e.SubmittedOn, domain.DateOf(f.Meta.At))
	f.expect(!e.RequestedFirstDay.Before(e.SubmittedOn), RuleTerms, "the first day asked for, %s, lies before the application", e.RequestedFirstDay)
	f.expect(len(e.Evidence) > 0, RuleContent, "no evidence is named")
	f.expect(e.FollowsPermit == "" || e.FollowsDispute == "", RuleContent, "it follows a permit and a dispute")
	*l = life{line: l.line, applied: true, asked: dayOf(e.RequestedFirstDay), months: int32(e.Months), price: int64(e.Price),
		zone: keyOf(e.Zone), mark: keyOf(e.Personal.Value.Vehicle.Mark), entered: keyOf(e.Personal.Value.EnteredBy),
		autoRenewal: e.AutoRenewal}
}

func (l *life) approve(f *finder, e permit.Approved) {
	l.decided(f, e.Decision, domain.OutcomeApproved)
	first := l.asked.date()
	if today := domain.DateOf(f.Meta.At); today.After(first) {
		first = today
	}
	f.expect(e.FirstDay == first, RuleTerms, "begins on %s; the later of the day asked for and the day of the approval is %s", e.FirstDay, first)
	last := domain.LastDay(e.FirstDay, int(l.months))
	f.expect(e.LastDay == last, RuleTerms, "ends on %s; %d months from %s end on %s", e.LastDay, l.months, e.FirstDay, last)
	l.approved, l.term, l.total, l.paid = true, 1, l.months, l.price
	l.anchor, l.last = dayOf(e.FirstDay), dayOf(e.LastDay)
}

func (l *life) renew(f *finder, e permit.Renewed) {
	f.expect(int32(e.Term) == l.term+1, RuleTerms, "term %d follows term %d", e.Term, l.term)
	f.expect(e.Months > 0, RuleTerms, "a term of %d months", e.Months)
	previous := l.last.date()
	f.expect(e.PreviousLastDay == previous, RuleTerms, "the previous last day is given as %s and was %s", e.PreviousLastDay, previous)
	next := previous.AddDays(1)
	f.expect(!e.FirstDay.Before(next), RuleTerms, "begins on %s and overlaps the term that ends on %s", e.FirstDay, previous)
	f.expect(!e.FirstDay.After(next), RuleTerms, "begins on %s and leaves a gap after %s", e.FirstDay, previous)
	last := domain.LastDay(l.anchor.date(), int(l.total)+e.Months)
	f.expect(e.LastDay == last, RuleTerms, "ends on %s; %d months from the permit's first day, %s, end on %s",
		e.LastDay, int(l.total)+e.Months, l.anchor.date(), last)
	f.expect(!e.Automatic || l.autoRenewal, RuleLifeCycle, "renewed automatically without the holder's consent")
	f.expect((e.Payment == "") == (e.Price == 0), RuleContent, "a price of %s and the payment %q", e.Price, e.Payment)
	l.term, l.total, l.last = int32(e.Term), l.total+int32(e.Months), dayOf(e.LastDay)
	l.paid += int64(e.Price)
	l.autoRenewal = e.AutoRenewal
}

func (l *life) changeVehicle(f *finder, e permit.VehicleChanged) {
	f.expect(e.EffectiveAt.Equal(f.Meta.At), RuleContent, "it takes effect at another instant than it was recorded")
	if e.Personal.Erased {
		l.mark = 0
		return
	}
	p := e.Personal.Value
	f.expect(l.mark == 0 || keyOf(p.From.Mark) == l.mark, RuleContent, "the vehicle that is given up was not on the permit")
	f.expect(p.From.Mark != p.To.Mark, RuleContent, "the vehicle was changed to itself")
	l.mark = keyOf(p.To.Mark)
}

func (l *life) cancel(f *finder, e permit.Cancelled) {
	pending := !l.approved
	switch e.Reason {
	case permit.CancelledByHolder:
	case permit.CancelledByCouncil:
		f.expect(!pending, RuleLifeCycle, "an application was withdrawn as if it were a permit")
		f.expect(e.Decision != nil, RuleDecision, "withdrawn by the council without a decision")
		if e.Decision != nil {
			l.decided(f, *e.Decision, domain.OutcomeWithdrawn)
		}
		f.expect(pending || e.EffectiveAt.Before(l.last.over()), RuleContent, "it takes effect after the last day")
	case permit.CancelledUnpaid, permit.CancelledHoldLapsed:
		f.expect(pending, RuleLifeCycle, "a permit ended for want of a payment that was due before its approval")
	default:
		f.wrong(RuleContent, "the reason %q does not exist", e.Reason)
	}
	early := e.EffectiveAt.Before(f.Meta.At.Truncate(time.Microsecond))
	f.expect(!early, RuleContent, "it takes effect before it was recorded")
	f.expect(e.Refund >= 0 && int64(e.Refund) <= l.paid, RuleMoney, "%s is given back of %s", e.Refund, domain.Pence(l.paid))
	l.cancelled = true
}

// decided checks the record of a decision and who made it.
func (l *life) decided(f *finder, d domain.DecisionRecord, outcome string) {
	f.expect(d.Outcome == outcome, RuleDecision, "the outcome is recorded as %q", d.Outcome)
	f.expect(d.Basis.Valid(), RuleDecision, "the basis %q does not exist", d.Basis)
	f.expect(d.Versions.Policy != "", RuleDecision, "the policy that was applied is not named")
	f.expect(d.Decider.ID != "" && d.Decider.ID == f.Meta.Actor.ID, RuleDecision, "the decider is not who acted")
	f.expect(d.Decider.Role == domain.RoleReviewer, RuleDecision, "decided in the role %q", d.Decider.Role)
	f.expect(l.entered == 0 || l.entered != keyOf(d.Decider.ID), RuleOwnCase, "decided by who entered the application")
}

// reasons checks that a rejection says why.
func reasons(f *finder, e permit.Rejected) {
	f.expect(len(e.Decision.Reasons) > 0, RuleDecision, "rejected without a reason")
	words := e.Personal.Value.Reasons
	for i, r := range e.Decision.Reasons {
		f.expect(slices.Contains(domain.ReasonCodes(), r.Code), RuleDecision, "the reason %q does not exist", r.Code)
		if r.Code == domain.ReasonOther && !e.Personal.Erased {
			f.expect(i < len(words) && strings.TrimSpace(words[i]) != "", RuleDecision, "the reason \"other\" has no words")
		}
	}
}
