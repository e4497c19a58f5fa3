package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/service"
)

// at makes the simulated clock begin elsewhere.
func at(instant string) func(*service.Config) {
	return func(cfg *service.Config) {
		begin, err := time.Parse(time.RFC3339, instant)
		if err != nil {
			panic(err) // the tests' own instants can be read
		}
		cfg.DemoClock = begin
	}
}

// §3.3: what each command is told in each state that does not allow it.
func TestEdgesWrongStates(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	short := func(n int) doc { return doc{"kind": "student", "months": 3, "uprn": house(n)} }
	pending := c.buy(account, evidence, false, doc{"uprn": house(1)})
	rejected := c.buy(account, evidence, false, doc{"uprn": house(2)})
	c.as("rita").post("/permits/"+rejected+"/reject", rejection).want(200)
	givenUp := c.buy(account, evidence, false, doc{"uprn": house(3)})
	c.as("alex").post("/permits/"+givenUp+"/cancel", `{}`).want(200)
	cancelled := c.buy(account, evidence, true, short(4))
	c.as("alex").post("/permits/"+cancelled+"/cancel", `{}`).want(200).is("autoRenewal", false)
	expired := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "uprn": house(5), "autoRenewal": false})
	upcoming := c.buy(account, evidence, true, doc{"startsOn": "2026-03-31", "uprn": house(6)})
	active := c.buy(account, evidence, true, doc{"uprn": house(7)})

	bodies := map[string][2]string{
		"approve": {"rita", approval}, "reject": {"rita", rejection}, "request-information": {"rita", `{"what":"More.","by":"2026-12-01"}`},
		"supply-information": {"alex", `{"evidence":[],"note":"x"}`}, "pay": {"alex", `{}`}, "renew": {"alex", `{}`}, "change-vehicle": {"alex", `{"vehicle":"Q1"}`},
		"change-address": {"olga", `{"uprn":"200000000090","evidence":[]}`}, "cancel": {"alex", `{}`}, "cancel-auto-renewal": {"alex", `{}`},
		"withdraw": {"rita", strings.TrimSuffix(rejection, "}") + `,"effectiveOn":"2026-06-10"}`},
	}
	table := func(state, id string, rules map[string]string) {
		t.Helper()
		var edges []edge
		for command, rule := range rules {
			by := bodies[command]
			edges = append(edges, edge{name: state + " " + command, by: by[0], path: "/permits/" + id + "/" + command, body: by[1], status: 409, rule: rule})
		}
		c.holds(t, edges)
	}
	decided := map[string]string{"approve": "not-pending", "reject": "not-pending", "request-information": "not-pending", "supply-information": "not-pending", "pay": "not-pending"}
	with := func(more map[string]string) map[string]string {
		for command, rule := range decided {
			more[command] = rule
		}
		return more
	}
	table("pending", pending, map[string]string{"pay": "hold", "renew": "not-live", "change-vehicle": "not-live", "change-address": "not-live", "withdraw": "not-live", "cancel-auto-renewal": "auto-renewal-off"})
	table("rejected", rejected, with(map[string]string{"renew": "not-live"}))
	for state, id := range map[string]string{"given up": givenUp, "cancelled": cancelled} {
		table(state, id, with(map[string]string{"renew": "not-live", "change-vehicle": "ended", "change-address": "ended", "cancel": "ended", "withdraw": "ended"}))
	}
	table("upcoming", upcoming, with(map[string]string{"renew": "renewal-window", "cancel-auto-renewal": "auto-renewal-off"}))
	table("active", active, with(map[string]string{"renew": "renewal-window", "cancel-auto-renewal": "auto-renewal-off"}))
	c.as("alex").post("/permits/"+upcoming+"/renew", `{}`).refused("renewal-window").is("opensOn", "2027-02-28")
	c.walk("2026-06-01T23:00:00Z")
	c.as("alex").get("/permits/"+expired).want(200).is("state", "expired")
	table("expired", expired, with(map[string]string{"renew": "ended", "change-vehicle": "ended", "change-address": "ended", "cancel": "ended", "withdraw": "ended"}))
}

