package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"permitledger/cmd/permitledger/internal/api"
)

// The whole of an application by HTTP, as each of those concerned sees it. The
// exchanges are all held against docs/openapi.yaml.
func TestARejectionAsEverybodySeesIt(t *testing.T) {
	h := newHouse(t)
	account, permit, papers := h.permit("alex")
	h.get("rita", "/api/v1/reviews").want(200)
	told := h.post("rita", "/api/v1/permits/"+permit+"/reject",
		decided(papers, map[string]any{"code": "not-resident", "clause": "2.1", "text": "The bill is of another house."})).want(200)
	if told.text("decision.decider.id") != "rita" || told.text("decision.considered.0.note") != "for colleagues" {
		t.Errorf("a reviewer does not see who decided and what was noted: %s", told.raw)
	}

	own := h.get("alex", "/api/v1/permits/"+permit).want(200)
	if own.text("state") != "rejected" || own.text("rejection.contact.email") == "" || own.text("decision.reasons.0.text") != "The bill is of another house." {
		t.Errorf("the owner is not told why, and whom to ask: %s", own.raw)
	}
	if strings.Contains(string(own.raw), "rita") || strings.Contains(string(own.raw), "for colleagues") {
		t.Errorf("the owner sees staff's names or notes: %s", own.raw)
	}
	if own.header.Get("ETag") != `"1"` || own.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", own.header)
	}
	view := h.do(context.Background(), "GET", "/api/v1/accounts/"+account+"/permits", "alex", nil, with{"Min-Position": told.text("position")}).want(200)
	if view.at("items.0.state") != "rejected" {
		t.Errorf("the account view has not seen the command: %s", view.raw)
	}

	for token, sees := range map[string]struct{ name, note, words bool }{
		"alex": {words: true}, "rita": {true, true, true}, "dana": {true, true, true}, "olga": {true, true, true}, "aude": {name: true},
	} {
		tale := h.get(token, "/api/v1/permits/"+permit+"/history").want(200)
		text := string(tale.raw)
		if got := strings.Contains(text, `"rita"`); got != sees.name {
			t.Errorf("%s sees the reviewer's name: %t", token, got)
		}
		if got := strings.Contains(text, "for colleagues"); got != sees.note {
			t.Errorf("%s sees the note: %t", token, got)
		}
		if got := strings.Contains(text, "The bill is of another house."); got != sees.words {
			t.Errorf("%s sees the reason's words: %t", token, got)
		}
		if got := strings.Contains(text, "AB12CDE"); got != sees.words {
			t.Errorf("%s sees the vehicle: %t", token, got)
		}
	}
	opened := h.get("aude", "/api/v1/permits/"+permit+"/history?open="+url.QueryEscape("complaint 2026-114")).want(200)
	if !strings.Contains(string(opened.raw), "AB12CDE") {
		t.Error("an auditor who says why does not see what was sealed")
	}
	h.send("GET", "/api/v1/permits/"+permit+"/history?open=why", "rita", "", nil).want(400)
}

func TestHistoryHasPagesAndNumbers(t *testing.T) {
	h := newHouse(t)
	_, permit, _ := h.permit("alex")
	first := h.get("rita", "/api/v1/permits/"+permit+"/history?limit=1").want(200)
	if first.at("items.0.type") != "Applied" || first.at("items.0.ledger").(float64) < 1 || first.at("items.0.stateAfter.state") != "pending" {
		t.Errorf("first item: %s", first.raw)
	}
	second := h.get("rita", "/api/v1/permits/"+permit+"/history?limit=1&cursor="+first.text("next")).want(200)
	if second.at("items.0.type") != "PaymentRequested" {
		t.Errorf("second item: %s", second.raw)
	}
	h.send("GET", "/api/v1/permits/"+permit+"/history?cursor=%2B", "rita", "", nil).want(400)
}

