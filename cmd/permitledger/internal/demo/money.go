package demo

import (
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
)

// What the payment provider can be told.
const (
	declines  = string(payments.Decline)
	decides   = string(payments.Late)
	saysItAll = string(payments.Duplicate)
)

// moneyMatters are what happens with payments.
func moneyMatters() []plot {
	return []plot{
		{"a card declined, another one taken", 1, 4, true, paidAtLast},
		{"never paid for, withdrawn after two hours", 1, 2, true, neverPaid},
		{"a hold that lapsed, paid again and approved", 1, 2, false, paidAgain},
		{"a hold that lapsed, withdrawn after two weeks", 1, 1, false, givenUp},
		{"a payment that the provider decided an hour later", 1, 1, true, told(decides)},
		{"a payment of which the provider told twice", 1, 1, true, told(saysItAll)},
		{"an automatic renewal declined, and made on the next day", 1, 2, true, agreementDeclined},
		{"a renewal declined, and paid with another card", 1, 2, true, renewalDeclined},
	}
}

func paidAtLast(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	a.provider = []string{declines}
	i := w.day(s, 300, 14)
	w.enter(s, a, i)
	s.in(w.days[i].morning, "pay again", pay(a))
	w.approved(s, a, i)
}

func neverPaid(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	a.provider = []string{declines}
	w.enter(s, a, w.day(s, 700, 14))
}

func paidAgain(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.day(s, 300, 30)
	w.enter(s, a, i)
	i = w.after(s, i, 6, 7)
	s.in(w.days[i].morning, "pay again", pay(a))
	w.approved(s, a, i)
}

func givenUp(w *writer, s *story) {
	w.enter(s, w.application(s, oneYear.kind, oneYear.months), w.day(s, 700, 40))
}

func told(word string) func(*writer, *story) {
	return func(w *writer, s *story) {
		a := w.application(s, oneYear.kind, oneYear.months)
		a.provider = []string{word}
		w.given(s, a, w.day(s, 300, 14))
	}
}

func agreementDeclined(w *writer, s *story) {
	a := w.application(s, domain.KindMotorcycle, 6)
	a.auto = true
	i := w.given(s, a, w.day(s, 300, 205))
	s.in(w.days[w.after(s, i, 20, 90)].morning, "the card runs out", instruct(declines))
}

func renewalDeclined(w *writer, s *story) {
	a := w.application(s, domain.KindMotorcycle, 6)
	w.given(s, a, w.day(s, 300, 205))
	i := w.on(a.last.AddDays(-s.between(20, 28)))
	s.in(w.days[i].morning, "the card runs out", instruct(declines))
	s.in(w.days[i].morning, "renew with that card", renew(a, nil)).refused = domain.RuleHold
	s.in(w.days[i].morning, "renew with another", renew(a, nil))
}