// §3.2 and DOMAIN §6: decisions that a rule refuses, and those that cannot be read.
func TestEdgesDecisions(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, false, nil)
	entered := c.as("olga").post("/accounts/"+account+"/permits", form(evidence, doc{"uprn": house(18)})).want(201).str("permitId")
	p, long := "/permits/"+id, strings.Repeat("é", 4001)
	one := []doc{{"check": "name", "result": "match"}}
	var edges []edge
	for name, row := range map[string]struct {
		command string
		body    any
		status  int
		rule    string
	}{
		"nothing considered":            {"approve", doc{"basis": "policy"}, 409, "considered"},
		"considered is empty":           {"approve", doc{"basis": "policy", "considered": []doc{}}, 409, "considered"},
		"considered a stranger's":       {"approve", doc{"basis": "policy", "considered": []doc{{"evidence": strings.Repeat("0", 64), "result": "x"}}}, 409, "considered"},
		"no such basis":                 {"approve", doc{"basis": "whim", "considered": one}, 400, ""},
		"no basis":                      {"approve", doc{"considered": one}, 400, ""},
		"document and check":            {"approve", doc{"basis": "policy", "considered": []doc{{"check": "a", "evidence": strings.Repeat("0", 64), "result": "x"}}}, 400, ""},
		"told too long":                 {"approve", doc{"basis": "policy", "considered": one, "told": long}, 400, ""},
		"note too long":                 {"approve", doc{"basis": "policy", "considered": []doc{{"check": "a", "result": "b", "note": long}}}, 400, ""},
		"51 not checked":                {"approve", doc{"basis": "policy", "considered": one, "notChecked": strings.Fields(strings.Repeat("x ", 51))}, 400, ""},
		"member of another command":     {"approve", doc{"basis": "policy", "considered": one, "effectiveOn": "2026-03-03"}, 400, ""},
		"no reasons":                    {"reject", doc{"basis": "policy", "considered": one}, 409, "reasons"},
		"reasons are empty":             {"reject", doc{"basis": "policy", "considered": one, "reasons": []doc{}}, 409, "reasons"},
		"other without words":           {"reject", doc{"basis": "policy", "considered": one, "reasons": []doc{{"code": "other"}}}, 409, "reasons"},
		"other with blanks":             {"reject", doc{"basis": "policy", "considered": one, "reasons": []doc{{"code": "other", "text": " \n"}}}, 409, "reasons"},
		"no such reason":                {"reject", doc{"basis": "policy", "considered": one, "reasons": []doc{{"code": "because", "text": "x"}}}, 400, ""},
		"words too long":                {"reject", doc{"basis": "policy", "considered": one, "reasons": []doc{{"code": "other", "text": long}}}, 400, ""},
		"rejected, nothing considered":  {"reject", doc{"basis": "policy", "reasons": []doc{{"code": "duplicate"}}}, 409, "considered"},
		"answer by yesterday":           {"request-information", doc{"what": "x", "by": "2026-03-01"}, 409, "clock"},
		"asks nothing":                  {"request-information", doc{"what": " ", "by": "2026-03-09"}, 400, ""},
		"asks too much":                 {"request-information", doc{"what": long, "by": "2026-03-09"}, 400, ""},
		"own application":               {"alex-reviews approve", doc{"basis": "policy", "considered": one}, 409, "own-application"},
		"own application, rejected":     {"alex-reviews reject", doc{"basis": "policy", "considered": one, "reasons": []doc{{"code": "duplicate"}}}, 409, "own-application"},
		"supplies nothing":              {"alex supply-information", doc{"evidence": []doc{}}, 409, "evidence"},
		"supplies what was not sent":    {"alex supply-information", doc{"evidence": []doc{{"kind": "v5c", "sha256": strings.Repeat("0", 64)}}}, 409, "evidence"},
		"note of an answer is too long": {"alex supply-information", doc{"evidence": []doc{}, "note": long}, 400, ""},
	} {
		by, command, other := strings.Cut(row.command, " ")
		if !other {
			by, command = "rita", row.command
		}
		edges = append(edges, edge{name: name, by: by, path: p + "/" + command, body: asJSON(row.body), status: row.status, rule: row.rule})
	}
	c.holds(t, edges)
	c.as("rita").post("/permits/"+entered+"/request-information", asJSON(doc{"what": strings.Repeat("é", 4000), "by": "2026-03-02"})).want(200).is("revision", 0).is("referred.by", "2026-03-02")
	c.as("alex").post("/permits/"+entered+"/supply-information", `{"evidence":[],"note":"Here."}`).want(200).is("referred", nil).is("state", "pending")

	// Notes and names of staff are not for the owner.
	c.as("rita").post(p+"/approve", `{"basis":"policy","considered":[{"check":"name","result":"match","note":"for colleagues"}]}`).want(200)
	for _, path := range []string{p, p + "/history", "/accounts/" + account + "/permits"} {
		if raw := string(c.as("alex").get(path).want(200).raw); strings.Contains(raw, "for colleagues") || strings.Contains(raw, `"rita"`) {
			t.Errorf("%s tells the owner what is not theirs: %s", path, raw)
		}
	}
	if raw := string(c.as("aude").get(p + "/history").want(200).raw); strings.Contains(raw, "Tallowmere") || strings.Contains(raw, "AB12") {
		t.Errorf("the auditor sees what is sealed without asking: %s", raw)
	}
	c.as("aude").get(p+"/history?open=complaint").want(200).is("items.0.data.personal.vehicle.mark", "AB12CDE")
	for _, by := range []string{"alex", "olga", "rita", "dana"} {
		if got := c.as(by).wrong().get(p + "/history?open=complaint"); got.status != 400 && got.status != 403 {
			t.Errorf("%s opens what is sealed: %d", by, got.status)
		}
	}
}

