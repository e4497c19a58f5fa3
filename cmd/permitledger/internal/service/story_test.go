package service_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// walk puts the simulated clock to an instant.
func (c client) walk(to string) answer {
	c.t.Helper()
	return c.as("ada").post("/demo/clock", fmt.Sprintf(`{"to":%q}`, to)).want(http.StatusOK)
}

// The whole life of permits, through HTTP alone.
func TestThePermitsLife(t *testing.T) {
	c := newClient(t, start(t))
	alex, olga, rita := c.as("alex"), c.as("olga"), c.as("rita")

	// Find the property, open an account, buy.
	home := c.as("").get("/properties?postcode=le111aa&house=17").want(200)
	home.is("items.0.uprn", "200000000017").is("items.0.zone", "LB2").is("items.0.available", true)
	account, evidence := c.resident("alex")
	bought := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201)
	bought.is("state", "pending").is("price.pence", 5500).is("payment.state", "authorised").is("revision", 0)
	first := bought.str("permitId")

	// It stands in the queue with the hold's end; it is rejected with a reason.
	queue := rita.with("Min-Position", bought.str("position")).get("/reviews").want(200)
	queue.is("items.0.permitId", first)
	if end, err := time.Parse(time.RFC3339, queue.str("items.0.holdEndsAt")); err != nil || end.Sub(morning).Round(time.Hour) != 120*time.Hour {
		t.Fatalf("the hold ends at %v (%v), want 120 hours after it was made", end, err)
	}
	rejected := rita.post("/permits/"+first+"/reject", `{"basis":"policy","reasons":[{"code":"evidence-illegible","clause":"3.2","text":"The bill cannot be read."}],
		"considered":[{"check":"bill","result":"illegible"}],"told":"Please send a readable bill."}`).want(200)
	rejected.is("state", "rejected")
	c.walk("2026-03-02T09:30:00Z") // the reactor has settled what was due
	shown := alex.get("/permits/" + first).want(200)
	shown.is("payment.state", "released").is("decision.reasons.0.code", "evidence-illegible").is("decision.reasons.0.text", "The bill cannot be read.")
	if shown.str("rejection.contact.email") == "" {
		t.Fatal("a rejection does not say whom to ask")
	}
	list := alex.get("/accounts/" + account + "/permits").want(200)
	list.is("items.0.state", "rejected").is("items.0.rejection.contact.email", shown.str("rejection.contact.email"))

	// It is applied for anew and approved; the hold is taken.
	again := strings.TrimSuffix(application(evidence), "}") + fmt.Sprintf(`,"follows":{"permit":%q}}`, first)
	bought = alex.post("/accounts/"+account+"/permits", again).want(201)
	id := bought.str("permitId")
	approved := rita.with("If-Match", `"0"`).post("/permits/"+id+"/approve", approval).want(200)
	approved.is("state", "active").is("firstDay", "2026-03-02").is("lastDay", "2027-03-01").is("renewalOpensOn", "2027-01-30").is("revision", 1)
	c.walk("2026-03-02T10:00:00Z")
	alex.get("/permits/"+id).want(200).is("payment.state", "captured")

	// The vehicle changes; a renewal is too early and is told its day.
	alex.post("/permits/"+id+"/change-vehicle", `{"vehicle":"XY34 ZZZ"}`).want(200).is("vehicle", "XY34ZZZ")
	alex.post("/permits/"+id+"/change-vehicle", `{"vehicle":"xy34-zzz"}`).refused("same-vehicle")
	alex.post("/permits/"+id+"/renew", `{}`).refused("renewal-window").is("opensOn", "2027-01-30")
	c.walk("2027-01-30T08:00:00Z")
	alex.post("/permits/"+id+"/renew", `{}`).want(200).is("term", 2).is("lastDay", "2028-03-01").is("payment.state", "captured")

	// Seven days before the next end it renews itself.
	c.walk("2028-02-23T00:00:00Z")
	renewed := alex.get("/permits/" + id).want(200)
	renewed.is("term", 3).is("terms.2.automatic", true).is("lastDay", "2029-03-01")

	// The address changes inside the zone, and not beyond it.
	bill := alex.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 new bill")).want(201).str("sha256")
	move := func(uprn string) string {
		return fmt.Sprintf(`{"uprn":%q,"evidence":[{"kind":"utility-bill","issuedOn":"2028-02-01","sha256":%q}]}`, uprn, bill)
	}
	olga.post("/permits/"+id+"/change-address", move("200000000018")).want(200).is("property.house", "18")
	other := olga.post("/permits/"+id+"/change-address", move("200000000120")).refused("other-zone")
	for _, word := range []string{"proof of residency", "V5C", "cancel this permit"} {
		if !strings.Contains(other.str("detail"), word) {
			t.Errorf("the refusal does not say %q: %s", word, other.str("detail"))
		}
	}

	// Automatic renewal is switched off, and the permit is given up.
	alex.post("/permits/"+id+"/cancel-auto-renewal", `{}`).want(200).is("autoRenewal", false).is("state", "active")
	alex.post("/permits/"+id+"/cancel-auto-renewal", `{}`).refused("auto-renewal-off")
	alex.post("/permits/"+id+"/cancel", `{"reason":"moving abroad"}`).want(200).is("state", "cancelled")

	history := c.as("aude").get("/permits/" + id + "/history?limit=100").want(200)
	var told []string
	for i := range history.at("items").([]any) {
		told = append(told, history.str(fmt.Sprintf("items.%d.type", i))+" → "+history.str(fmt.Sprintf("items.%d.stateAfter.state", i)))
	}
	want := []string{
		"Applied → pending", "PaymentRequested → pending", "PaymentAuthorised → pending", "Approved → active", "PaymentCaptured → active",
		"VehicleChanged → active", "PaymentRequested → active", "PaymentCaptured → active", "Renewed → active",
		"PaymentRequested → active", "PaymentCaptured → active", "Renewed → active", "AddressChanged → active",
		"AutoRenewalCancelled → active", "Cancelled → cancelled",
	}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Fatalf("the history reads\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsNotYoursDoesNotExist(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.as("alex").post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	sam := c.as("sam")
	for _, path := range []string{"/accounts/" + account, "/accounts/" + account + "/permits", "/permits/" + id, "/permits/" + id + "/history",
		"/accounts/" + account + "/evidence/" + strings.Repeat("a", 64)} {
		sam.get(path).want(404)
	}
	for path, body := range map[string]string{
		"/accounts/" + account + "/permits": application(evidence), "/accounts/" + account + "/change-details": `{"name":"Sam"}`,
		"/permits/" + id + "/cancel": `{}`, "/permits/" + id + "/renew": `{}`, "/permits/" + id + "/pay": `{}`,
		"/permits/" + id + "/change-vehicle": `{"vehicle":"AA11AAA"}`, "/permits/" + id + "/cancel-auto-renewal": `{}`,
	} {
		sam.post(path, body).want(404)
	}
	c.as("ron").get("/permits/" + id).want(403)
	c.as("ada").post("/permits/"+id+"/approve", approval).want(403)
	c.as("").wrong().get("/permits/" + id).want(401)
	c.as("alex-reviews").post("/permits/"+id+"/approve", approval).refused("own-application")
}

