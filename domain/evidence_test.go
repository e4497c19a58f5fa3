package domain

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rules are those of an application of 2026-03-15 for a permit from that day.
func rules(t testing.TB, change func(*EvidenceRules)) EvidenceRules {
	r := EvidenceRules{
		Kind: KindResident, FirstDay: day(t, "2026-03-15"), SubmittedOn: day(t, "2026-03-15"),
		ProofMonths: 3, TemporaryTenancyMonths: 12, NeedV5C: true,
		Uploaded: func(sha string) bool { return sha != "elsewhere" },
	}
	if change != nil {
		change(&r)
	}
	return r
}

func bill(t testing.TB, issued string) Evidence {
	return Evidence{Kind: EvidenceUtilityBill, SHA256: "bill", IssuedOn: day(t, issued)}
}

func tenancy(t testing.TB, from string, months int) Evidence {
	return Evidence{Kind: EvidenceTenancy, SHA256: "tenancy", TenancyFrom: day(t, from), TenancyMonths: months, Signed: true}
}

func badge(t testing.TB, expires string) Evidence {
	return Evidence{Kind: EvidenceBlueBadge, SHA256: "badge", ExpiresOn: day(t, expires)}
}

var v5c = Evidence{Kind: EvidenceV5C, SHA256: "v5c"}

func TestCheckEvidence(t *testing.T) {
	unsigned := tenancy(t, "2026-01-01", 12)
	unsigned.Signed = false
	on := func(first, submitted string) func(*EvidenceRules) {
		return func(r *EvidenceRules) { r.FirstDay, r.SubmittedOn = day(t, first), day(t, submitted) }
	}
	temporary := func(r *EvidenceRules) { r.Kind = KindTemporaryResident }
	disabled := func(r *EvidenceRules) { r.Kind, r.NeedBadge = KindDisabledResident, true }
	noV5C := func(r *EvidenceRules) { r.NeedV5C = false }
	for _, c := range []struct {
		name   string
		change func(*EvidenceRules)
		items  []Evidence
		field  string // of the refusal; empty when the evidence is good
	}{
		{"bill on the oldest day", nil, []Evidence{bill(t, "2025-12-15"), v5c}, ""},
		{"bill a day too old", nil, []Evidence{bill(t, "2025-12-14"), v5c}, "evidence[0].issuedOn"},
		{"oldest day clipped", on("2026-06-01", "2026-05-31"), []Evidence{bill(t, "2026-02-28"), v5c}, ""},
		{"before the clipped day", on("2026-06-01", "2026-05-31"), []Evidence{bill(t, "2026-02-27"), v5c}, "evidence[0].issuedOn"},
		{"bill of today", nil, []Evidence{bill(t, "2026-03-15"), v5c}, ""},
		{"bill of tomorrow", nil, []Evidence{bill(t, "2026-03-16"), v5c}, "evidence[0].issuedOn"},
		{"v5c of tomorrow", nil, []Evidence{bill(t, "2026-03-01"), {Kind: EvidenceV5C, SHA256: "v5c", IssuedOn: day(t, "2026-03-16")}}, "evidence[1].issuedOn"},
		{"bill without a date", nil, []Evidence{{Kind: EvidenceUtilityBill, SHA256: "bill"}, v5c}, "evidence[0].issuedOn"},
		{"old statement beside a letter", nil, []Evidence{{Kind: EvidenceBankStatement, SHA256: "old", IssuedOn: day(t, "2020-01-01")},
			{Kind: EvidenceSolicitor, SHA256: "letter"}, v5c}, ""},
		{"letter of completion", nil, []Evidence{{Kind: EvidenceCompletion, SHA256: "letter"}, v5c}, ""},
		{"tenancy from the first day", nil, []Evidence{tenancy(t, "2026-03-15", 6), v5c}, ""},
		{"tenancy from the day after", nil, []Evidence{tenancy(t, "2026-03-16", 6), v5c}, "evidence[0].tenancyFrom"},
		{"tenancy to the first day", nil, []Evidence{tenancy(t, "2025-09-16", 6), v5c}, ""},
		{"tenancy to the day before", nil, []Evidence{tenancy(t, "2025-09-15", 6), v5c}, "evidence[0].tenancyMonths"},
		{"tenancy not signed", nil, []Evidence{unsigned, v5c}, "evidence[0].signed"},
		{"tenancy without a term", nil, []Evidence{{Kind: EvidenceTenancy, SHA256: "tenancy", Signed: true}, v5c}, "evidence[0].tenancyFrom"},
		{"long tenancy", nil, []Evidence{tenancy(t, "2026-01-01", 24), v5c}, ""},
		{"temporary, 12 months", temporary, []Evidence{tenancy(t, "2026-01-01", 12), v5c}, ""},
		{"temporary, 13 months", temporary, []Evidence{tenancy(t, "2026-01-01", 13), v5c}, "evidence[0].tenancyMonths"},
		{"temporary, 13 months and a bill", temporary, []Evidence{tenancy(t, "2026-01-01", 13), bill(t, "2026-03-01"), v5c}, ""},
		{"nothing", nil, nil, "evidence"},
		{"no proof", nil, []Evidence{v5c}, "evidence"},
		{"no v5c", nil, []Evidence{bill(t, "2026-03-01")}, "evidence"},
		{"no v5c needed", noV5C, []Evidence{bill(t, "2026-03-01")}, ""},
		{"badge to the first day", disabled, []Evidence{bill(t, "2026-03-01"), v5c, badge(t, "2026-03-15")}, ""},
		{"badge to the day before", disabled, []Evidence{bill(t, "2026-03-01"), v5c, badge(t, "2026-03-14")}, "evidence[2].expiresOn"},
		{"badge without a day", disabled, []Evidence{bill(t, "2026-03-01"), v5c, {Kind: EvidenceBlueBadge, SHA256: "badge"}}, "evidence[2].expiresOn"},
		{"no badge", disabled, []Evidence{bill(t, "2026-03-01"), v5c}, "evidence"},
		{"expired badge nobody asked for", nil, []Evidence{bill(t, "2026-03-01"), v5c, badge(t, "2020-01-01")}, ""},
		{"document of another account", nil, []Evidence{bill(t, "2026-03-01"), {Kind: EvidenceV5C, SHA256: "elsewhere"}}, "evidence[1].sha256"},
		{"one scan of two documents", nil, []Evidence{{Kind: EvidenceUtilityBill, SHA256: "v5c", IssuedOn: day(t, "2026-03-01")}, v5c}, ""},
	} {
		err := CheckEvidence(c.items, rules(t, c.change))
		if c.field == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Rule != RuleEvidence || refusal.Field != c.field {
			t.Errorf("%s: %+v, want a refusal at %s", c.name, err, c.field)
			continue
		}
		if !strings.HasSuffix(refusal.Detail, ".") {
			t.Errorf("%s: %q is no sentence", c.name, refusal.Detail)
		}
	}
}

