package demo

import (
	"math/rand/v2"
	"time"

	"permitledger/domain"
)

// workday is a day on which something happens: applications in the morning,
// decisions in the afternoon. The instants are the ends of those hours; what
// happens in them is recorded in the window before.
type workday struct {
	date               domain.Date
	morning, afternoon time.Time
}

// window is how long before its end an hour's commands begin. It is shorter
// than the two hours after which an unpaid application is withdrawn, because
// the desk's clock stands at the end of the window already.
const window = 85 * time.Minute

// longestGap is how many days after one another two workdays can be for the
// same card hold to be live on both.
const longestGap = 4

// calendar is the workdays of a history, in order.
type calendar []workday

// newCalendar picks two workdays in each week, or in every other week of a
// small history: what happens in the same hour is told side by side, and the
// fewer hours there are the sooner the demonstration is ready.
func newCalendar(rng *rand.Rand, from, until domain.Date, everyWeek bool) calendar {
	step := 14
	if everyWeek {
		step = 7
	}
	var days calendar
	monday := from.AddDays((8 - int(weekday(from))) % 7)
	tuesday := false // follows only on a Friday, so that no gap is longer than a hold
	for ; monday.Before(until); monday = monday.AddDays(step) {
		first, second := monday, monday.AddDays(3+rng.IntN(2))
		if tuesday {
			first, second = monday.AddDays(1), monday.AddDays(4)
		}
		for _, d := range []domain.Date{first, second} {
			if d.Before(until) && !holiday(d) {
				days = append(days, workday{date: d, morning: clockTime(d, 11), afternoon: clockTime(d, 16)})
			}
		}
		tuesday = weekday(second) == time.Friday && rng.IntN(2) == 0
	}
	return days
}

// holiday knows the feasts that nobody would believe a council worked on.
func holiday(d domain.Date) bool {
	return d.Month == time.December && (d.Day == 25 || d.Day == 26) || d.Month == time.January && d.Day == 1
}

func weekday(d domain.Date) time.Weekday { return d.Midnight().In(domain.London()).Weekday() }

func weekend(d domain.Date) bool { return weekday(d) == time.Saturday || weekday(d) == time.Sunday }

// clockTime is an hour of a London day.
func clockTime(d domain.Date, hour int) time.Time {
	return time.Date(d.Year, d.Month, d.Day, hour, 0, 0, 0, domain.London()).UTC()
}

// on is the first workday on or after a day; none when the history ends
// before.
func (c calendar) on(d domain.Date) (int, bool) {
	for i, w := range c {
		if !w.date.Before(d) {
			return i, true
		}
	}
	return 0, false
}

// close reports whether the workday after this one comes while a hold made on
// this one is live.
func (c calendar) close(i int) bool {
	return i+1 < len(c) && c[i].date.DaysUntil(c[i+1].date) <= longestGap
}