func TestHoldsLapseAndAreMadeAgain(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex, rita := c.as("alex"), c.as("rita")
	id := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	alex.post("/permits/"+id+"/pay", `{}`).refused("hold")
	c.walk("2026-03-07T08:50:00Z") // ten minutes before the hold's end
	rita.post("/permits/"+id+"/approve", approval).refused("hold")
	c.walk("2026-03-07T09:10:00Z")
	alex.get("/permits/"+id).want(200).is("payment.state", "lapsed").is("state", "pending")
	rita.get("/reviews").want(200).is("items.0.warning", "lapsed")
	rita.post("/permits/"+id+"/approve", approval).refused("hold")
	alex.post("/permits/"+id+"/pay", `{}`).want(200).is("payment.state", "authorised")
	rita.post("/permits/"+id+"/approve", approval).want(200).is("state", "active")

	other := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	c.walk("2026-03-12T10:00:00Z")
	rita.post("/permits/"+other+"/reject", `{"basis":"policy","reasons":[{"code":"duplicate","text":"There is a permit already."}],"considered":[{"check":"duplicates","result":"found"}]}`).
		want(200).is("payment.state", "lapsed").is("payment.holdEndsAt", nil)

	last := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	c.walk("2026-03-31T10:00:00Z") // 14 days after its hold's end it was withdrawn
	alex.get("/permits/"+last).want(200).is("state", "cancelled").is("cancellation.reason", "payment-lapsed").is("payment.state", "lapsed")
}

func TestAnUnpaidApplicationFreesItsSlot(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex := c.as("alex")
	free := func() any {
		return alex.get("/properties?postcode=LE11%201AA&house=17").want(200).at("items.0.slotsFree")
	}
	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline"]}`, account)).want(200)
	unpaid := alex.post("/accounts/"+account+"/permits", application(evidence)).want(201)
	unpaid.is("payment.state", "failed").is("state", "pending")
	if got := fmt.Sprint(free()); got != "1" {
		t.Fatalf("%s slots are free, want 1", got)
	}
	c.walk("2026-03-02T11:05:00Z")
	alex.get("/permits/"+unpaid.str("permitId")).want(200).is("state", "cancelled").is("cancellation.reason", "payment-not-made")
	if got := fmt.Sprint(free()); got != "2" {
		t.Fatalf("%s slots are free after the withdrawal, want 2", got)
	}
}

func TestARepeatedKeyGivesItsFirstAnswer(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	key := uuid.NewString()
	alex := c.as("alex").with("Idempotency-Key", key)
	path := "/accounts/" + account + "/permits"
	first := alex.post(path, application(evidence)).want(201)
	c.as("rita").post("/permits/"+first.str("permitId")+"/approve", approval).want(200)
	c.walk("2026-03-04T10:00:00Z")
	again := alex.post(path, application(evidence)).want(201)
	if string(again.raw) != string(first.raw) {
		t.Fatalf("the repeated command is answered\n%s\nfirst it was\n%s", again.raw, first.raw)
	}
	alex.post(path, strings.Replace(application(evidence), "AB12", "ZZ12", 1)).want(422)
	c.as("alex").wrong().do(http.MethodPost, path, []byte(application(evidence)), "application/json").want(400)
}
