package api_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// events asks for a part of the ledger as the auditor and gives the types.
func (h *house) events(query string) (answer, []string) {
	h.t.Helper()
	head, err := h.desk.Ledger.Store().Head(context.Background())
	must(h.t, err)
	a := h.do(context.Background(), "GET", "/api/v1/audit/events?"+query, "aude", nil, with{"Min-Position": head.String()}).want(200)
	var types []string
	for i := range a.at("items").([]any) {
		types = append(types, a.text(fmt.Sprintf("items.%d.type", i)))
	}
	return a, types
}

// An auditor finds a rejection in the whole ledger, and reads who, for whom,
// how and why.
func TestAnAuditorSearchesTheLedger(t *testing.T) {
	h := newHouse(t)
	account, permit, papers := h.permit("alex")
	h.post("rita", "/api/v1/permits/"+permit+"/reject",
		decided(papers, map[string]any{"code": "not-resident", "clause": "2.1", "text": "The bill is of another house."})).want(200)

	a, types := h.events("q=not-resident")
	if !slices.Equal(types, []string{"Rejected"}) {
		t.Fatalf("found %v", types)
	}
	if a.text("items.0.actor.id") != "rita" || a.text("items.0.actor.channel") != "api" || a.text("items.0.data.personal") != "⟨sealed⟩" ||
		a.text("items.0.data.decision.reasons.0.code") != "not-resident" || a.text("items.0.stateAfter.state") != "rejected" ||
		a.text("items.0.stateAfter.vehicle") != "⟨sealed⟩" || a.at("items.0.ledger").(float64) < 1 {
		t.Errorf("%s", a.raw)
	}
	for query, want := range map[string][]string{
		"permit=" + permit + "&type=Applied":         {"Applied"},
		"account=" + account + "&type=AccountOpened": {"AccountOpened"},
		"actor=rita":              {"Rejected"},
		"actor=rita&type=Applied": {},
		"q=" + permit + "&from=2026-03-02&to=2026-03-02":        {"Rejected", "PaymentAuthorised", "PaymentRequested", "Applied", "SlotTaken"},
		"type=Rejected&from=2026-03-03":                         {},
		"type=Rejected&to=2026-03-01":                           {},
		"type=Rejected&from=2026-03-02T09:00:00Z&to=2026-03-03": {"Rejected"},
		"type=Rejected&to=2026-03-02T08:59:59Z":                 {},
		"q=" + url.QueryEscape(`"rejected" OR NOT (`):           {},
		"q=" + url.QueryEscape(`"*`):                            {},
		"type=Rejected&q=":                                      {"Rejected"},
		"q=AB12CDE":                                             {},
		"q=" + url.QueryEscape("another house"):                 {},
		"type=SlotTaken&account=" + account:                     {"SlotTaken"},
	} {
		if _, types := h.events(query); !slices.Equal(types, want) && len(types)+len(want) > 0 {
			t.Errorf("%s finds %v, want %v", query, types, want)
		}
	}
	if a, _ := h.events("type=SlotTaken"); a.at("items.0.stateAfter") != nil {
		t.Errorf("a slot has a permit's state: %s", a.raw)
	}
	for _, query := range []string{"type=applied", "type=", "type=a&type=b", "actor=", "account=alex", "permit=P-7K4M-9QXD-3F", "from=yesterday", "to=2026-02-30",
		"from=2026-03-03&to=2026-03-02", "from=2026-03-03T00:00:00Z&to=2026-03-02T23:59:59Z", "limit=501", "cursor=x", "cursor=eyJiZWZvcmUiOjB9",
		"open=", "q=" + strings.Repeat("a", 201), "q=%00", "q=%ff"} {
		h.send("GET", "/api/v1/audit/events?"+query, "aude", "", nil).want(400)
	}
}

// The pages of the ledger, one after the other, are the ledger from its end to
// its beginning, whatever is recorded meanwhile.
func TestTheLedgerHasPages(t *testing.T) {
	h := newHouse(t)
	h.permit("alex")
	next, before := "", 0.0
	for {
		a, _ := h.events("limit=3" + next)
		if next == "" {
			h.permit("sam")
		}
		for i := range a.at("items").([]any) {
			number := a.at(fmt.Sprintf("items.%d.ledger", i)).(float64)
			if before != 0 && number != before-1 {
				t.Fatalf("%v comes after %v", number, before)
			}
			before = number
		}
		if a.at("next") == nil {
			break
		}
		next = "&cursor=" + a.text("next")
	}
	if before != 1 {
		t.Errorf("the last page ends at %v", before)
	}
}

// Opening what is sealed is recorded once for each person, before it is shown.
func TestOpeningTheLedgerIsRecorded(t *testing.T) {
	h := newHouse(t)
	alex, permit, _ := h.permit("alex")
	sam, _, _ := h.permit("sam")

	a, types := h.events("q=applied&open=" + url.QueryEscape("complaint 2026-114"))
	if !slices.Equal(types, []string{"Applied", "Applied"}) || a.text("items.1.data.personal.vehicle.mark") != "AB12CDE" || a.text("items.1.stateAfter.vehicle") != "AB12CDE" {
		t.Errorf("%s", a.raw)
	}
	h.events("type=TariffPublished&open=curiosity") // nobody is in it
	for account, permits := range map[string]any{alex: permit, sam: nil} {
		a, types := h.events("type=RecordRead&actor=aude&account=" + account)
		if !slices.Equal(types, []string{"RecordRead"}) || a.text("items.0.actor.role") != "auditor" || a.text("items.0.data.personal") != "⟨sealed⟩" {
			t.Errorf("%v: %s", types, a.raw)
		}
		if permits != nil && a.at("items.0.data.permit") != permits {
			t.Errorf("the permit is not named: %s", a.raw)
		}
	}
	reasons, _ := h.events("type=RecordRead&actor=aude&account=" + alex + "&open=again")
	if reasons.text("items.0.data.personal.reason") != "complaint 2026-114" {
		t.Errorf("%s", reasons.raw)
	}
}
