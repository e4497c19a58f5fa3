package domain

import "time"

// Date is a civil date: a day of the calendar, without a time or a zone.
// The zero Date means "none".
type Date struct {
	Year  int
	Month time.Month
	Day   int
}
