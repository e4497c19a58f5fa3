package demo

import (
	"time"

	"permitledger/domain"
)

// noted are the days of a history on which rules about days show: where the
// price changes, where months end and where the clocks do.
type noted struct {
	prices  []domain.Date // the first days of other prices
	thirty  []domain.Date // the 31st of each month that has one
	leap    []domain.Date // 29 February
	forward []domain.Date // the Sundays of 23 hours
	back    []domain.Date // the Sundays of 25 hours
}

// margin is how many days a noted day keeps from the ends of the history, so
// that what is planned around it has room.
const margin = 25

// note finds the noted days of the history.
func (w *writer) note() noted {
	var n noted
	book := w.cfg.Desk.Book()
	for d := w.from.AddDays(margin); d.AddDays(margin).Before(w.to); d = d.AddDays(1) {
		old, _ := book.Quote(oneYear.kind, oneYear.months, d.AddDays(-1))
		now, _ := book.Quote(oneYear.kind, oneYear.months, d)
		if old.Price != now.Price {
			n.prices = append(n.prices, d)
		}
		switch {
		case d.Day == 31:
			n.thirty = append(n.thirty, d)
		case d.Day == 29 && d.Month == time.February:
			n.leap = append(n.leap, d)
		}
		switch d.AddDays(1).Midnight().Sub(d.Midnight()) {
		case 23 * time.Hour:
			n.forward = append(n.forward, d)
		case 25 * time.Hour:
			n.back = append(n.back, d)
		}
	}
	return n
}

// calendarPlots are what happens around the noted days. There is none for a
// day that the history does not have.
func (w *writer) calendarPlots() []plot {
	n := w.note()
	var all []plot
	some := func(days []domain.Date, plots ...func(domain.Date) plot) {
		if len(days) == 0 {
			return
		}
		for _, p := range plots {
			all = append(all, p(days[w.rng.IntN(len(days))]))
		}
	}
	some(n.prices, appliedAt("applied for on the last day of the old price, approved later", eveningBefore),
		appliedAt("applied for on the first day of the new price", firstMinutes),
		renewedAtOldPrice, renewedByItself(-1, "old"), renewedByItself(0, "new"))
	some(n.thirty, beginsOn("begins on a 31st, for half a year", product{domain.KindMotorcycle, 6}, false),
		beginsOn("begins on a 31st, its terms of three months renewed automatically", product{domain.KindStudent, 3}, true))
	some(n.leap, beginsOn("begins on 29 February, for a year", oneYear, true))
	some(n.forward, appliedAt("applied for just after the clocks went forward", afterTheGap),
		beginsOn("begins on the day when the clocks go forward", product{domain.KindTemporaryResident, 6}, false))
	some(n.back, inTheHourThatCameTwice, beginsOn("begins on the day when the clocks go back", oneYear, true))
	return all
}

// appliedAt is applied for at an instant of a day, or of the one before, and
// approved after the day: at the price of the application.
func appliedAt(shows string, instant func(domain.Date) time.Time) func(domain.Date) plot {
	return func(d domain.Date) plot {
		return plot{shows, 1, 1, false, func(w *writer, s *story) {
			a := w.application(s, oneYear.kind, oneYear.months)
			w.enterAt(s, a, instant(d))
			w.approvedAt(s, a, soon(d))
		}}
	}
}

// The evening before, the first minutes of the day, and those after the hour
// that it does not have.
func eveningBefore(d domain.Date) time.Time { return clockTime(d.AddDays(-1), 21) }
func firstMinutes(d domain.Date) time.Time  { return d.Midnight().Add(20 * time.Minute) }
func afterTheGap(d domain.Date) time.Time   { return d.Midnight().Add(time.Hour + 20*time.Second) }

// renewedAtOldPrice is renewed by its holder while the old price holds, for a
// term that begins under the new one.
func renewedAtOldPrice(d domain.Date) plot {
	return plot{"renewed at the old price, for a term that begins after the change", 1, 1, false, func(w *writer, s *story) {
		a := w.endsOn(s, product{domain.KindStudent, 3}, d.AddDays(s.between(10, 20)))
		s.at(clockTime(d.AddDays(-1), 19), "renew", renew(a, nil))
	}}
}

// renewedByItself is tried automatically so many days after the change.
func renewedByItself(after int, price string) func(domain.Date) plot {
	return func(d domain.Date) plot {
		return plot{"renewed automatically on the edge of a change, at the " + price + " price", 1, 1, false, func(w *writer, s *story) {
			w.endsOn(s, product{domain.KindTemporaryResident, 3}, d.AddDays(after+7)).auto = true
		}}
	}
}

// endsOn is a permit whose first term ends on a day. The day must be one on
// which a term can end, else it is the next one.
func (w *writer) endsOn(s *story, p product, last domain.Date) *application {
	first := last.AddDays(1).MonthsBack(p.months)
	for domain.LastDay(first, p.months).Before(last) {
		first = first.AddDays(1)
	}
	a := w.application(s, p.kind, p.months)
	w.begins(s, a, first)
	return a
}

// begins plans an application for a day ahead, in time to be approved before.
func (w *writer) begins(s *story, a *application, first domain.Date) {
	a.startsOn = first
	w.given(s, a, w.on(first.AddDays(-s.between(17, 22))))
}

func beginsOn(shows string, p product, auto bool) func(domain.Date) plot {
	return func(d domain.Date) plot {
		return plot{shows, 1, 1, false, func(w *writer, s *story) {
			a := w.application(s, p.kind, p.months)
			a.auto = auto
			w.begins(s, a, d)
		}}
	}
}

// inTheHourThatCameTwice are two applications at the same time of the night by
// the clock on the wall, an hour apart.
func inTheHourThatCameTwice(d domain.Date) plot {
	return plot{"two applications at the same wall-clock time, in the hour that came twice", 2, 1, false, func(w *writer, s *story) {
		a := w.application(s, oneYear.kind, oneYear.months)
		b := w.applicationAt(s, a.home, oneYear.kind, oneYear.months)
		w.enterAt(s, a, d.Midnight().Add(90*time.Minute))
		w.enterAt(s, b, d.Midnight().Add(150*time.Minute))
		w.approvedAt(s, a, soon(d))
		w.approvedAt(s, b, soon(d).Add(entering))
	}}
}

// enterAt plans an application to an instant, by the web: nobody is at the
// council's telephone at that hour.
func (w *writer) enterAt(s *story, a *application, at time.Time) {
	s.by(domain.ChannelWeb)
	a.first = domain.DateOf(at)
	s.at(at, "apply", apply(a))
}

// soon is an hour of the next day on which a council works, while a hold made
// on the day before is live. It need not be a workday of the calendar.
func soon(d domain.Date) time.Time {
	for d = d.AddDays(1); weekend(d) || holiday(d); {
		d = d.AddDays(1)
	}
	return clockTime(d, 15)
}
