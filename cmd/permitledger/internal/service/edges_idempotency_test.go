package service_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// sent is a command that was answered, to be sent again.
type sent struct {
	name, by, path, body, mediaType string
	header                          map[string]string
	first                           answer
}

func (s sent) again(c client, more map[string]string) answer {
	by := c.as(s.by)
	for _, header := range []map[string]string{s.header, more} {
		for name, value := range header {
			by = by.with(name, value)
		}
	}
	return by.do(http.MethodPost, s.path, []byte(s.body), s.mediaType)
}

// §3.4: the same key and body give the same bytes again, also much later, and
// whatever was done in between; another body is 422.
func TestEdgesEveryCommandOnce(t *testing.T) {
	c := newClient(t, start(t))
	var all []sent
	give := func(name, by, path, body, other string, status int) answer {
		t.Helper()
		s := sent{name: name, by: by, path: path, body: body, mediaType: "application/json", header: map[string]string{"Idempotency-Key": uuid.NewString()}}
		if strings.HasPrefix(body, "%PDF") {
			s.mediaType = "application/pdf"
		}
		s.first = s.again(c, nil).want(status)
		if different := s; other != "" { // some commands say nothing
			different.body = other
			different.again(c, nil).want(422)
		}
		all = append(all, s)
		return s.first
	}
	account := give("open", "alex", "/accounts", `{"name":"Alex"}`, `{"name":"Alix"}`, 201).str("accountId")
	a := "/accounts/" + account
	give("details", "alex", a+"/change-details", `{"phone":"1"}`, `{"phone":"2"}`, 200)
	bill := give("upload", "alex", a+"/evidence", "%PDF-1.7 bill", "%PDF-1.7 another", 201).str("sha256")
	v5c := give("upload", "olga", a+"/evidence", "%PDF-1.7 v5c", "%PDF-1.7 another", 201).str("sha256")
	evidence := asJSON([]doc{{"kind": "utility-bill", "issuedOn": "2026-02-20", "sha256": bill}, {"kind": "v5c", "sha256": v5c}})
	id := give("apply", "alex", a+"/permits", form(evidence, doc{"autoRenewal": true}), form(evidence, nil), 201).str("permitId")
	p := "/permits/" + id
	give("ask", "rita", p+"/request-information", `{"what":"More.","by":"2026-03-10"}`, `{"what":"Less.","by":"2026-03-10"}`, 200)
	give("tell", "alex", p+"/supply-information", `{"evidence":[],"note":"Here."}`, `{"evidence":[]}`, 200)
	give("approve", "rita", p+"/approve", approval, strings.Replace(approval, "match", "fits", 1), 200)
	give("vehicle", "alex", p+"/change-vehicle", `{"vehicle":"ZZ1"}`, `{"vehicle":"ZZ 1"}`, 200)
	give("address", "olga", p+"/change-address", `{"uprn":"200000000018","evidence":`+evidence+`}`, `{"uprn":"200000000019","evidence":`+evidence+`}`, 200)
	give("clock", "ada", "/demo/clock", `{"advance":"1m"}`, `{"advance":"60s"}`, 200)
	give("payments", "ada", "/demo/payments", `{"account":"`+account+`","next":["decline"]}`, `{"account":"`+account+`","next":[]}`, 200)
	failed := give("apply and be declined", "alex", a+"/permits", form(evidence, doc{"uprn": "200000000020"}), form(evidence, nil), 201).str("permitId")
	give("pay", "alex", "/permits/"+failed+"/pay", `{}`, "", 200)
	give("reject", "rita", "/permits/"+failed+"/reject", rejection, approval, 200)
	renewable := give("apply", "alex", a+"/permits", form(evidence, doc{"uprn": "200000000021", "kind": "student", "months": 3}), form(evidence, nil), 201).str("permitId")
	give("approve", "rita", "/permits/"+renewable+"/approve", approval, rejection, 200)
	c.walk("2026-05-10T08:00:00Z")
	give("renew", "alex", "/permits/"+renewable+"/renew", `{"autoRenewal":true}`, `{}`, 200)
	give("stop renewing", "alex", p+"/cancel-auto-renewal", `{}`, "", 200)
	give("withdraw", "rita", p+"/withdraw", strings.TrimSuffix(rejection, "}")+`,"effectiveOn":"2026-06-01"}`, strings.TrimSuffix(rejection, "}")+`,"effectiveOn":"2026-06-02"}`, 200)
	give("give up", "alex", "/permits/"+renewable+"/cancel", `{"reason":"moved"}`, `{}`, 200)
	c.walk("2028-01-01T00:00:00Z")
	for _, s := range all {
		again := s.again(c, nil)
		if string(again.raw) != string(s.first.raw) || again.status != s.first.status || again.header.Get("ETag") != s.first.header.Get("ETag") {
			t.Errorf("%s is answered again with %d\n%s\nfirst it was %d\n%s", s.name, again.status, again.raw, s.first.status, s.first.raw)
		}
		if strings.HasPrefix(s.path, "/permits/") { // what was seen then is not looked at again
			s.again(c, map[string]string{"If-Match": `"77"`}).want(s.first.status)
		}
	}
	if got := c.types(id); strings.Count(got, "Approved") != 1 || strings.Count(got, "VehicleChanged") != 1 {
		t.Errorf("the repetitions wrote: %s", got)
	}
}

