package demo

import (
	"time"

	"permitledger/domain"
)

// plot is a kind of story.
type plot struct {
	shows    string // what it is an example of, for whoever looks for one; may be empty
	permits  int    // how many permits it makes
	weight   int    // how often it comes, beside the others
	provider bool   // whether the payment provider must be told what to do
	write    func(w *writer, s *story)
}

// plots are the kinds of story that end before the history does. Each is told
// once at the least, when there are permits enough.
func plots() []plot {
	all := []plot{{"a permit like most", 1, 40, false, neighbor}}
	for _, p := range products {
		all = append(all, plot{"", 1, 3, false, kept(p)})
	}
	all = append(all, lives()...)
	all = append(all, decisions()...)
	return append(all, moneyMatters()...)
}

// lives are what happens to permits that were given.
func lives() []plot {
	return []plot{
		{"renewed in the first minute of its window", 1, 2, false, renewedAtTheEdge(func(last domain.Date) time.Time { return last.AddDays(-30).Midnight() })},
		{"renewed in the last minutes of its last day", 1, 2, false, renewedAtTheEdge(func(last domain.Date) time.Time { return last.AddDays(1).Midnight().Add(-5 * time.Minute) })},
		{"renewed too late: refused, and applied for anew", 2, 2, false, tooLate},
		{"renewed in its window, after an attempt that came too early", 1, 3, false, renewedInTime(product{domain.KindMotorcycle, 6})},
		{"a year's permit, renewed by its holder", 1, 5, false, renewedInTime(oneYear)},
		{"a free permit, renewed", 1, 2, false, renewedInTime(product{domain.KindDisabledResident, 12})},
		{"renewed automatically, more than once", 1, 4, false, renewedAutomatically(product{domain.KindStudent, 3}, 2)},
		{"a year's permit, renewed automatically", 1, 6, false, renewedAutomatically(oneYear, 1)},
		{"ended with its last day", 1, 6, false, expired},
		{"another vehicle on the permit", 1, 8, false, vehicleChanged},
		{"moved within the zone", 1, 5, false, moved},
		{"moved to another zone: refused, cancelled and applied for anew", 2, 2, false, movedAway},
		{"cancelled by its holder, on the web", 1, 3, false, cancelled(domain.ChannelWeb)},
		{"cancelled by its holder, who telephoned", 1, 1, false, cancelled(domain.ChannelPhone)},
		{"cancelled by its holder, who wrote a letter", 1, 1, false, cancelled(domain.ChannelPost)},
		{"cancelled by its holder, who wrote an e-mail", 1, 1, false, cancelled(domain.ChannelEmail)},
		{"automatic renewal switched off", 1, 5, false, autoRenewalOff},
		{"begins in some weeks", 1, 2, false, upcoming},
		{"withdrawn by the council, with notice", 1, 2, false, withdrawn},
		{"a resident with another telephone number", 1, 2, false, otherDetails},
	}
}

// neighbor is a resident's permit in force. Its car is applied for again by
// somebody else in the queue.
func neighbor(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	a.auto = s.chance(2)
	w.given(s, a, w.day(s, 300, 14))
	if w.neighbor == nil {
		w.neighbor = a
	}
}

func kept(p product) func(*writer, *story) {
	return func(w *writer, s *story) {
		a := w.application(s, p.kind, p.months)
		a.auto, a.startsIn = s.chance(2), max(0, s.between(-12, 8))
		w.given(s, a, w.day(s, 700, 14))
	}
}

func renewedInTime(p product) func(*writer, *story) {
	return func(w *writer, s *story) {
		a := w.application(s, p.kind, p.months)
		w.given(s, a, w.day(s, p.months*31+250, p.months*31+15))
		s.in(w.days[w.on(a.last.AddDays(-s.between(50, 62)))].morning, "renew too early", renew(a, nil)).refused = domain.RuleRenewalWindow
		s.in(w.days[w.on(a.last.AddDays(-s.between(20, 28)))].morning, "renew", renew(a, nil))
	}
}

