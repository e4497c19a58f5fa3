package due

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
)

// Kind is a kind of thing that falls due.
type Kind string

// The kinds.
const (
	// Settle: money is not where the permit says it belongs. Due at the
	// instant of the event that made it so.
	Settle Kind = "settle"
	// Unanswered: the provider was asked for money, and what it said is not
	// recorded. Whoever asked was cut off: no request lives that long.
	Unanswered Kind = "unanswered"
	// Unpaid: an application that has a price and never had a hold is to be
	// withdrawn.
	Unpaid Kind = "unpaid"
	// Lapse: the hold of an undecided application ends.
	Lapse Kind = "lapse"
	// LapsedWithdrawal: an application whose hold ended long ago is to be
	// withdrawn.
	LapsedWithdrawal Kind = "lapsed-withdrawal"
	// AutoRenewal: a permit is to be renewed automatically.
	AutoRenewal Kind = "auto-renewal"
	// DropDocument: a document that no application named is to be dropped.
	DropDocument Kind = "drop-document"
)

const keepUnnamed = account.KeepUnnamed

// Owing is one thing that is due to a permit.
type Owing struct {
	Kind      Kind
	Term      int
	DueAt     time.Time
	ExpiresAt time.Time // zero: it does not expire
}

// Policies is the policies published so far.
type Policies struct {
	book  policy.Book
	ahead int // the most days that any policy renews ahead of the end
}

func (p Policies) with(e policy.PolicyPublished) Policies {
	return Policies{policy.Evolve(p.book, e, domain.Meta{}), max(p.ahead, e.Rules.AutoRenewalDays)}
}

// Owed is all that falls due to a permit because of its state and its
// payments', by term. at is the recorded instant of the event that was folded
// last: what has to be done at once is due from it.
func Owed(s permit.State, payments map[int]payment.State, rules Policies, at time.Time) []Owing {
	owed := Unsettled(s, payments, at)
	for term, money := range payments {
		if open, ok := money.Unanswered(); ok {
			owed = append(owed, Owing{Kind: Unanswered, Term: term, DueAt: open.RequestedAt.Add(property.RequestLife)})
		}
	}
	switch {
	case undecided(s):
		if it, ok := unpaid(s, payments[1], rules); ok {
			owed = append(owed, it)
		}
	default:
		if it, ok := renewal(s, payments, rules); ok {
			owed = append(owed, it)
		}
	}
	return owed
}

// Unsettled is, of what is owed, the money that has to move.
func Unsettled(s permit.State, payments map[int]payment.State, at time.Time) []Owing {
	var owed []Owing
	for term, money := range payments {
		if it, ok := unsettled(s, term, money, at); ok {
			owed = append(owed, it)
		}
	}
	return owed
}

// undecided reports whether a permit is an application that waits. Nothing but
// an event ends that.
func undecided(s permit.State) bool { return s.Exists() && s.Decided == nil && s.Cancellation == nil }

// unsettled tells whether the money of a term has to move, by asking the
// payment for its next step. An hold to be given back expires with its end,
// when there is nothing left to give back.
func unsettled(s permit.State, term int, money payment.State, at time.Time) (Owing, bool) {
	it := Owing{Kind: Settle, Term: term, DueAt: at}
	ruling := payment.RulingDue
	switch {
	case len(s.Terms) >= term:
	case term == 1 && undecided(s):
		return it, false
	case term == 1:
		ruling = payment.RulingVoid
	default:
		// A renewal that was paid for: it is to be written or, when the permit
		// can no longer be renewed, given back. Whoever asked for the money
		// writes it in their own name, unless they were cut off; what the payer
		// finished at the provider's page has nobody waiting for it.
		if paid, ok := money.Current(); ok && paid.PayURL == "" && !paid.CapturedAt.IsZero() {
			it.DueAt = paid.CapturedAt.Add(property.RequestLife)
		}
		return it, money.Captured() > money.Refunded()
	}
	refund := s.RefundFrom(term)
	if money.NextStep(at, ruling, refund).Kind == payment.StepNothing {
		return it, false
	}
	var last time.Time
	for _, a := range money.Attempts {
		if a.HoldEndsAt.After(last) {
			last = a.HoldEndsAt
		}
	}
	if money.NextStep(last, ruling, refund).Kind == payment.StepNothing {
		it.ExpiresAt = last
	}
	return it, true
}