// §3.5 and DOMAIN §4: each timer acts at its own instant, by the prices of its
// own day, and in order.
func TestEdgesDueInstants(t *testing.T) {
	c := newClient(t, start(t, at("2024-12-20T09:00:00Z")))
	account, _ := c.resident("alex")
	bill := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 bill of 2024")).want(201).str("sha256")
	v5c := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 v5c of 2024")).want(201).str("sha256")
	evidence := asJSON([]doc{{"kind": "utility-bill", "issuedOn": "2024-12-01", "sha256": bill}, {"kind": "v5c", "sha256": v5c}})
	march := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "uprn": house(1), "startsOn": "2025-01-08", "autoRenewal": true})
	april := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "uprn": house(2), "startsOn": "2025-01-09", "autoRenewal": true})
	declined := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "uprn": house(3), "autoRenewal": true})
	anchored := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "uprn": house(4), "startsOn": "2025-01-18", "autoRenewal": true})
	unpaid := func() string {
		c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline"]}`, account)).want(200)
		return c.buy(account, evidence, false, doc{"uprn": house(5)})
	}()
	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline","decline"]}`, account)).want(200)
	moved := c.walk("2025-04-02T12:00:00Z")
	get := func(id string) answer {
		return c.as("alex").with("Min-Position", moved.str("position")).get("/permits/" + id).want(200)
	}
	get(march).is("term", 2).is("terms.1.price.pence", 2500).is("terms.1.tariffVersion", "2024-04-01").is("terms.1.firstDay", "2025-04-08").is("terms.1.lastDay", "2025-07-07").is("terms.1.automatic", true)
	get(april).is("term", 2).is("terms.1.price.pence", 2750).is("terms.1.tariffVersion", "2025-04-01")
	get(declined).is("term", 2).is("terms.1.firstDay", "2025-03-20")
	get(unpaid).is("state", "cancelled").is("cancellation.reason", "payment-not-made")
	get(anchored).is("term", 1) // due on 10 April

	instants := func(id string) (all []string) {
		history := c.as("aude").get("/permits/" + id + "/history").want(200)
		for i := range history.at("items").([]any) {
			item := fmt.Sprintf("items.%d.", i)
			if history.str(item+"actor.role") == "system" && history.str(item+"type") != "PaymentCaptured" {
				all = append(all, history.str(item+"type")+" "+history.str(item+"recordedAt"))
			}
		}
		return all
	}
	if got, want := fmt.Sprint(instants(march)), "[PaymentRequested 2025-03-30T23:00:00Z Renewed 2025-03-30T23:00:00Z]"; got != want {
		t.Errorf("renewed in March: %s, want %s", got, want)
	}
	want := "[PaymentRequested 2025-03-12T00:00:00Z PaymentFailed 2025-03-12T00:00:00Z PaymentRequested 2025-03-13T00:00:00Z PaymentFailed 2025-03-13T00:00:00Z PaymentRequested 2025-03-14T00:00:00Z Renewed 2025-03-14T00:00:00Z]"
	if got := fmt.Sprint(instants(declined)); got != want {
		t.Errorf("declined twice: %s, want %s", got, want)
	}
}

