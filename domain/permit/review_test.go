package permit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

func TestNobodyDecidesTheirOwnCase(t *testing.T) {
	at := noon("2026-03-01")
	entered := application(at)
	entered.EnteredBy = operator
	for name, c := range map[string]struct {
		application Apply
		subject     string
	}{
		"the applicant":                     {application(at), owner},
		"the operator who entered it":       {entered, operator},
		"the owner of what another entered": {entered, owner},
	} {
		t.Run(name, func(t *testing.T) {
			r := review()
			r.Subject = c.subject
			l := begin(t).do(at, c.application)
			l.refused(at, Approve{Review: r, Payment: held(at), Rules: rules()}, domain.RuleOwnApplication)
			l.refused(at, Reject{Review: r}, domain.RuleOwnApplication)
			l.do(at, approval(at))
			l.refused(at, Withdraw{Review: r, EffectiveOn: domain.DateOf(at), Rules: rules()}, domain.RuleOwnApplication)
		})
	}
	// An account without an owner is not everybody's.
	r := review()
	r.Subject, r.OwnerSubject = "", ""
	unknown := application(at)
	unknown.EnteredBy = ""
	begin(t).do(at, unknown).do(at, Reject{Review: r})
}

func TestApprovalNeedsALiveHold(t *testing.T) {
	at := noon("2026-03-01")
	decided := noon("2026-03-02")
	free := application(at)
	free.Kind, free.Quote.Price = domain.KindDisabledResident, 0
	free.Evidence = append(free.Evidence, domain.Evidence{Kind: domain.EvidenceBlueBadge, SHA256: "badge", ExpiresOn: day("2027-01-01")})
	for name, c := range map[string]struct {
		application Apply
		payment     Payment
		refused     bool
	}{
		"free":                   {free, Payment{Free: true}, false},
		"not paid":               {application(at), Payment{}, true},
		"live":                   {application(at), held(at), false},
		"15 minutes and a bit":   {application(at), Payment{Authorised: true, HoldEndsAt: decided.Add(15*time.Minute + 1)}, false},
		"15 minutes":             {application(at), Payment{Authorised: true, HoldEndsAt: decided.Add(15 * time.Minute)}, true},
		"ends now":               {application(at), Payment{Authorised: true, HoldEndsAt: decided}, true},
		"lapsed":                 {application(at), Payment{Authorised: true, HoldEndsAt: decided.Add(-time.Hour)}, true},
		"given back in the mean": {application(at), Payment{HoldEndsAt: decided.Add(48 * time.Hour)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			approve := Approve{Review: review(), Payment: c.payment, Rules: rules()}
			l := begin(t).do(at, c.application)
			if !c.refused {
				l.do(decided, approve)
				return
			}
			l.refused(decided, approve, domain.RuleHold)
			l.do(decided, Reject{Review: review()}) // whatever the hold
		})
	}
}

func TestDecisionsMustBeComplete(t *testing.T) {
	at := noon("2026-03-01")
	for name, c := range map[string]struct {
		rule     domain.Rule
		rejected bool // refused only as a rejection
		change   func(*Review)
	}{
		"no reason":       {domain.RuleReasons, true, func(r *Review) { r.Decision.Reasons = nil }},
		"other, no words": {domain.RuleReasons, false, func(r *Review) { r.Decision.Reasons = []domain.Reason{{Code: domain.ReasonOther}} }},
		"nothing considered": {domain.RuleConsidered, false, func(r *Review) {
			r.Decision.Considered = nil
		}},
		"a stranger's document": {domain.RuleConsidered, false, func(r *Review) {
			r.Decision.Considered = []domain.Considered{{Evidence: "elsewhere", Result: "read"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := review()
			c.change(&r)
			l := begin(t).do(at, application(at))
			l.refused(at, Reject{Review: r}, c.rule)
			approve := Approve{Review: r, Payment: held(at), Rules: rules()}
			if c.rejected {
				l.do(at, approve)
				return
			}
			l.refused(at, approve, c.rule)
			l.do(at, approval(at))
			l.refused(at, Withdraw{Review: r, EffectiveOn: domain.DateOf(at), Rules: rules()}, c.rule)
		})
	}
}

func TestDocumentsSuppliedLaterMayBeConsidered(t *testing.T) {
	at := noon("2026-03-01")
	r := review()
	r.Decision.Considered = []domain.Considered{{Evidence: "supplied", Result: "read"}, {Evidence: "bill", Result: "read"}}
	r.Known = func(sha string) bool { return sha == "supplied" }
	begin(t).do(at, application(at)).do(at, Reject{Review: r})
}

func TestDecisionIsKeptWithItsWords(t *testing.T) {
	at := noon("2026-03-01")
	l := begin(t).do(at, application(at)).do(at.Add(time.Hour), Reject{Review: review()})
	d, ok := l.state.Decision()
	if !ok || !d.At.Equal(at.Add(time.Hour)) || d.Record.Outcome != domain.OutcomeRejected || d.Record.Decider.ID != reviewer {
		t.Fatalf("decided %+v", d)
	}
	if diff := cmp.Diff(review().Decision, d.Decision()); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	erased, _ := l.state.Erase().Decision()
	if got := erased.Decision(); got.Told != "" || got.Reasons[0].Text != "" || got.Reasons[0].Code != domain.ReasonNameMismatch {
		t.Errorf("erased decision %+v", got)
	}
	if ends, ok := l.state.EndsAt(); !ok || !ends.Equal(d.At) {
		t.Errorf("the rejected application ends at %s", ends)
	}
}

// A reviewer is warned, and not hindered, when a document no longer holds for
// the first day that the permit really gets.
func TestEvidenceIsNotHeldAgainstASlowReview(t *testing.T) {
	at := noon("2026-03-01")
	order := application(at)
	order.Evidence[0] = domain.Evidence{Kind: domain.EvidenceTenancy, SHA256: "bill", TenancyFrom: day("2025-03-05"), TenancyMonths: 12, Signed: true}
	l := begin(t).do(at, order)
	later := noon("2026-03-05")
	if w := domain.EvidenceWarnings(l.state.Evidence, l.state.FirstDayIfApproved(later)); len(w) != 1 {
		t.Errorf("warnings %v", w)
	}
	l.do(later, approval(at))
}
