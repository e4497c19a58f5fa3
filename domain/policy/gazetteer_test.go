package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"permitledger/domain"
)

func houses(rows []Row) string {
	var names []string
	for _, r := range rows {
		names = append(names, r.House)
	}
	return strings.Join(names, ", ")
}

func TestFind(t *testing.T) {
	var rows []Row
	for i, house := range []string{"10", "Rose Cottage", "2", "10A", "1", "Flat 10, The Mill", "100", "flat 9, The Mill", "002b", "Ivy House"} {
		rows = append(rows, Row{UPRN: domain.UPRN(fmt.Sprint(100 + i)), House: house, Street: "Made-up Lane", Postcode: "LE11 1AA", Zone: "LB1"})
	}
	rows = append(rows,
		Row{UPRN: "1", House: "1", Street: "Other Road", Postcode: "LE11 1AB", Zone: "LB1"},
		Row{UPRN: "2", House: "5", Street: "Made-up Lane", Postcode: "LE11 1AC", Zone: "LB1", To: day(t, "2025-12-31")},
		Row{UPRN: "2", House: "5", Street: "Made-up Lane", Postcode: "LE11 1AC", Zone: "LB2", From: day(t, "2026-01-01")},
		Row{UPRN: "3", House: "6", Street: "Made-up Lane", Postcode: "LE11 1AC", From: day(t, "2025-06-01"), To: day(t, "2025-06-30")},
		Row{UPRN: "4", House: "7", Street: "Made-up Lane", Postcode: "LE11 1AC", Zone: "LB1"},
		Row{UPRN: "4", House: "7", Street: "Made-up Lane", Postcode: "LE11 1AC", Zone: "LB9", From: day(t, "2026-01-01")}, // overlaps: the later one holds
	)
	b := fold(Import(Book{}, "v1", "sha", rows)...)
	now := day(t, "2026-03-01")
	for _, c := range []struct{ postcode, house, on, want string }{
		{"LE11 1AA", "", "2026-03-01", "1, 2, 002b, 10, 10A, 100, flat 9, The Mill, Flat 10, The Mill, Ivy House, Rose Cottage"},
		{"le111aa", "ROSE cottage", "2026-03-01", "Rose Cottage"},
		{"LE11 1AA", " 10a ", "2026-03-01", "10A"},
		{"LE11 1AA", "3", "2026-03-01", ""},
		{"LE11 1ZZ", "", "2026-03-01", ""},
		{"LE11 1AC", "", "2025-06-30", "5, 6, 7"},
		{"LE11 1AC", "", "2025-07-01", "5, 7"},
	} {
		if got := houses(b.Find(c.postcode, c.house, day(t, c.on))); got != c.want {
			t.Errorf("%s %q on %s: %s; want %s", c.postcode, c.house, c.on, got, c.want)
		}
	}
	for _, c := range []struct {
		uprn domain.UPRN
		on   string
		zone domain.Zone
		ok   bool
	}{
		{"2", "2025-12-31", "LB1", true}, {"2", "2026-01-01", "LB2", true},
		{"3", "2025-05-31", "", false}, {"3", "2025-06-01", "", true}, {"3", "2025-07-01", "", false},
		{"4", "2025-12-31", "LB1", true}, {"4", "2026-01-01", "LB9", true},
		{"999", "2026-01-01", "", false},
	} {
		if r, ok := b.ByUPRN(c.uprn, day(t, c.on)); ok != c.ok || r.Zone != c.zone {
			t.Errorf("%s on %s: %q, %v", c.uprn, c.on, r.Zone, ok)
		}
	}
	if b.Gazetteer() != "v1" || b.GazetteerSHA256() != "sha" || b.VersionsOn(now).Gazetteer != "v1" {
		t.Errorf("version %q", b.Gazetteer())
	}
	if Import(b, "v1", "sha", rows) != nil {
		t.Error("the same gazetteer is imported again")
	}
	if (Book{}).Find("LE11 1AA", "", now) != nil {
		t.Error("rows in an empty book")
	}
}

func TestIncompleteImportChangesNothing(t *testing.T) {
	town := func(n int, zone domain.Zone) []Row {
		rows := make([]Row, n)
		for i := range rows {
			rows[i] = Row{UPRN: domain.UPRN(fmt.Sprint(i + 1)), House: fmt.Sprint(i), Postcode: "LE11 1AA", Zone: zone}
		}
		return rows
	}
	first, second := Import(Book{}, "v1", "a", town(1200, "A")), Import(Book{}, "v2", "b", town(1001, "B"))
	if len(first) != 3 || len(second) != 3 {
		t.Fatalf("%d and %d parts", len(first), len(second))
	}
	now := day(t, "2026-01-01")
	// The parts of both come mixed, in any order, and some of them twice.
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(slices.Concat(first, second, first[:1], second[1:2])).Draw(t, "order")
		var b Book
		came := map[string]map[int]bool{"v1": {}, "v2": {}}
		version := ""
		for _, e := range order {
			before, was := b, b.Gazetteer()
			b = Evolve(b, e, domain.Meta{})
			part := e.(GazetteerImported)
			if !came[part.Version][part.Part] {
				came[part.Version][part.Part] = true
				if len(came[part.Version]) == 3 {
					version = part.Version
				}
			}
			if b.Gazetteer() != version || before.Gazetteer() != was {
				t.Fatalf("version %q, want %q", b.Gazetteer(), version)
			}
			want := map[string]int{"": 0, "v1": 1200, "v2": 1001}[version]
			if got := len(b.Find("LE11 1AA", "", now)); got != want {
				t.Fatalf("%d rows, want %d", got, want)
			}
		}
	})
}

func TestImportKeepsEventsSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.SampledFrom([]int{1, 20, 200}).Draw(t, "long")
		text := rapid.SampledFrom([]string{"x", "<", "é", "\"", "\u2028", "\x01"}).Draw(t, "text")
		rows := make([]Row, rapid.IntRange(0, 1300).Draw(t, "rows"))
		for i := range rows {
			rows[i] = Row{UPRN: "123456789012", House: "1", Street: strings.Repeat(text, long), Postcode: "LE11 1AA",
				From: domain.NewDate(2026, 1, 1), To: domain.NewDate(2027, 1, 1)}
		}
		count := 0
		events := Import(Book{}, "v", "s", rows)
		for i, e := range events {
			part := e.(GazetteerImported)
			count += len(part.Rows)
			stored, err := json.Marshal(part)
			if err != nil || len(stored) > 60<<10 || len(part.Rows) > RowsPerPart || part.Part != i+1 || part.Parts != len(events) {
				t.Fatalf("part %d of %d: %d rows, %d bytes, %v", part.Part, part.Parts, len(part.Rows), len(stored), err)
			}
		}
		if count != len(rows) {
			t.Fatalf("%d of %d rows", count, len(rows))
		}
	})
}

func BenchmarkGazetteer(b *testing.B) {
	rows := make([]Row, 100_000)
	for i := range rows {
		rows[i] = Row{UPRN: domain.UPRN(fmt.Sprint(i)), House: fmt.Sprint(i % 100), Street: "Made-up Lane", Postcode: fmt.Sprintf("LE%d 1AA", i/20), Zone: "LB1"}
	}
	events := Import(Book{}, "v", "s", rows)
	for b.Loop() {
		fold(events...)
	}
}