func TestNoDocumentIsUploadedWithoutAnAccount(t *testing.T) {
	err := CheckEvidence([]Evidence{bill(t, "2026-03-01"), v5c}, rules(t, func(r *EvidenceRules) { r.Uploaded = nil }))
	if err == nil {
		t.Fatal("a document counts that nobody uploaded")
	}
}

func TestEvidenceWarnings(t *testing.T) {
	items := []Evidence{bill(t, "2025-01-01"), v5c, badge(t, "2026-03-20"), tenancy(t, "2025-09-16", 6)}
	for first, want := range map[string][]EvidenceKind{
		"2026-03-15": nil,
		"2026-03-16": {EvidenceTenancy},
		"2026-03-20": {EvidenceTenancy},
		"2026-03-21": {EvidenceBlueBadge, EvidenceTenancy},
	} {
		warnings := EvidenceWarnings(items, day(t, first))
		if len(warnings) != len(want) {
			t.Errorf("%s: %+v", first, warnings)
			continue
		}
		for i, w := range warnings {
			if w.Kind != want[i] || w.SHA256 == "" || w.Detail == "" {
				t.Errorf("%s: %+v", first, w)
			}
		}
	}
}

// Adding documents never makes good evidence bad, and the order in which they
// are named does not matter.
func TestMoreEvidenceDoesNotHarm(t *testing.T) {
	hashes := []string{"a", "b", "c", "d"}
	anyItem := rapid.Custom(func(r *rapid.T) Evidence {
		return Evidence{
			Kind:     rapid.SampledFrom(EvidenceKinds()).Draw(r, "kind"),
			SHA256:   rapid.SampledFrom(hashes).Draw(r, "sha"),
			IssuedOn: NewDate(2026, 3, 15).AddDays(-rapid.IntRange(0, 200).Draw(r, "age")),
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		items := rapid.SliceOfN(anyItem, 0, 5).Draw(r, "items")
		more := rapid.SliceOfN(anyItem, 0, 2).Draw(r, "more")
		rules := rules(t, nil)
		if CheckEvidence(items, rules) == nil {
			if err := CheckEvidence(append(more, items...), rules); err != nil {
				r.Fatalf("more evidence: %v", err)
			}
		}
		shuffled := rapid.Permutation(items).Draw(r, "shuffled")
		if (CheckEvidence(items, rules) == nil) != (CheckEvidence(shuffled, rules) == nil) {
			r.Fatal("the order matters")
		}
	})
}