func TestThePastIsToldAsItWas(t *testing.T) {
	h := newHouse(t)
	_, permit, papers := h.permit("alex")
	h.clock.Set(opening.AddDate(0, 0, 1))
	h.post("rita", "/api/v1/permits/"+permit+"/approve", decided(papers)).want(200)
	h.clock.Set(opening.AddDate(0, 0, 2))

	for query, want := range map[string]string{
		"":                           "active",
		"?asOf=2026-03-02T12:00:00Z": "pending",
		"?asOf=2026-03-03":           "active", // cover is of the whole first day
		"?knownAt=2026-03-03":        "pending",
		"?asOf=2027-03-20":           "expired",
		"?asOf=2026-03-03&knownAt=2026-03-02T12:00:00Z": "pending",
	} {
		a := h.get("rita", "/api/v1/permits/"+permit+query).want(200)
		if a.text("state") != want {
			t.Errorf("%q is %s, want %s", query, a.text("state"), want)
		}
		if actions := a.at("actions").([]any); query != "" && len(actions) != 0 {
			t.Errorf("%q offers %v, and nobody can act in the past", query, actions)
		}
	}
	for query, status := range map[string]int{
		"?asOf=2026-03-01": 404, "?knownAt=2026-03-01": 404, "?knownAt=2027-01-01": 400, "?asOf=yesterday": 400, "?asOf=2026-02-30": 400,
		"?asOf=2026-03-03&asOf=2026-03-04": 400,
	} {
		h.send("GET", "/api/v1/permits/"+permit+query, "rita", "", nil).want(status)
	}
}

func TestADocumentComesBackAsAnAttachment(t *testing.T) {
	h := newHouse(t)
	account, papers := h.account("alex")
	path := "/api/v1/accounts/" + account + "/evidence/" + papers[0]["sha256"].(string)
	a := h.get("alex", path).want(200)
	if string(a.raw) != "%PDF-1.7 utility-bill of alex" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") ||
		a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%v %s", a.header, a.raw)
	}
	h.get("sam", path).want(404)
	h.get("olga", path).want(403)
	h.get("alex", "/api/v1/accounts/"+account+"/evidence/"+strings.Repeat("0", 64)).want(404)
	h.send("GET", "/api/v1/accounts/"+account+"/evidence/abc", "alex", "", nil).want(400)
}

func TestARepeatedCommandIsAnsweredOnce(t *testing.T) {
	h := newHouse(t)
	send := func(body string) answer {
		return h.send("POST", "/api/v1/accounts", "alex", body, with{"Content-Type": "application/json", "Idempotency-Key": "one"})
	}
	first := send(`{"name":"Ann","email":"ann@example.org"}`).want(201)
	again := send(` {"email":"ann@example.org", "name":"Ann"} `).want(201)
	if string(first.raw) != string(again.raw) {
		t.Errorf("%s and then %s", first.raw, again.raw)
	}
	send(`{"name":"Bob"}`).want(422)
	other := h.send("POST", "/api/v1/accounts", "sam", `{"name":"Ann","email":"ann@example.org"}`,
		with{"Content-Type": "application/json", "Idempotency-Key": "one"}).want(201)
	if other.text("accountId") == first.text("accountId") {
		t.Error("two callers with one key are one")
	}
}

func TestIfMatch(t *testing.T) {
	h := newHouse(t)
	_, permit, papers := h.permit("alex")
	send := func(revision string) answer {
		return h.send("POST", "/api/v1/permits/"+permit+"/cancel", "alex", `{}`,
			with{"Content-Type": "application/json", "Idempotency-Key": "k" + revision, "If-Match": revision})
	}
	h.post("rita", "/api/v1/permits/"+permit+"/approve", decided(papers)).want(200)
	if p := send(`"0"`).want(412); p.at("revision") != 1.0 {
		t.Errorf("a problem without the revision: %s", p.raw)
	}
	for _, wrong := range []string{`1`, `W/"1"`, `"1`, `*`, `"-1"`, `""`} {
		send(wrong).want(400)
	}
	send(`"1"`).want(200)
}