// renewedAutomatically leaves a permit alone for so many of its terms at least.
func renewedAutomatically(p product, terms int) func(*writer, *story) {
	return func(w *writer, s *story) {
		a := w.application(s, p.kind, p.months)
		a.auto = true
		w.given(s, a, w.day(s, terms*p.months*31+250, terms*p.months*31+15))
	}
}

// renewedAtTheEdge is renewed by its holder at an instant that follows from
// its last day.
func renewedAtTheEdge(when func(last domain.Date) time.Time) func(*writer, *story) {
	return func(w *writer, s *story) {
		s.by(domain.ChannelWeb)
		p := shortTerm[s.plan.IntN(len(shortTerm))]
		a := w.application(s, p.kind, p.months)
		w.given(s, a, w.day(s, p.months*31+250, p.months*31+15))
		s.at(when(a.last), "renew", renew(a, nil))
	}
}

// tooLate comes for a renewal some days after the end.
func tooLate(w *writer, s *story) {
	p := shortTerm[s.plan.IntN(len(shortTerm))]
	a := w.application(s, p.kind, p.months)
	w.given(s, a, w.day(s, p.months*31+250, p.months*31+60))
	i := w.on(a.last.AddDays(s.between(2, 9)))
	s.in(w.days[i].morning, "renew too late", renew(a, nil)).refused = domain.RuleEnded
	b := w.applicationAt(s, a.home, a.kind, a.months)
	b.vehicle = a.vehicle
	w.given(s, b, i)
}

func expired(w *writer, s *story) {
	p := shortTerm[s.plan.IntN(len(shortTerm))]
	w.given(s, w.application(s, p.kind, p.months), w.day(s, 700, p.months*31+20))
}

func vehicleChanged(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.given(s, a, w.day(s, 300, 60))
	s.in(w.days[w.after(s, i, 5, 50)].morning, "change vehicle", changeVehicle(a, w.crowd.mark()))
}

func moved(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.given(s, a, w.day(s, 300, 70))
	s.in(w.days[w.after(s, i, 20, 60)].afternoon, "change address", move(a, w.places.houseIn(a.home.zone)))
}

func movedAway(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	i := w.given(s, a, w.day(s, 300, 90))
	b := w.application(s, oneYear.kind, oneYear.months)
	b.vehicle = a.vehicle
	i = w.after(s, i, 20, 40)
	s.in(w.days[i].morning, "change address", move(a, b.home)).refused = domain.RuleOtherZone
	s.in(w.days[i].morning, "cancel", cancel(a, "I am moving to another zone."))
	w.given(s, b, i)
}

func cancelled(channel domain.Channel) func(*writer, *story) {
	return func(w *writer, s *story) {
		s.by(channel)
		p := s.any()
		a := w.application(s, p.kind, p.months)
		i := w.given(s, a, w.day(s, 650, 70))
		s.in(w.days[w.after(s, i, 10, 60)].morning, "cancel", cancel(a, farewells[s.plan.IntN(len(farewells))]))
	}
}

func autoRenewalOff(w *writer, s *story) {
	p := s.any()
	a := w.application(s, p.kind, p.months)
	a.auto = true
	i := w.given(s, a, w.day(s, 400, 70))
	s.in(w.days[w.after(s, i, 10, 60)].morning, "cancel automatic renewal", cancelAutoRenewal(a))
}

func upcoming(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	a.startsIn = s.between(25, 29)
	w.given(s, a, w.day(s, 13, 10))
}

func withdrawn(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	a.auto = s.chance(2)
	i := w.given(s, a, w.day(s, 330, 140))
	s.in(w.days[w.after(s, i, 10, 80)].afternoon, "withdraw", withdraw(a))
}

func otherDetails(w *writer, s *story) {
	p := s.any()
	i := w.given(s, w.application(s, p.kind, p.months), w.day(s, 300, 60))
	s.in(w.days[w.after(s, i, 5, 50)].morning, "change details", changeDetails("01632 960999"))
}