func TestEdgesScopeOfAKey(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	path, key := "/accounts/"+account+"/permits", uuid.NewString()
	mine := c.as("alex").with("Idempotency-Key", key)
	first := mine.post(path, form(evidence, nil)).want(201)
	p := "/permits/" + first.str("permitId")
	same := func(name string, a answer) {
		t.Helper()
		if string(a.raw) != string(first.raw) || a.status != 201 {
			t.Errorf("%s: %d %s, first it was %s", name, a.status, a.raw, first.raw)
		}
	}
	spaced := strings.NewReplacer(`,"`, " ,\n\t\"", `":`, `" : `, "AB12", "\\u0041B12").Replace(form(evidence, nil))
	same("spaces and spelling", mine.post(path, spaced))
	reordered := `{"vehicle":"AB12 CDE","uprn":"200000000017","months":12,"kind":"resident","evidence":` + evidence + `}`
	same("order of members", mine.post(path, reordered))
	same("query", mine.wrong().post(path+"?x=1", form(evidence, nil)))

	other := c.as("olga").with("Idempotency-Key", key).post(path, form(evidence, nil)).want(201)
	if other.str("permitId") == first.str("permitId") {
		t.Error("the key of another caller was taken for the same")
	}
	mine.post(p+"/cancel", `{}`).want(200)                                         // another path
	mine.post("/permits/"+other.str("permitId")+"/cancel", `{}`).want(200)         // another permit
	mine.post(path, form(evidence, doc{"months": 6})).want(422)                    // before the rules are asked
	mine.with("If-Match", `"5"`).post(p+"/cancel", `{"reason":"other"}`).want(422) // before the revision is
	mine.with("If-Match", `"5"`).post(p+"/cancel", `{}`).want(200).is("revision", 1)
}

// A client that gave up waiting sends again while the first is still at work.
func TestEdgesTheSameCommandAtOnce(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	atOnce := func(by, path, body string) string {
		t.Helper()
		const senders = 12
		s := sent{by: by, path: path, body: body, mediaType: "application/json", header: map[string]string{"Idempotency-Key": uuid.NewString()}}
		answers := make(chan answer, senders)
		for range senders {
			go func() { answers <- s.again(c, nil) }()
		}
		var first answer
		for i := range senders {
			a := <-answers
			if i == 0 {
				first = a
			}
			if string(a.raw) != string(first.raw) || a.status != first.status {
				t.Errorf("%s: one is answered %d\n%s\nanother %d\n%s", path, first.status, first.raw, a.status, a.raw)
				break
			}
		}
		if first.status >= 300 {
			t.Fatalf("%s: %d %s", path, first.status, first.raw)
		}
		id, _ := first.body["permitId"].(string)
		return id
	}
	for n := range 4 {
		p := "/permits/" + atOnce("alex", "/accounts/"+account+"/permits", form(evidence, doc{"uprn": house(n + 1)}))
		atOnce("rita", p+"/approve", approval)
		atOnce("alex", p+"/change-vehicle", `{"vehicle":"C1"}`)
		atOnce("alex", p+"/cancel", `{}`)
		atOnce("ada", "/demo/clock", `{"advance":"1m"}`)
	}

	// Other moves of the clock come one after the other.
	before, moved := c.as("ada").post("/demo/clock", `{"advance":"1s"}`).want(200).str("now"), make(chan answer, 5)
	for range 5 {
		go func() { moved <- c.as("ada").post("/demo/clock", `{"advance":"24h"}`) }()
	}
	last := before
	for range 5 {
		last = max(last, (<-moved).str("now"))
	}
	if last[:10] != "2026-03-07" {
		t.Errorf("five days from %s it is %s", before, last)
	}
	c.as("ada").post("/demo/clock", `{"to":"9999-12-31T23:59:59Z"}`).refused("clock") // the calendar ends there
	c.as("ada").post("/demo/clock", `{"advance":"2000000h"}`).want(200)
	c.as("ada").post("/demo/clock", `{"advance":"2562047h"}`).want(200)
	c.as("alex").get("/accounts").want(200)
}

func TestEdgesRefusalsAreForgotten(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, false, doc{"kind": "student", "months": 3})
	p, key := "/permits/"+id, c.as("alex").with("Idempotency-Key", "once")
	key.post(p+"/renew", `{}`).refused("not-live")
	c.as("rita").post(p+"/approve", approval).want(200)
	key.post(p+"/renew", `{}`).refused("renewal-window")
	key.wrong().post(p+"/renew", `{"months":0}`).want(400) // nor does what cannot be read take the key
	c.walk("2026-05-20T08:00:00Z")
	renewed := key.post(p+"/renew", `{}`).want(200)
	c.walk("2026-12-20T08:00:00Z") // it has ended since
	if again := key.post(p+"/renew", `{}`).want(200); string(again.raw) != string(renewed.raw) {
		t.Errorf("answered %s, first it was %s", again.raw, renewed.raw)
	}
	c.as("alex").post(p+"/renew", `{}`).refused("ended")
	clock := c.as("ada").with("Idempotency-Key", "clock")
	clock.post("/demo/clock", `{"to":"2026-01-01T00:00:00Z"}`).refused("clock")
	now := clock.post("/demo/clock", `{"to":"2027-01-01T00:00:00Z"}`).want(200).str("now")
	c.as("ada").post("/demo/clock", fmt.Sprintf(`{"to":%q}`, now)).refused("clock")
	c.as("ada").post("/demo/clock", `{"advance":"0s"}`).refused("clock")
}
