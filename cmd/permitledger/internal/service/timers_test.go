package service_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/service"
)

// approved takes a caller's application at a house to a permit.
func (c client) approved(token, account, evidence string) string {
	c.t.Helper()
	id := c.as(token).post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	c.as("rita").post("/permits/"+id+"/approve", approval).want(200)
	return id
}

// history lists what happened to a permit: types with their instants.
func (c client) history(id string) (events []string) {
	c.t.Helper()
	a := c.as("aude").get("/permits/" + id + "/history?limit=200").want(200)
	for i := range a.at("items").([]any) {
		at, err := time.Parse(time.RFC3339, a.str(fmt.Sprintf("items.%d.recordedAt", i)))
		if err != nil {
			c.t.Fatal(err)
		}
		events = append(events, a.str(fmt.Sprintf("items.%d.type", i))+" "+at.Format(time.RFC3339))
	}
	return events
}

// An automatic renewal that fails is tried again at the beginning of each day
// while the permit runs, each timer at its own instant.
func TestAFailingRenewalIsTriedEachDay(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.approved("alex", account, evidence)
	c.walk("2026-03-02T10:00:00Z")
	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline","decline"]}`, account)).want(200)
	c.walk("2027-03-10T00:00:00Z")
	c.as("alex").get("/permits/"+id).want(200).is("term", 2).is("state", "active").is("payment.state", "captured")
	want := []string{
		"PaymentRequested 2027-02-22T00:00:00Z", "PaymentFailed 2027-02-22T00:00:00Z",
		"PaymentRequested 2027-02-23T00:00:00Z", "PaymentFailed 2027-02-23T00:00:00Z",
		"PaymentRequested 2027-02-24T00:00:00Z", "PaymentCaptured 2027-02-24T00:00:00Z", "Renewed 2027-02-24T00:00:00Z",
	}
	events := c.history(id)
	if got := events[len(events)-len(want):]; !slices.Equal(got, want) {
		t.Fatalf("the history ends with\n%q\nwant\n%q", got, want)
	}
}

// A renewal due on 31 March costs the price of March, although the clock is
// put far beyond the new tariff in one step.
func TestATimerPaysThePriceOfItsDay(t *testing.T) {
	s := start(t, func(c *service.Config) { c.DemoClock = time.Date(2024, 4, 6, 9, 0, 0, 0, time.UTC) })
	c := newClient(t, s)
	alex := c.as("alex")
	account := alex.post("/accounts", `{"name":"Alex Example"}`).want(201).str("accountId")
	bill := alex.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 bill")).want(201).str("sha256")
	v5c := alex.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 v5c")).want(201).str("sha256")
	evidence := fmt.Sprintf(`[{"kind":"utility-bill","issuedOn":"2024-04-01","sha256":%q},{"kind":"v5c","sha256":%q}]`, bill, v5c)
	id := c.approved("alex", account, evidence) // until 5 April 2025: renewed on 29 March
	c.walk("2025-05-01T00:00:00Z")
	renewed := alex.get("/permits/" + id).want(200)
	renewed.is("term", 2).is("terms.1.price.pence", 5000).is("terms.1.tariffVersion", "2024-04-01")
}

// A payment that comes late is received when the provider sends it, and a
// message that comes twice counts once.
func TestTheProvidersMessages(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex := c.as("alex")
	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["late","duplicate"]}`, account)).want(200)
	late := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201)
	late.is("payment.state", "awaited")
	if late.str("payment.payUrl") == "" {
		t.Error("who has to pay is not told where")
	}
	id := late.str("permitId")
	c.walk("2026-03-02T09:30:00Z")
	alex.get("/permits/"+id).want(200).is("payment.state", "awaited")
	c.walk("2026-03-02T11:30:00Z") // it came before the two hours were over
	alex.get("/permits/"+id).want(200).is("payment.state", "authorised").is("state", "pending")
	twice := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201).is("payment.state", "authorised").str("permitId")
	count := 0
	for _, e := range c.history(twice) {
		if len(e) > 17 && e[:17] == "PaymentAuthorised" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("a message that came twice was recorded %d times", count)
	}
}

// A document that no application names is dropped after seven days; one that
// is named stays.
func TestUnnamedDocumentsAreDropped(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex := c.as("alex")
	spare := alex.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 spare")).want(201).str("sha256")
	named := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201).str("evidence.0.sha256")
	path := "/accounts/" + account + "/evidence/"
	alex.get(path + spare).want(200)
	c.walk("2026-03-09T09:30:00Z")
	alex.get(path + spare).want(404)
	if got := alex.get(path + named).want(200).header.Get("Content-Disposition"); len(got) < 10 || got[:10] != "attachment" {
		t.Errorf("a document is sent as %q", got)
	}
}

// The clock of a demonstration goes on from the last recorded instant when
// the service starts again, and what is due is not forgotten.
func TestTheClockSurvivesARestart(t *testing.T) {
	dir := folder(t)
	keep := func(c *service.Config) { c.Data = dir }
	first := start(t, keep)
	c := newClient(t, first)
	account, evidence := c.resident("alex")
	id := c.approved("alex", account, evidence)
	c.walk("2026-06-01T00:00:00Z")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, keep)
	c = newClient(t, again)
	if now := again.Desk.Now(); now.Before(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("the clock went back to %s", now)
	}
	c.as("ada").post("/demo/clock", `{"to":"2026-05-01T00:00:00Z"}`).refused("clock")
	c.walk("2027-02-22T00:00:00Z")
	c.as("alex").get("/permits/"+id).want(200).is("term", 2)
}
