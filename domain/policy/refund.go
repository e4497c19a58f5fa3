package policy

import (
	"time"

	"permitledger/domain"
)

// The kinds of refund rule.
const (
	RefundNone        = "none"
	RefundWholeMonths = "whole-unused-months"
	RefundProRataDays = "pro-rata-days"
)

// PaidTerm is a term that was paid for, as a refund looks at it.
type PaidTerm struct {
	Anchor domain.Date // the first day of the permit's first term
	Before int         // the months of all earlier terms
	Months int
	Price  domain.Pence
}

// begins gives the day on which month n of the term begins, counted from 0; n
// = Months gives the day after the term.
func (t PaidTerm) begins(n int) domain.Date {
	return domain.LastDay(t.Anchor, t.Before+n).AddDays(1)
}

// RefundFor gives what the policy returns of the paid terms when the permit
// ends at an instant. A month or a day is unused when it has not begun by
// then. Each term's part is floored to the penny; the administration fee comes
// off once, and the result is never below nothing.
func (r Rules) RefundFor(end time.Time, terms ...PaidTerm) domain.Pence {
	var total domain.Pence
	for _, t := range terms {
		switch r.Refund.Kind {
		case RefundWholeMonths:
			total += part(t.Price, t.unusedMonths(end), t.Months)
		case RefundProRataDays:
			total += part(t.Price, t.unusedDays(end), t.begins(0).DaysUntil(t.begins(t.Months)))
		}
	}
	return max(0, total-r.Refund.AdminFee)
}

func (t PaidTerm) unusedMonths(end time.Time) int {
	unused := 0
	for n := range t.Months {
		if !t.begins(n).Midnight().Before(end) {
			unused++
		}
	}
	return unused
}

func (t PaidTerm) unusedDays(end time.Time) int {
	from := domain.DateOf(end)
	if from.Midnight().Before(end) {
		from = from.AddDays(1) // this day has begun
	}
	if first := t.begins(0); from.Before(first) {
		from = first
	}
	return max(0, from.DaysUntil(t.begins(t.Months)))
}

// part gives price × unused ÷ whole, floored.
func part(price domain.Pence, unused, whole int) domain.Pence {
	if whole <= 0 {
		return 0
	}
	return price * domain.Pence(unused) / domain.Pence(whole)
}