// §3.7: a hold lives while now is before its end, and cannot be approved in
// its last 15 minutes.
func TestEdgesOfAHold(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex, rita := c.as("alex"), c.as("rita")
	badge := alex.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 badge")).want(201).str("sha256")
	free := c.buy(account, strings.TrimSuffix(evidence, "]")+fmt.Sprintf(`,{"kind":"blue-badge","expiresOn":"2026-03-02","sha256":%q}]`, badge), false, doc{"kind": "disabled-resident"})
	held := alex.post("/accounts/"+account+"/permits", form(evidence, doc{"uprn": house(2)})).want(201)
	id, end := held.str("permitId"), held.str("payment.holdEndsAt")
	p := "/permits/" + id
	ends, err := time.Parse(time.RFC3339Nano, end)
	if err != nil {
		t.Fatal(err)
	}
	before := func(d time.Duration) answer { return c.walk(ends.Add(-d).Format(time.RFC3339Nano)) }
	alex.get("/permits/"+free).want(200).is("payment.state", "none").is("payment.holdEndsAt", nil).is("price.pence", 0)
	alex.post("/permits/"+free+"/pay", `{}`).refused("hold")
	before(15 * time.Minute)
	rita.post(p+"/approve", approval).refused("hold")
	before(2 * time.Second)
	alex.get(p).want(200).is("payment.state", "authorised")
	before(0)
	alex.get(p).want(200).is("payment.state", "lapsed").is("payment.holdEndsAt", end).is("state", "pending")
	rita.post(p+"/approve", approval).refused("hold")
	rita.post("/permits/"+free+"/approve", approval).want(200).is("payment.state", "none").is("firstDay", "2026-03-07")

	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline","late","lapse"]}`, account)).want(200)
	alex.post(p+"/pay", `{}`).want(200).is("payment.state", "failed").is("payment.holdEndsAt", nil)
	late := alex.post(p+"/pay", `{}`).want(200).is("payment.state", "awaited")
	if late.str("payment.payUrl") == "" {
		t.Error("a payment that is awaited does not say where")
	}
	alex.post(p+"/pay", `{}`).refused("hold")
	c.as("ada").post("/demo/clock", `{"advance":"1h"}`).want(200)
	alex.get(p).want(200).is("payment.state", "authorised").is("payment.payUrl", nil)
	rita.post(p+"/reject", rejection).want(200).is("state", "rejected").is("payment.holdEndsAt", nil)

	// Withdrawn by the ledger at midnight of the day of the hold's end + 14.
	gone := c.buy(account, evidence, false, doc{"uprn": house(3)}) // its hold has lapsed already
	alex.get("/permits/"+gone).want(200).is("payment.state", "lapsed").is("state", "pending")
	c.walk("2026-03-20T23:59:59Z")
	alex.get("/permits/"+gone).want(200).is("state", "pending")
	c.walk("2026-03-21T00:00:00Z")
	alex.get("/permits/"+gone).want(200).is("state", "cancelled").is("cancellation.reason", "payment-lapsed").is("cancellation.effectiveAt", "2026-03-21T00:00:00Z").is("payment.state", "lapsed")
}

// §3.9.
func TestEdgesOfARenewal(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	alex := c.as("alex")
	id := c.buy(account, evidence, true, doc{"kind": "student", "months": 3, "autoRenewal": false})
	p := "/permits/" + id
	alex.get(p).want(200).is("lastDay", "2026-06-01").is("renewalOpensOn", "2026-05-02")
	c.walk("2026-05-01T22:59:57Z") // 23:59:57 in London
	alex.post(p+"/renew", `{}`).refused("renewal-window").is("opensOn", "2026-05-02")
	c.walk("2026-05-01T23:00:00Z")
	alex.post(p+"/renew", `{"months":4}`).refused("kind-months")
	alex.post(p+"/renew", `{"months":6,"autoRenewal":true}`).want(200).is("term", 2).is("lastDay", "2026-12-01").is("terms.1.firstDay", "2026-06-02").is("autoRenewal", true).is("renewalOpensOn", "2026-11-01")
	alex.post(p+"/renew", `{}`).refused("renewal-window").is("opensOn", "2026-11-01")
	c.walk("2026-11-05T12:00:00Z")
	alex.post(p+"/renew", `{"autoRenewal":false}`).want(200).is("term", 3).is("lastDay", "2027-06-01").is("autoRenewal", false)
	alex.post(p+"/cancel-auto-renewal", `{}`).refused("auto-renewal-off")
	if got := c.types(id); strings.Contains(got, "AutoRenewalCancelled") {
		t.Errorf("switching it off at a renewal wrote an event of its own: %s", got)
	}
	c.walk("2027-06-01T23:00:00Z")
	alex.get(p).want(200).is("state", "expired").is("renewalOpensOn", "2027-05-02")
	alex.post(p+"/renew", `{}`).refused("ended")
}
