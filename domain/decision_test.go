package domain

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func anyDecision() *rapid.Generator[Decision] {
	words := rapid.SliceOfN(rapid.String(), 0, 3)
	return rapid.Custom(func(t *rapid.T) Decision {
		return Decision{
			Basis:      rapid.SampledFrom([]Basis{BasisPolicy, BasisDiscretion}).Draw(t, "basis"),
			Conditions: words.Draw(t, "conditions"),
			Reasons: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Reason {
				return Reason{
					Code:   rapid.SampledFrom(ReasonCodes()).Draw(t, "code"),
					Clause: rapid.StringMatching(`([0-9]\.[0-9])?`).Draw(t, "clause"),
					Text:   rapid.String().Draw(t, "text"),
				}
			}), 0, 4).Draw(t, "reasons"),
			Considered: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Considered {
				c := Considered{Result: rapid.String().Draw(t, "result"), Note: rapid.String().Draw(t, "note")}
				if rapid.Bool().Draw(t, "document") {
					c.Evidence = rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "sha")
				} else {
					c.Check = rapid.StringN(1, -1, -1).Draw(t, "check")
				}
				return c
			}), 0, 4).Draw(t, "considered"),
			NotChecked: words.Draw(t, "not checked"),
			Told:       rapid.String().Draw(t, "told"),
		}
	})
}

func TestDecisionSplitsAndJoinsWithoutLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDecision().Draw(t, "decision")
		decider := Actor{ID: "reviewer-1", Role: RoleReviewer, Channel: ChannelWeb}
		versions := Versions{Policy: "p", Tariff: "t", Terms: "c", Gazetteer: "g"}
		r, w := d.Split(OutcomeRejected, decider, versions)
		if r.Outcome != OutcomeRejected || r.Decider != decider || r.Versions != versions {
			t.Fatalf("record %+v", r)
		}
		// Through what is stored: the two travel apart.
		var storedR DecisionRecord
		var storedW DecisionWords
		copyJSON(t, r, &storedR)
		copyJSON(t, w, &storedW)
		if diff := cmp.Diff(d, JoinDecision(storedR, storedW), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func copyJSON(t *rapid.T, from, to any) {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDecisionWithErasedWords(t *testing.T) {
	d := Decision{
		Basis:      BasisPolicy,
		Reasons:    []Reason{{Code: ReasonNameMismatch, Clause: "4.2", Text: "The bill is Ms Example's."}, {Code: ReasonOther, Text: "words"}},
		Considered: []Considered{{Evidence: "abc", Result: "other name", Note: "Example"}, {Check: "vehicle", Result: "ok"}},
		Told:       "Dear Ms Example",
	}
	r, _ := d.Split(OutcomeRejected, Actor{ID: "r"}, Versions{})
	text, _ := json.Marshal(r)
	if diff := cmp.Diff(`{"outcome":"rejected","basis":"policy","reasons":[{"code":"name-mismatch","clause":"4.2"},{"code":"other"}],`+
		`"evidence":["abc"],"decider":{"id":"r","role":"","channel":""},"versions":{}}`, string(text)); diff != "" {
		t.Errorf("what is stored in clear: %s", diff)
	}
	want := Decision{
		Basis:      BasisPolicy,
		Reasons:    []Reason{{Code: ReasonNameMismatch, Clause: "4.2"}, {Code: ReasonOther}},
		Considered: []Considered{{Evidence: "abc"}},
	}
	if diff := cmp.Diff(want, JoinDecision(r, DecisionWords{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestDecisionCheck(t *testing.T) {
	known := func(sha string) bool { return sha == "named" }
	looked := []Considered{{Check: "vehicle at the address", Result: "yes"}, {Evidence: "named", Result: "good"}}
	because := []Reason{{Code: ReasonWrongZone}}
	for _, c := range []struct {
		name    string
		outcome string
		d       Decision
		rule    Rule
		field   string
	}{
		{"approval", OutcomeApproved, Decision{Considered: looked}, "", ""},
		{"rejection", OutcomeRejected, Decision{Reasons: because, Considered: looked}, "", ""},
		{"rejection without a reason", OutcomeRejected, Decision{Considered: looked}, RuleReasons, "reasons"},
		{"other without words", OutcomeRejected, Decision{Reasons: append(because, Reason{Code: ReasonOther, Text: " \n"}), Considered: looked}, RuleReasons, "reasons[1].text"},
		{"other with words", OutcomeRejected, Decision{Reasons: []Reason{{Code: ReasonOther, Text: "because"}}, Considered: looked}, "", ""},
		{"nothing considered", OutcomeApproved, Decision{}, RuleConsidered, "considered"},
		{"a result about nothing", OutcomeApproved, Decision{Considered: append(looked[:2:2], Considered{Check: " ", Result: "good"})}, RuleConsidered, "considered[2]"},
		{"reasons first", OutcomeRejected, Decision{}, RuleReasons, "reasons"},
		{"foreign document", OutcomeApproved, Decision{Considered: append(looked, Considered{Evidence: "foreign"})}, RuleConsidered, "considered[2].evidence"},
	} {
		err := c.d.Check(c.outcome, known)
		var refusal *Refusal
		switch {
		case c.rule == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.rule != "" && (!errors.As(err, &refusal) || refusal.Rule != c.rule || refusal.Field != c.field):
			t.Errorf("%s: %v, want %s at %s", c.name, err, c.rule, c.field)
		}
	}
	if (Decision{Considered: looked}).Check(OutcomeApproved, nil) == nil {
		t.Error("a document counts that no application named")
	}
}
