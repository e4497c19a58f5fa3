package notice

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/domain"
)

var (
	asked    = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	answerBy = domain.NewDate(2026, 3, 16)
	bill     = domain.Evidence{Kind: domain.EvidenceUtilityBill, SHA256: "bill", IssuedOn: domain.NewDate(2026, 3, 1)}
)

func mine(sha string) bool { return sha == "bill" }

func run(t *testing.T, s State, at time.Time, events []Event, err error) State {
	t.Helper()
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	return Evolve(s, events[0], domain.Meta{At: at})
}

func TestRequestAndAnswer(t *testing.T) {
	events, err := RequestInformation(State{}, Ask{Permit: "p", Pending: true, What: "A newer bill", By: answerBy, At: asked})
	s := run(t, State{}, asked, events, err)
	if diff := cmp.Diff(State{Open: &Request{What: "A newer bill", By: answerBy, At: asked}, Requests: 1}, s); diff != "" || !s.Referred() {
		t.Error(diff)
	}
	events, err = SupplyInformation(s, Supply{Permit: "p", Pending: true, Evidence: []domain.Evidence{bill}, Uploaded: mine, Note: "Here", At: asked})
	answered := run(t, s, asked, events, err)
	if answered.Referred() || !answered.Has("bill") || answered.Has("other") || len(answered.Notes) != 1 || !s.Referred() {
		t.Errorf("%+v", answered)
	}
	events, err = RequestInformation(answered, Ask{Permit: "p", Pending: true, What: "And the V5C", By: domain.DateOf(asked), At: asked})
	if again := run(t, answered, asked, events, err); !again.Referred() || again.Requests != 2 {
		t.Errorf("%+v", again)
	}
	if Stream("p") != "notice-p" {
		t.Error(Stream("p"))
	}
}

func TestRefusals(t *testing.T) {
	tomorrow := bill
	tomorrow.IssuedOn = domain.DateOf(asked).AddDays(1)
	for _, c := range []struct {
		name   string
		decide func() ([]Event, error)
		rule   domain.Rule
		field  string
	}{
		{"asked too late", func() ([]Event, error) {
			return RequestInformation(State{}, Ask{What: "w", By: answerBy, At: asked})
		}, domain.RuleNotPending, ""},
		{"to answer by yesterday", func() ([]Event, error) {
			return RequestInformation(State{}, Ask{Pending: true, What: "w", By: domain.NewDate(2026, 3, 1), At: asked})
		}, domain.RuleClock, "by"},
		{"answered too late", func() ([]Event, error) {
			return SupplyInformation(State{}, Supply{Note: "n", At: asked})
		}, domain.RuleNotPending, ""},
		{"empty answer", func() ([]Event, error) {
			return SupplyInformation(State{}, Supply{Pending: true, Note: " ", At: asked})
		}, domain.RuleEvidence, "evidence"},
		{"document of another account", func() ([]Event, error) {
			return SupplyInformation(State{}, Supply{Pending: true, Evidence: []domain.Evidence{{SHA256: "other"}}, Uploaded: mine, At: asked})
		}, domain.RuleEvidence, "evidence[0].sha256"},
		{"bill of tomorrow", func() ([]Event, error) {
			return SupplyInformation(State{}, Supply{Pending: true, Evidence: []domain.Evidence{tomorrow}, Uploaded: mine, At: asked})
		}, domain.RuleEvidence, "evidence[0].issuedOn"},
	} {
		_, err := c.decide()
		var r *domain.Refusal
		if !errors.As(err, &r) || r.Rule != c.rule || r.Field != c.field || r.Detail == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := RequestInformation(State{}, Ask{Pending: true, What: " ", By: answerBy, At: asked}); !errors.Is(err, ErrNothingAsked) {
		t.Error(err)
	}
}

// A state that was folded with the key and then erased is the one that is
// folded without it.
func TestErasureLeavesTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var clear, sealed State
		for i := range rapid.IntRange(0, 6).Draw(t, "events") {
			m := domain.Meta{At: asked.Add(time.Duration(i) * time.Hour)}
			words := rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "words")
			if rapid.Bool().Draw(t, "request") {
				e := InformationRequested{By: answerBy, Personal: domain.PersonalOf(RequestedPersonal{What: words})}
				clear = Evolve(clear, e, m)
				e.Personal.Erase()
				sealed = Evolve(sealed, e, m)
				continue
			}
			e := InformationSupplied{Evidence: []domain.Evidence{bill}, Personal: domain.PersonalOf(SuppliedPersonal{Note: words})}
			clear = Evolve(clear, e, m)
			e.Personal.Erase()
			sealed = Evolve(sealed, e, m)
		}
		if diff := cmp.Diff(sealed, clear.Erase()); diff != "" {
			t.Fatal(diff)
		}
	})
}