func TestAReadDoesNotWaitForEver(t *testing.T) {
	h := newHouse(t)
	t.Parallel()
	a := h.do(context.Background(), "GET", "/api/v1/accounts", "alex", nil, with{"Min-Position": "9000000000000"}).want(503)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestTooManyCommandsAreSlowedDown(t *testing.T) {
	h := newHouse(t, func(c *api.Config) { c.Limits = api.Limits{CommandsPerSecond: 0.001, Burst: 2} })
	for range 2 {
		h.post("alex", "/api/v1/accounts", map[string]any{"name": "Ann"}).want(201)
	}
	if a := h.post("alex", "/api/v1/accounts", map[string]any{"name": "Ann"}).want(429); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.post("sam", "/api/v1/accounts", map[string]any{"name": "Sam"}).want(201)
	h.get("alex", "/api/v1/council").want(200)
}

func TestAPanicTellsNothing(t *testing.T) {
	h := newHouse(t, func(c *api.Config) { c.Because = func() []string { panic("AB12CDE") } })
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	if strings.Contains(w.Body.String(), "AB12CDE") || strings.Contains(h.log.String(), "AB12CDE") {
		t.Errorf("the panic's value is told: %s", w.Body)
	}
}

func TestHealth(t *testing.T) {
	because := []string{}
	h := newHouse(t, func(c *api.Config) { c.Because = func() []string { return because } })
	h.get("", "/healthz").want(200)
	if a := h.get("", "/readyz").want(200); a.text("state") != "ok" {
		t.Errorf("%s", a.raw)
	}
	because = []string{"2 messages are parked"}
	if a := h.get("", "/readyz").want(200); a.text("state") != "degraded" || a.at("because.0") != because[0] {
		t.Errorf("%s", a.raw)
	}
	h.get("", "/api/v1/openapi.yaml").want(200)
	h.get("alex", "/api/v1/properties?postcode=le111aa").want(200)
	metrics := h.get("", "/metrics").want(200)
	for _, line := range []string{
		`permitledger_http_requests_total{method="GET",route="/readyz",status="200"} 2`,
		`permitledger_http_request_duration_seconds_count{method="GET",route="/api/v1/properties"} 1`,
	} {
		if !strings.Contains(string(metrics.raw), line) {
			t.Errorf("no %s", line)
		}
	}
}

func TestTheLogHoldsTemplatesOnly(t *testing.T) {
	h := newHouse(t)
	account, permit, _ := h.permit("alex")
	h.get("alex", "/api/v1/properties?postcode=LE11+1AA&house=17").want(200)
	h.send("GET", "/api/v1/nowhere/LE111AA", "alex", "", nil).want(404)
	log := h.log.String()
	for _, private := range []string{account, permit, "alex", "LE11", "AB12", "Ann"} {
		if strings.Contains(log, private) {
			t.Errorf("the log has %q", private)
		}
	}
	if !strings.Contains(log, "route=/api/v1/accounts/{id}/permits method=POST status=201") || !strings.Contains(log, "role=resident") {
		t.Errorf("the log lacks what an operator needs:\n%s", log)
	}
}

func TestTheSimulatedClock(t *testing.T) {
	h := newHouse(t)
	h.post("ada", "/api/v1/demo/clock", map[string]any{"advance": "720h"}).want(200)
	if h.demo.advance.Hours() != 720 {
		t.Errorf("advanced by %s", h.demo.advance)
	}
	h.post("ada", "/api/v1/demo/clock", map[string]any{"to": "2027-10-31T09:00:00Z"}).want(200)
	if h.demo.to == nil || h.demo.to.Year() != 2027 {
		t.Errorf("moved to %v", h.demo.to)
	}
	h.post("ada", "/api/v1/demo/clock", map[string]any{"advance": "0s"}).want(409)
	h.post("ada", "/api/v1/demo/payments", map[string]any{"account": "5b0f7a3c-7a53-5f6e-9d1b-0a4f6f9f2d10", "next": []string{"late", "lapse"}}).want(200)
	if len(h.demo.next) != 2 {
		t.Errorf("told %v", h.demo.next)
	}

	real := newHouse(t, func(c *api.Config) { c.Demo = nil })
	real.post("ada", "/api/v1/demo/clock", map[string]any{"advance": "1h"}).want(404)
}

func TestUnknownPathsAndMethods(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/", "/api/v1", "/api/v1/", "/api/v1//council", "/api/v1/council/", "/api/v2/council", "/api/v1/accounts/x/y"} {
		h.send("GET", path, "alex", "", nil).want(404)
	}
	a := h.send("DELETE", "/api/v1/accounts", "alex", "", nil).want(405)
	if got := strings.Join(a.header.Values("Allow"), ","); got != "GET,POST" {
		t.Errorf("Allow is %q", got)
	}
	h.send("POST", "/api/v1/council", "alex", "{}", nil).want(405)
	server := api.NewServer(h.handler)
	if server.ReadHeaderTimeout == 0 || server.ReadTimeout == 0 || server.WriteTimeout == 0 || server.IdleTimeout == 0 {
		t.Errorf("a server without a time limit: %+v", http.Server{ReadTimeout: server.ReadTimeout})
	}
}
