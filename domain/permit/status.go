package permit

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// Status is where a permit stands at an instant.
type Status string

// The statuses. Upcoming and expired are derived from the clock.
const (
	StatusNone      Status = ""
	StatusPending   Status = "pending"
	StatusUpcoming  Status = "upcoming"
	StatusActive    Status = "active"
	StatusExpired   Status = "expired"
	StatusRejected  Status = "rejected"
	StatusCancelled Status = "cancelled"
)

// Exists reports whether an application was made.
func (s State) Exists() bool { return !s.SubmittedOn.IsZero() }

// Status says where the permit stands at an instant. A cancellation that takes
// effect later leaves the permit as it is until then.
func (s State) Status(at time.Time) Status {
	switch {
	case !s.Exists():
		return StatusNone
	case s.Cancellation != nil && !at.Before(s.Cancellation.EffectiveAt):
		return StatusCancelled
	case s.Decided == nil:
		return StatusPending
	case len(s.Terms) == 0:
		return StatusRejected
	case at.Before(s.Terms[0].FirstDay.Midnight()):
		return StatusUpcoming
	case at.Before(s.coverEnd()):
		return StatusActive
	}
	return StatusExpired
}

// coverEnd is the first instant after the last day. Only an approved permit
// has one.
func (s State) coverEnd() time.Time { return s.LastDay().AddDays(1).Midnight() }

// EndsAt is the instant from which the permit holds nothing any more, whether
// that is ahead or behind: when it was rejected, when its cancellation takes
// effect, or when its last day is over. A pending application has none.
func (s State) EndsAt() (time.Time, bool) {
	switch {
	case s.Cancellation != nil:
		return s.Cancellation.EffectiveAt, true
	case s.Decided == nil:
		return time.Time{}, false
	case len(s.Terms) == 0:
		return s.Decided.At, true
	}
	return s.coverEnd(), true
}

// FirstDay is the first day of the whole cover; zero until approved.
func (s State) FirstDay() domain.Date {
	if len(s.Terms) == 0 {
		return domain.Date{}
	}
	return s.Terms[0].FirstDay
}

// LastDay is the last day of the whole cover; zero until approved.
func (s State) LastDay() domain.Date {
	if len(s.Terms) == 0 {
		return domain.Date{}
	}
	return s.Terms[len(s.Terms)-1].LastDay
}

// Anchor is the day from which the length of every term is counted: the
// permit's own first day, for life.
func (s State) Anchor() domain.Date { return s.FirstDay() }

// Latest is the latest term. Until there is one it is numbered 0 and shows what
// was applied for.
func (s State) Latest() Term {
	if len(s.Terms) == 0 {
		return Term{Months: s.Months, Price: s.Price, TariffVersion: s.TariffVersion}
	}
	return s.Terms[len(s.Terms)-1]
}

// AutoRenewalOn reports whether the permit would be renewed automatically:
// never once it has ended or its end is decided.
func (s State) AutoRenewalOn(at time.Time) bool {
	if !s.AutoRenewal || s.Cancellation != nil {
		return false
	}
	switch s.Status(at) {
	case StatusPending, StatusUpcoming, StatusActive:
		return true
	}
	return false
}

// RenewalOpensOn is the first day of the renewal window of the latest term,
// zero until approved. It is never ahead of the first day: what has not begun
// cannot be renewed.
func (s State) RenewalOpensOn(r policy.Rules) domain.Date {
	if len(s.Terms) == 0 {
		return domain.Date{}
	}
	opens := s.LastDay().AddDays(-r.RenewalWindowDays)
	if opens.Before(s.FirstDay()) {
		return s.FirstDay()
	}
	return opens
}

// Decision is the approval or rejection as it was recorded.
func (s State) Decision() (Decided, bool) {
	if s.Decided == nil {
		return Decided{}, false
	}
	return *s.Decided, true
}

// RefundFrom is the part of a cancellation's refund that comes from one term:
// the latest gives back first, none more than its price.
func (s State) RefundFrom(term int) domain.Pence {
	if s.Cancellation == nil {
		return 0
	}
	rest := s.Cancellation.Refund
	for i := len(s.Terms) - 1; i >= 0; i-- {
		part := min(rest, s.Terms[i].Price)
		if s.Terms[i].Term == term {
			return part
		}
		rest -= part
	}
	return 0
}
