package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/domain"
)

func day(t testing.TB, s string) domain.Date {
	t.Helper()
	d, err := domain.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// leicestershire is the default policy's tariffs, terms and figures.
func leicestershire(t testing.TB) Book {
	tariff := func(version string, full, half, cycle, halfCycle domain.Pence) TariffPublished {
		return TariffPublished{Version: version, EffectiveFrom: day(t, version), Prices: []Price{
			{domain.KindResident, 12, full},
			{domain.KindTemporaryResident, 3, half}, {domain.KindTemporaryResident, 6, half}, {domain.KindTemporaryResident, 12, full},
			{domain.KindStudent, 12, full}, {domain.KindStudent, 6, half}, {domain.KindStudent, 3, half},
			{domain.KindMotorcycle, 6, halfCycle}, {domain.KindMotorcycle, 12, cycle},
			{domain.KindDisabledResident, 12, 0},
		}}
	}
	return fold(
		tariff("2025-04-01", 5500, 2750, 2750, 1375),
		tariff("2024-04-01", 5000, 2500, 2500, 1250), // published later, in force earlier
		PolicyPublished{Version: "p1", EffectiveFrom: day(t, "2024-04-01"), Rules: Rules{PermitsPerProperty: 2}, Council: Council{Name: "First"}},
		PolicyPublished{Version: "p2", EffectiveFrom: day(t, "2026-01-01"), Rules: Rules{PermitsPerProperty: 3}},
		TermsPublished{Version: "2024-04-01", EffectiveFrom: day(t, "2024-04-01"), Text: "old"},
		TermsPublished{Version: "2025-04-01", EffectiveFrom: day(t, "2025-04-01"), Text: "new"},
	)
}

func fold(events ...Event) Book {
	var b Book
	for _, e := range events {
		b = Evolve(b, e, domain.Meta{})
	}
	return b
}

func TestQuote(t *testing.T) {
	b := leicestershire(t)
	for _, c := range []struct {
		kind   domain.Kind
		months []int
		before []domain.Pence // 2024-04-01 to 2025-03-31
		after  []domain.Pence // from 2025-04-01
	}{
		{domain.KindResident, []int{12}, []domain.Pence{5000}, []domain.Pence{5500}},
		{domain.KindTemporaryResident, []int{3, 6, 12}, []domain.Pence{2500, 2500, 5000}, []domain.Pence{2750, 2750, 5500}},
		{domain.KindStudent, []int{3, 6, 12}, []domain.Pence{2500, 2500, 5000}, []domain.Pence{2750, 2750, 5500}},
		{domain.KindMotorcycle, []int{6, 12}, []domain.Pence{1250, 2500}, []domain.Pence{1375, 2750}},
		{domain.KindDisabledResident, []int{12}, []domain.Pence{0}, []domain.Pence{0}},
	} {
		for on, prices := range map[string][]domain.Pence{
			"2024-04-01": c.before, "2025-03-31": c.before, "2025-04-01": c.after, "2030-01-01": c.after,
		} {
			if got := b.Months(c.kind, day(t, on)); !slices.Equal(got, c.months) {
				t.Errorf("%s on %s: months %v, want %v", c.kind, on, got, c.months)
			}
			for months := range 25 {
				q, err := b.Quote(c.kind, months, day(t, on))
				i := slices.Index(c.months, months)
				if i < 0 {
					wantRefused(t, err, "months")
					continue
				}
				version := "2025-04-01"
				if on < version {
					version = "2024-04-01"
				}
				if want := (Quote{prices[i], version}); err != nil || q != want {
					t.Errorf("%s, %d months on %s: %+v, %v; want %+v", c.kind, months, on, q, err, want)
				}
			}
		}
	}
	_, err := b.Quote("trader", 12, day(t, "2026-01-01"))
	wantRefused(t, err, "kind")
	_, err = b.Quote(domain.KindResident, 12, day(t, "2024-03-31"))
	wantRefused(t, err, "kind")
	if _, ok := b.TariffOn(day(t, "2024-03-31")); ok {
		t.Error("a tariff before the first one")
	}
	_, err = b.Quote(domain.KindStudent, 1, day(t, "2026-01-01"))
	if err == nil || !strings.Contains(err.Error(), "3, 6 or 12 months") {
		t.Errorf("the refusal does not say what is sold: %v", err)
	}
}

func wantRefused(t *testing.T, err error, field string) {
	t.Helper()
	var r *domain.Refusal
	if !errors.As(err, &r) || r.Rule != domain.RuleKindMonths || r.Field != field || r.Detail == "" {
		t.Errorf("got %v, want a refusal of %s at %s", err, domain.RuleKindMonths, field)
	}
}

func TestInForceByDay(t *testing.T) {
	b := leicestershire(t)
	for on, want := range map[string]domain.Versions{
		"2024-03-31": {},
		"2024-04-01": {Policy: "p1", Tariff: "2024-04-01", Terms: "2024-04-01"},
		"2025-12-31": {Policy: "p1", Tariff: "2025-04-01", Terms: "2025-04-01"},
		"2026-01-01": {Policy: "p2", Tariff: "2025-04-01", Terms: "2025-04-01"},
	} {
		if got := b.VersionsOn(day(t, on)); got != want {
			t.Errorf("%s: %+v, want %+v", on, got, want)
		}
	}
	if terms, ok := b.Terms("2024-04-01"); !ok || terms.Text != "old" {
		t.Errorf("terms of 2024: %+v", terms)
	}
	if _, ok := b.Terms("2023"); ok {
		t.Error("terms that nobody published")
	}
	// A correction with the same first day supersedes, and leaves the old book alone.
	corrected := Evolve(b, PolicyPublished{Version: "p2b", EffectiveFrom: day(t, "2026-01-01")}, domain.Meta{})
	now, _ := corrected.PolicyOn(day(t, "2026-01-01"))
	then, _ := b.PolicyOn(day(t, "2026-01-01"))
	if now.Version != "p2b" || then.Version != "p2" {
		t.Errorf("now %s, then %s", now.Version, then.Version)
	}
}

func TestPublish(t *testing.T) {
	b := leicestershire(t)
	same := TermsPublished{Version: "2025-04-01", EffectiveFrom: day(t, "2025-04-01"), Text: "new", SHA256: "another file"}
	if events, err := Publish(b, same); err != nil || events != nil {
		t.Errorf("published twice: %v, %v", events, err)
	}
	tariff, _ := b.TariffOn(day(t, "2026-01-01"))
	if events, err := Publish(b, TariffPublished(tariff)); err != nil || events != nil {
		t.Errorf("published twice: %v, %v", events, err)
	}
	edited := TariffPublished(tariff)
	edited.Prices = slices.Clone(edited.Prices)
	edited.Prices[0].Price++
	policy, _ := b.PolicyOn(day(t, "2026-01-01"))
	policy.Rules.LapsedDays++
	same.Text = "edited"
	for _, e := range []Event{edited, PolicyPublished(policy), same} {
		if _, err := Publish(b, e); !errors.Is(err, ErrVersionTaken) {
			t.Errorf("%s: %v", e.EventType(), err)
		}
	}
	edited.Version = "2026-04-01"
	if events, err := Publish(b, edited); err != nil || len(events) != 1 {
		t.Errorf("a new version: %v, %v", events, err)
	}
}

func TestRefund(t *testing.T) {
	year := PaidTerm{Anchor: day(t, "2026-01-01"), Months: 12, Price: 5500}
	fee := domain.Pence(1000)
	for _, c := range []struct {
		name string
		kind string
		fee  domain.Pence
		end  string
		want domain.Pence
	}{
		{"five whole months", RefundWholeMonths, fee, "2026-07-31T12:00:00Z", 1291},
		{"five whole months, no fee", RefundWholeMonths, 0, "2026-07-31T12:00:00Z", 2291},
		{"at the midnight of a month", RefundWholeMonths, 0, "2026-07-31T23:00:00Z", 2291}, // 1 August in London
		{"an instant later", RefundWholeMonths, 0, "2026-07-31T23:00:00.001Z", 1833},
		{"before the first day", RefundWholeMonths, 0, "2025-12-20T12:00:00Z", 5500},
		{"fee above the rest", RefundWholeMonths, fee, "2026-11-30T12:00:00Z", 0},
		{"last month", RefundWholeMonths, 0, "2026-12-05T12:00:00Z", 0},
		{"none", RefundNone, 0, "2026-07-31T12:00:00Z", 0},
		{"unknown rule", "", 0, "2026-07-31T12:00:00Z", 0},
		{"days", RefundProRataDays, 0, "2026-07-31T12:00:00Z", 2305}, // 153 of 365
		{"days at midnight", RefundProRataDays, 0, "2026-07-31T23:00:00Z", 2305},
		{"days before the first", RefundProRataDays, 0, "2025-06-01T12:00:00Z", 5500},
		{"no day left", RefundProRataDays, 0, "2026-12-31T12:00:00Z", 0},
		{"long over", RefundProRataDays, 0, "2028-12-31T12:00:00Z", 0},
	} {
		end, err := time.Parse(time.RFC3339Nano, c.end)
		if err != nil {
			t.Fatal(err)
		}
		r := Rules{Refund: RefundRule{Kind: c.kind, AdminFee: c.fee}}
		if got := r.RefundFor(end, year); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRefundOfTwoTermsTakesOneFee(t *testing.T) {
	r := Rules{Refund: RefundRule{Kind: RefundWholeMonths, AdminFee: 1000}}
	first := PaidTerm{Anchor: day(t, "2026-01-31"), Months: 6, Price: 2750}
	second := PaidTerm{Anchor: first.Anchor, Before: 6, Months: 6, Price: 2750}
	end := day(t, "2026-07-15").Midnight()
	if got := r.RefundFor(end, first, second); got != 1750 {
		t.Errorf("got %s", got)
	}
}

func TestRefundsStayWithinThePrice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := PaidTerm{
			Anchor: domain.NewDate(2026, 1, rapid.IntRange(1, 366).Draw(t, "anchor")),
			Before: rapid.IntRange(0, 24).Draw(t, "before"),
			Months: rapid.SampledFrom([]int{1, 3, 6, 12}).Draw(t, "months"),
			Price:  domain.Pence(rapid.IntRange(0, 20000).Draw(t, "price")),
		}
		r := Rules{Refund: RefundRule{
			Kind:     rapid.SampledFrom([]string{RefundNone, RefundWholeMonths, RefundProRataDays}).Draw(t, "rule"),
			AdminFee: domain.Pence(rapid.IntRange(0, 2000).Draw(t, "fee")),
		}}
		at := term.Anchor.Midnight().Add(time.Duration(rapid.IntRange(-1000, 30000).Draw(t, "hours")) * time.Hour)
		now, later := r.RefundFor(at, term), r.RefundFor(at.Add(36*time.Hour), term)
		if now < 0 || now > term.Price || later > now {
			t.Fatalf("%s, later %s of %s", now, later, term.Price)
		}
	})
}

// The figures of an event read back from JSON as they were.
func TestPublishedFiguresTravel(t *testing.T) {
	p := PolicyPublished{Version: "p", EffectiveFrom: day(t, "2024-04-01"), Rules: Rules{UncountedKinds: []domain.Kind{domain.KindMotorcycle}}}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back PolicyPublished
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Error(fmt.Sprint(diff))
	}
}
