package domain

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func day(t testing.TB, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func anyDate() *rapid.Generator[Date] {
	return rapid.Custom(func(t *rapid.T) Date {
		return NewDate(2020, 1, 1).AddDays(rapid.IntRange(0, 4000).Draw(t, "days"))
	})
}

func TestLastDay(t *testing.T) {
	for _, c := range []struct {
		first  string
		months int
		last   string
	}{
		{"2025-01-31", 1, "2025-02-28"},
		{"2025-01-30", 1, "2025-02-28"},
		{"2024-01-31", 1, "2024-02-29"},
		{"2025-08-31", 6, "2026-02-28"},
		{"2025-03-30", 12, "2026-03-29"},
		{"2025-11-30", 3, "2026-02-28"},
		{"2024-02-29", 12, "2025-02-28"},
		{"2025-01-01", 1, "2025-01-31"},
		{"2025-03-01", 12, "2026-02-28"},
		{"2025-10-26", 6, "2026-04-25"},
		{"2026-03-05", 12, "2027-03-04"},
		// Anchored on 31 January, monthly.
		{"2025-01-31", 2, "2025-03-30"},
		{"2025-01-31", 3, "2025-04-30"},
		{"2025-01-31", 4, "2025-05-30"},
	} {
		if got := LastDay(day(t, c.first), c.months); got.String() != c.last {
			t.Errorf("LastDay(%s, %d) = %s, want %s", c.first, c.months, got, c.last)
		}
	}
}

func TestCoverEndsAtLondonMidnight(t *testing.T) {
	for _, c := range []struct {
		first  string
		months int
		ends   string
	}{
		{"2025-03-30", 12, "2026-03-29T23:00:00Z"},
		{"2025-10-26", 6, "2026-04-25T23:00:00Z"},
		{"2025-01-01", 1, "2025-02-01T00:00:00Z"},
	} {
		ends := LastDay(day(t, c.first), c.months).AddDays(1).Midnight()
		if !ends.Equal(instant(t, c.ends)) || ends.Location() != time.UTC {
			t.Errorf("%s for %d months ends at %s, want %s", c.first, c.months, ends, c.ends)
		}
	}
}

func TestRenewalWindowCountsCalendarDays(t *testing.T) {
	for _, c := range []struct{ last, opens, at string }{
		{"2026-03-31", "2026-03-01", "2026-03-01T00:00:00Z"},
		{"2026-11-10", "2026-10-11", "2026-10-10T23:00:00Z"},
		{"2026-03-01", "2026-01-30", "2026-01-30T00:00:00Z"},
		{"2027-11-30", "2027-10-31", "2027-10-30T23:00:00Z"},
	} {
		opens := day(t, c.last).AddDays(-30)
		if opens.String() != c.opens || !opens.Midnight().Equal(instant(t, c.at)) {
			t.Errorf("last day %s: opens %s at %s, want %s at %s", c.last, opens, opens.Midnight(), c.opens, c.at)
		}
		if n := opens.DaysUntil(day(t, c.last)); n != 30 {
			t.Errorf("from %s to %s: %d days", opens, c.last, n)
		}
	}
}

func TestMonthsBack(t *testing.T) {
	for _, c := range []struct {
		from   string
		months int
		want   string
	}{
		{"2026-05-31", 3, "2026-02-28"},
		{"2026-03-15", 3, "2025-12-15"},
		{"2024-05-31", 3, "2024-02-29"},
		{"2026-01-31", 1, "2025-12-31"},
		{"2026-05-01", 17, "2024-12-01"},
	} {
		if got := day(t, c.from).MonthsBack(c.months); got.String() != c.want {
			t.Errorf("%d months back from %s = %s, want %s", c.months, c.from, got, c.want)
		}
	}
}

func TestDateOfIsTheLondonDay(t *testing.T) {
	for at, want := range map[string]string{
		"2026-03-28T23:59:59.999Z":  "2026-03-28",
		"2026-03-29T22:59:59.999Z":  "2026-03-29", // summer time began that morning
		"2026-03-29T23:00:00Z":      "2026-03-30",
		"2026-07-01T01:30:00+05:30": "2026-06-30",
		"2026-10-24T23:00:00Z":      "2026-10-25",
		"2026-10-25T23:59:59Z":      "2026-10-25", // and ended
	} {
		if got := DateOf(instant(t, at)); got.String() != want {
			t.Errorf("DateOf(%s) = %s, want %s", at, got, want)
		}
	}
}

func TestParseDateIsStrict(t *testing.T) {
	for _, s := range []string{"", "2025-02-29", "2025-02-30", "2025-13-01", "2025-00-10", "2025-01-00", "2025-1-01",
		"25-01-01", "2025/01/01", "2025-01-01 ", "2025-01-01T00:00:00Z", "+025-01-01", "2025-+1-01", "0000-01-01", "２０２５-01"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("ParseDate(%q) = %s, want an error", s, d)
		}
	}
	if d := day(t, "2024-02-29"); d != NewDate(2024, time.February, 29) {
		t.Errorf("got %+v", d)
	}
}

