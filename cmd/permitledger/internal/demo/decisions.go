package demo

import (
	"time"

	"permitledger/domain"
)

// decisions are what happens to applications before and instead of a permit.
func decisions() []plot {
	all := []plot{
		{"rejected, applied for again and approved", 2, 4, false, reapplied},
		{"asked for information, answered and approved", 1, 5, false, referred},
		{"approved by discretion, on a condition", 1, 2, false, discretion},
		{"withdrawn by the resident before a decision", 1, 2, false, takenBack},
		{"a full house: two permits, a third one refused", 2, 2, false, fullHouse},
		{"a race for the last slot: one of two neighbours has it", 2, 2, false, lastSlot},
		{"a bill too old, then one in date", 1, 2, false, oldBill},
		{"refused: no permits are sold there", 0, 0, false, noZone},
	}
	for _, r := range rejections {
		all = append(all, plot{"rejected: " + string(r.code), 1, 1, false, rejected(r)})
	}
	return all
}

func rejected(r rejection) func(*writer, *story) {
	return func(w *writer, s *story) {
		p := s.any()
		switch r.code {
		case domain.ReasonTenancyTooLong:
			p = product{domain.KindTemporaryResident, 12}
		case domain.ReasonBlueBadgeInvalid:
			p = product{domain.KindDisabledResident, 12}
		case domain.ReasonPaymentLapsed:
			p = oneYear
		}
		a := w.application(s, p.kind, p.months)
		i := w.day(s, 700, 20)
		if r.code != domain.ReasonPaymentLapsed {
			w.turnedDown(s, a, i, r)
			return
		}
		w.enter(s, a, i)
		s.at(clockTime(w.days[i].date.AddDays(s.between(8, 12)), 14), "reject", reject(a, r))
	}
}

// turnedDown plans an application and its rejection.
func (w *writer) turnedDown(s *story, a *application, i int, r rejection) {
	w.enter(s, a, i)
	s.in(w.days[i].afternoon, "reject", reject(a, r))
}

func reapplied(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.day(s, 650, 40)
	w.turnedDown(s, a, i, rejections[s.plan.IntN(3)])
	b := w.applicationAt(s, a.home, a.kind, a.months)
	b.vehicle, b.follows = a.vehicle, a
	w.given(s, b, w.after(s, i, 2, 15))
}

func referred(w *writer, s *story) {
	p := s.any()
	a := w.application(s, p.kind, p.months)
	i := w.pair(s, 700, 20)
	w.enter(s, a, i)
	s.in(w.days[i].afternoon, "ask for information", ask(a, questions[s.plan.IntN(len(questions))]))
	s.in(w.days[i+1].morning, "supply information", answer(a, "Here it is, sorry about that."))
	w.approved(s, a, i+1)
}

func discretion(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	w.given(s, a, w.day(s, 300, 14), "The car stays registered at the parents' house until the new V5C comes; send it within six weeks.")
}

func takenBack(w *writer, s *story) {
	p := s.any()
	a := w.application(s, p.kind, p.months)
	i := w.day(s, 700, 14)
	w.enter(s, a, i)
	s.in(w.days[i].afternoon, "withdraw the application", cancel(a, "I bought another car in the meantime."))
}

// fullHouse fills a house and has a third application refused. The words that
// refuse it leave no trace; the papers that came with it are dropped in time.
func fullHouse(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.given(s, a, w.day(s, 300, 100))
	b := w.applicationAt(s, a.home, oneYear.kind, oneYear.months)
	i = w.given(s, b, w.after(s, i, 2, 20))
	third := w.applicationAt(s, a.home, oneYear.kind, oneYear.months)
	w.enter(s, third, w.after(s, i, 2, 20)).refused = domain.RulePropertyLimit
}

// lastSlot has two who live in one house apply for its last slot, a second
// after one another.
func lastSlot(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.after(s, w.given(s, a, w.day(s, 300, 60)), 2, 20)
	b := w.applicationAt(s, a.home, oneYear.kind, oneYear.months)
	late := w.applicationAt(s, a.home, oneYear.kind, oneYear.months)
	first := *w.enter(s, b, i)
	s.plot(first.slot, first.at.Add(time.Second), "apply a second later", by(w.another(s), apply(late))).refused = domain.RulePropertyLimit
	w.approved(s, b, i)
}

func oldBill(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.day(s, 330, 14)
	a.proof, a.proofAge = domain.EvidenceUtilityBill, 150
	w.enter(s, a, i).refused = domain.RuleEvidence
	b := w.applicationAt(s, a.home, a.kind, a.months)
	b.vehicle, b.proof, b.proofAge = a.vehicle, domain.EvidenceUtilityBill, 12
	w.given(s, b, i)
}

func noZone(w *writer, s *story) {
	a := w.applicationAt(s, w.places.houseOutside(), oneYear.kind, oneYear.months)
	w.enter(s, a, w.day(s, 300, 14)).refused = domain.RuleNoZone
}
