package permit

import (
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

func (s State) approve(at time.Time, c Approve) (Event, error) {
	if r := s.pending(at); r != nil {
		return nil, r
	}
	if err := s.checkReview(domain.OutcomeApproved, c.Review); err != nil {
		return nil, err
	}
	if r := s.checkHold(at, c.Rules, c.Payment); r != nil {
		return nil, r
	}
	first := s.FirstDayIfApproved(at)
	record, words := c.Decision.Split(domain.OutcomeApproved, c.Actor, c.Versions)
	return Approved{
		FirstDay: first,
		LastDay:  domain.LastDay(first, s.Months),
		Decision: record,
		Personal: domain.PersonalOf(words),
	}, nil
}

// reject looks at no hold: an application whose payment lapsed may be rejected
// like any other.
func (s State) reject(at time.Time, c Reject) (Event, error) {
	if r := s.pending(at); r != nil {
		return nil, r
	}
	if err := s.checkReview(domain.OutcomeRejected, c.Review); err != nil {
		return nil, err
	}
	record, words := c.Decision.Split(domain.OutcomeRejected, c.Actor, c.Versions)
	return Rejected{Decision: record, Personal: domain.PersonalOf(words)}, nil
}

// FirstDayIfApproved is the first day that an approval at this instant would
// give: the later of the day asked for and today. Cover is never back-dated.
func (s State) FirstDayIfApproved(at time.Time) domain.Date {
	if today := domain.DateOf(at); today.After(s.RequestedFirstDay) {
		return today
	}
	return s.RequestedFirstDay
}

// checkReview holds what every decision of a reviewer must satisfy: nobody
// decides their own case, and the record must be complete.
func (s State) checkReview(outcome string, r Review) error {
	if s.OwnedBy(r.Subject, r.OwnerSubject) {
		return domain.Refuse(domain.RuleOwnApplication, "",
			"Nobody decides about an application that is their own or that they entered. A colleague must decide.")
	}
	known := func(sha string) bool { return s.names(sha) || r.Known != nil && r.Known(sha) }
	return r.Decision.Check(outcome, known)
}

// OwnedBy reports whether a subject may not decide about this permit because
// they entered the application or own its account.
func (s State) OwnedBy(subject, owner string) bool {
	return subject != "" && (subject == s.EnteredBy || subject == owner)
}

// names reports whether the permit itself rests on a document.
func (s State) names(sha string) bool {
	return slices.ContainsFunc(s.Evidence, func(e domain.Evidence) bool { return e.SHA256 == sha })
}

// checkHold refuses an approval whose money could not be taken any more. The
// margin is for the capture that follows the approval.
func (s State) checkHold(at time.Time, r policy.Rules, p Payment) *domain.Refusal {
	margin := time.Duration(r.HoldMarginMinutes) * time.Minute
	switch {
	case p.Free || s.Price == 0:
		return nil
	case !p.Authorised || !at.Before(p.HoldEndsAt):
		return domain.Refuse(domain.RuleHold, "",
			"No payment is held for this application. It can be approved when the resident has paid.")
	case p.HoldEndsAt.Sub(at) <= margin:
		return domain.Refuse(domain.RuleHold, "", fmt.Sprintf(
			"The payment hold ends within %d minutes, too soon to be sure of the money. It can be approved when the resident has paid again.",
			r.HoldMarginMinutes))
	}
	return nil
}