// unpaid is what becomes of an application as long as it is not decided: its
// hold lapses, or it is given up because it has none.
func unpaid(s permit.State, money payment.State, rules Policies) (Owing, bool) {
	if s.Price == 0 {
		return Owing{}, false
	}
	held := false
	var standing, ended time.Time
	for _, a := range money.Attempts {
		if !a.Authorised {
			continue
		}
		held = true
		switch over := endOf(a); {
		case over.After(ended):
			ended = over
		case over.IsZero() && (standing.IsZero() || a.HoldEndsAt.Before(standing)):
			standing = a.HoldEndsAt
		}
	}
	switch {
	case !held:
		p, ok := rules.book.PolicyOn(s.SubmittedOn)
		return Owing{Kind: Unpaid, DueAt: s.SubmittedAt.Add(time.Duration(p.Rules.UnpaidHours) * time.Hour)}, ok
	case !standing.IsZero():
		return Owing{Kind: Lapse, Term: 1, DueAt: standing}, true
	}
	day := domain.DateOf(ended)
	p, ok := rules.book.PolicyOn(day)
	return Owing{Kind: LapsedWithdrawal, DueAt: day.AddDays(p.Rules.LapsedDays).Midnight()}, ok
}

// endOf is when an attempt's hold came to its end; zero while it stands.
func endOf(a payment.Attempt) (end time.Time) {
	for _, t := range []time.Time{a.LapsedAt, a.ReleasedAt, a.FailedAt, a.CapturedAt} {
		if !t.IsZero() && (end.IsZero() || t.Before(end)) {
			end = t
		}
	}
	return end
}

// renewsAfter gives the last day of a permit that is to be renewed by itself.
func renewsAfter(s permit.State) (domain.Date, bool) {
	return s.LastDay(), s.AutoRenewal && s.Cancellation == nil && len(s.Terms) > 0
}

// renewal is the next automatic attempt: at the beginning of the day that the
// policy names, and after one that failed at the beginning of the next day,
// for as long as the permit runs.
func renewal(s permit.State, payments map[int]payment.State, rules Policies) (Owing, bool) {
	last, ok := renewsAfter(s)
	if !ok {
		return Owing{}, false
	}
	it := Owing{Kind: AutoRenewal, Term: s.Latest().Term + 1, ExpiresAt: last.AddDays(1).Midnight()}
	day, ok := rules.renewalDay(last)
	if !ok {
		return Owing{}, false
	}
	next := payments[it.Term]
	if next.Captured() > 0 {
		return Owing{}, false // to be settled, and not to be charged again
	}
	for _, a := range next.Attempts {
		if a.Request.Mode == payment.ModeAgreement && !a.FailedAt.IsZero() {
			if again := domain.DateOf(a.FailedAt).AddDays(1); again.After(day) {
				day = again
			}
		}
	}
	it.DueAt = day.Midnight()
	return it, !day.After(last)
}

// renewalDay is the first day that lies, by the policy in force on it, near
// enough to a permit's last day.
func (p Policies) renewalDay(last domain.Date) (domain.Date, bool) {
	for day := last.AddDays(-p.ahead); !day.After(last); day = day.AddDays(1) {
		inForce, ok := p.book.PolicyOn(day)
		if ok && day.DaysUntil(last) <= inForce.Rules.AutoRenewalDays {
			return day, true
		}
	}
	return domain.Date{}, false
}
