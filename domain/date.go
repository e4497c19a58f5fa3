package domain

import (
	"cmp"
	"fmt"
	"time"
	_ "time/tzdata" // also where the machine has no time zones
)

// Date is a civil date: a day of the calendar, without a time or a zone.
// The zero Date means "none".
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// london is where every business date of the ledger is lived.
var london = mustLoad("Europe/London")

func mustLoad(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		// Cannot happen: the database is linked in above.
		panic("domain: time zone " + name + ": " + err.Error())
	}
	return loc
}

// London is the zone in which the ledger's civil dates are days. It is for
// showing instants to people; to get from an instant to a day use DateOf.
func London() *time.Location { return london }

// NewDate makes a date. A day outside its month counts on into the next, as
// with time.Date; what people typed goes through ParseDate instead.
func NewDate(y int, m time.Month, d int) Date {
	y, m, d = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Date()
	return Date{Year: y, Month: m, Day: d}
}

// ParseDate reads a date written YYYY-MM-DD, and nothing else. A day that the
// calendar does not have is an error.
func ParseDate(s string) (Date, error) {
	if len(s) != len("2006-01-02") || s[4] != '-' || s[7] != '-' {
		return Date{}, fmt.Errorf("%q is not a date: write it as YYYY-MM-DD, such as 2026-03-31", s)
	}
	y, okY := digits(s[:4])
	m, okM := digits(s[5:7])
	d, okD := digits(s[8:])
	if !okY || !okM || !okD {
		return Date{}, fmt.Errorf("%q is not a date: write it as YYYY-MM-DD, such as 2026-03-31", s)
	}
	if y == 0 || m < 1 || m > 12 || d < 1 || d > daysIn(y, time.Month(m)) {
		return Date{}, fmt.Errorf("%q is not a day of the calendar: check the month and the day", s)
	}
	return Date{Year: y, Month: time.Month(m), Day: d}, nil
}

// digits reads a number of ASCII digits and no sign.
func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// DateOf gives the London day in which an instant lies.
func DateOf(t time.Time) Date {
	y, m, d := t.In(london).Date()
	return Date{Year: y, Month: m, Day: d}
}

// Midnight gives the instant, in UTC, at which the London day begins. London
// changes its clocks after midnight, so every day has exactly one.
func (d Date) Midnight() time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, london).UTC()
}

// AddDays gives the date n calendar days later, or earlier when n is negative.
func (d Date) AddDays(n int) Date { return NewDate(d.Year, d.Month, d.Day+n) }

// MonthsBack gives the same day of the month n months earlier, or that
// month's last day when it is shorter: three months back from 31 May is 28 or
// 29 February. It decides what "within the last n months" means.
func (d Date) MonthsBack(n int) Date {
	y, m := monthAt(d, -n)
	return Date{Year: y, Month: m, Day: min(d.Day, daysIn(y, m))}
}

// LastDay gives the last day of a time of so many months that begins on the
// anchor day: the day before the corresponding day, or the last day of the
// target month when that month has no corresponding day.
//
// Later terms of a permit are counted from its first anchor with the months
// added up, never from an earlier result. So terms that began on 31 January
// end on 28 February, 30 March, 30 April and 30 May, and do not slip.
func LastDay(anchor Date, months int) Date {
	y, m := monthAt(anchor, months)
	if last := daysIn(y, m); anchor.Day > last {
		return Date{Year: y, Month: m, Day: last}
	}
	return NewDate(y, m, anchor.Day-1)
}

// monthAt gives the month that lies n months from that of d.
func monthAt(d Date, n int) (int, time.Month) {
	first := NewDate(d.Year, d.Month+time.Month(n), 1)
	return first.Year, first.Month
}

// daysIn counts the days of a month.
func daysIn(y int, m time.Month) int { return NewDate(y, m+1, 0).Day }

// Compare gives -1, 0 or +1 as d is before, the same as or after o.
func (d Date) Compare(o Date) int {
	return cmp.Or(cmp.Compare(d.Year, o.Year), cmp.Compare(d.Month, o.Month), cmp.Compare(d.Day, o.Day))
}

// Before reports whether d is earlier than o.
func (d Date) Before(o Date) bool { return d.Compare(o) < 0 }

// After reports whether d is later than o.
func (d Date) After(o Date) bool { return d.Compare(o) > 0 }

// IsZero reports whether there is no date.
func (d Date) IsZero() bool { return d == Date{} }

// DaysUntil counts the calendar days from d to o: 1 for tomorrow.
func (d Date) DaysUntil(o Date) int {
	return int((o.utc().Unix() - d.utc().Unix()) / (24 * 60 * 60))
}

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// String writes the date as YYYY-MM-DD, and the zero Date as nothing.
func (d Date) String() string {
	text, _ := d.AppendText(nil)
	return string(text)
}

// AppendText appends what String gives; its error is always nil.
func (d Date) AppendText(b []byte) ([]byte, error) {
	if d.IsZero() {
		return b, nil
	}
	if d.Year < 0 || d.Year > 9999 {
		return fmt.Appendf(b, "%04d-%02d-%02d", d.Year, d.Month, d.Day), nil
	}
	return append(b,
		'0'+byte(d.Year/1000), '0'+byte(d.Year/100%10), '0'+byte(d.Year/10%10), '0'+byte(d.Year%10), '-',
		'0'+byte(d.Month/10), '0'+byte(d.Month%10), '-',
		'0'+byte(d.Day/10), '0'+byte(d.Day%10)), nil
}

// MarshalText writes the date as String does.
func (d Date) MarshalText() ([]byte, error) { return d.AppendText(make([]byte, 0, len("2006-01-02"))) }

// UnmarshalText reads what MarshalText writes; empty text is the zero Date.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