func TestZeroDateIsNone(t *testing.T) {
	type holder struct {
		A Date `json:"a"`
		B Date `json:"b,omitzero"`
	}
	text, err := json.Marshal(holder{})
	if err != nil || string(text) != `{"a":""}` {
		t.Fatalf("got %s, %v", text, err)
	}
	back := holder{A: NewDate(2026, 1, 1)}
	if err := json.Unmarshal(text, &back); err != nil || !back.A.IsZero() {
		t.Fatalf("got %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"a":"2026-02-30"}`), &back); err == nil {
		t.Fatal("an impossible date was read")
	}
}

func TestDatesHoldTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDate().Draw(t, "date")
		n := rapid.IntRange(-1000, 1000).Draw(t, "n")
		if got := d.DaysUntil(d.AddDays(n)); got != n {
			t.Fatalf("%s and %d days: %d", d, n, got)
		}
		if d.Compare(d.AddDays(n)) != -sign(n) || d.Before(d.AddDays(n)) != (n > 0) || d.After(d.AddDays(n)) != (n < 0) {
			t.Fatalf("%s does not compare with %s", d, d.AddDays(n))
		}
		if back, err := ParseDate(d.String()); err != nil || back != d {
			t.Fatalf("%s reads back as %s, %v", d, back, err)
		}
		midnight := d.Midnight()
		if DateOf(midnight) != d || DateOf(midnight.Add(-time.Nanosecond)) != d.AddDays(-1) {
			t.Fatalf("%s does not begin at %s", d, midnight)
		}
		back := d.MonthsBack(rapid.IntRange(0, 30).Draw(t, "back"))
		if back.After(d) || back.Day > d.Day {
			t.Fatalf("months back from %s: %s", d, back)
		}
	})
}

func sign(n int) int { return min(1, max(-1, n)) }

// Terms of one permit touch, never overlap and never gap, and however the same
// months are cut into terms they end on the same day.
func TestTermsTouchAndDoNotSlip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anchor := anyDate().Draw(t, "anchor")
		previousLast, total := anchor.AddDays(-1), 0
		for range rapid.IntRange(1, 20).Draw(t, "terms") {
			months := rapid.SampledFrom([]int{1, 3, 6, 12}).Draw(t, "months")
			first := previousLast.AddDays(1)
			total += months
			last := LastDay(anchor, total)
			if !last.After(first) {
				t.Fatalf("term from %s to %s", first, last)
			}
			if days := first.DaysUntil(last) + 1; days < 28*months || days > 31*months {
				t.Fatalf("%d months from %s to %s are %d days", months, first, last, days)
			}
			// Anchored: the next term begins on the anchor's day of the month, or
			// on the first of the next when there is no such day.
			if next := last.AddDays(1); next.Day != anchor.Day && next.Day != 1 {
				t.Fatalf("anchored on %s, a term begins on %s", anchor, next)
			}
			previousLast = last
		}
		if previousLast != LastDay(anchor, total) {
			t.Fatalf("slipped to %s", previousLast)
		}
	})
}
