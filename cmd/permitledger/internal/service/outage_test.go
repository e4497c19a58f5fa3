package service_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
	"permitledger/projections/accounts"
)

// served is a service on an event store of its own, behind a proxy.
func served(t *testing.T) (*service.Service, *faultproxy.Proxy) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	p := faultproxy.New(t, n.Addr())
	return start(t, func(cfg *service.Config) {
		cfg.EventStore, cfg.DemoClock = "esdb://"+p.Addr()+"?tls=false&discoveryInterval=10", time.Time{}
	}), p
}

// untilAway waits until the service knows that its store is away, and has known
// it for longer than anybody is let wait.
func untilAway(t *testing.T, s *service.Service) {
	t.Helper()
	for s.Ledger.Store().Connection().Up {
		_, _ = s.Ledger.Store().Head(t.Context())
	}
	if _, err := s.Ledger.Store().Head(t.Context()); err == nil {
		t.Fatal("the store is not away")
	}
}

// today makes an application that may be sent on any day.
func (c client) buysToday(token string) (account, permit, position string) {
	c.t.Helper()
	account, evidence := c.resident(token)
	evidence = strings.Replace(evidence, "2026-02-20", time.Now().AddDate(0, 0, -10).Format(time.DateOnly), 1)
	bought := c.as(token).post("/accounts/"+account+"/permits", application(evidence)).want(201)
	return account, bought.str("permitId"), bought.str("position")
}

// unavailable fails the test unless the answer is that of a store that is away.
func (a answer) unavailable() {
	a.t.Helper()
	a.want(http.StatusServiceUnavailable)
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 {
		a.t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	if a.header.Get("Ledger-As-Of") != "" {
		a.t.Error("an error says as of when it is")
	}
}

// The event store goes away and comes back: what residents read goes on and
// says how old it is, everything else is told to come again, and afterwards all
// is as before, without a restart.
func TestTheStoreGoesAwayAndComesBack(t *testing.T) {
	s, proxy := served(t)
	c := newClient(t, s)
	alex, rita, aude := c.as("alex"), c.as("rita"), c.as("aude")
	account, permit, position := c.buysToday("alex")
	_, other, _ := c.buysToday("sam")
	rita.post("/permits/"+permit+"/approve", approval).want(200)
	changed := alex.post("/permits/"+permit+"/change-vehicle", `{"vehicle":"XY34 ZZZ"}`).want(200)
	for p, paid := s.Runner.Projection(accounts.Name), false; !paid; { // the hold is taken by itself
		next := p.Changed()
		if paid = alex.get("/permits/"+permit).want(200).at("payment.state") == "captured"; !paid {
			<-next
		}
	}
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	document := changed.str("evidence.0.sha256")
	alex.get("/accounts/" + account + "/evidence/" + document).want(200)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	reads := []string{"/accounts", "/accounts/" + account, "/accounts/" + account + "/permits", "/accounts/" + account + "/access",
		"/permits/" + permit, "/permits/" + permit + "?asOf=" + now, "/permits/" + permit + "?knownAt=" + now, "/permits/" + permit + "/history",
		"/properties?postcode=LE11%201AA&house=17", "/tariff", "/terms-and-conditions", "/council"}
	before := map[string]string{}
	for _, path := range reads {
		before[path] = string(alex.get(path).want(200).raw)
	}
	c.as("").get("/readyz").want(200).is("state", "ok")

	proxy.Down()
	untilAway(t, s)
	for _, path := range reads {
		got := alex.get(path).want(200)
		if string(got.raw) != before[path] {
			t.Errorf("%s answers otherwise than before:\n%s\n%s", path, got.raw, before[path])
		}
		folded := strings.Contains(path, "permit") || strings.Contains(path, "properties") || strings.HasPrefix(path, "/accounts/")
		if asOf, err := time.Parse(time.RFC3339, got.header.Get("Ledger-As-Of")); folded != (err == nil) || folded && time.Since(asOf) > time.Hour {
			t.Errorf("%s is as of %q", path, got.header.Get("Ledger-As-Of"))
		}
	}
	c.as("").get("/properties?postcode=LE11%201AA").want(200)
	alex.get("/permits/" + other).want(404)
	alex.with("Min-Position", changed.str("position")).get("/permits/"+permit).want(200).is("vehicle", "XY34ZZZ")
	alex.with("Min-Position", "9"+position).get("/permits/" + permit).unavailable()
	for _, path := range []string{"/permits/" + permit, "/accounts/" + account, "/permits/" + permit + "/history"} {
		rita.get(path).unavailable() // staff's reads are recorded
	}
	alex.get("/accounts/" + account + "/evidence/" + document).unavailable() // recorded, too
	aude.get("/audit/events").unavailable()
	aude.get("/accounts/" + account + "/access").unavailable()
	key := alex.with("Idempotency-Key", "while-it-is-away")
	key.post("/permits/"+permit+"/change-vehicle", `{"vehicle":"CD56 EFG"}`).unavailable()
	rita.post("/permits/"+other+"/approve", approval).unavailable()
	alex.post("/accounts", `{"name":"Another"}`).unavailable()

	told := c.as("").get("/readyz").want(200).is("state", "degraded")
	if because := told.str("because.0"); !strings.HasPrefix(because, "the event store is away since 2") || len(told.at("because").([]any)) != 1 {
		t.Errorf("it is degraded because %s", told.raw)
	}
	if metrics := string(c.as("").get("/metrics").want(200).raw); !strings.Contains(metrics, "permitledger_eventstore_up 0") {
		t.Error("the metrics do not tell")
	}

	proxy.Up()
	if err := s.Ledger.Store().Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		key.post("/permits/"+permit+"/change-vehicle", `{"vehicle":"CD56 EFG"}`).want(200).is("vehicle", "CD56EFG").is("revision", 3)
	}
	rita.post("/permits/"+other+"/approve", approval).want(200)
	rita.get("/permits/" + permit).want(200)
	got := alex.get("/permits/"+permit).want(200).is("revision", 3)
	if got.header.Get("Ledger-As-Of") != "" {
		t.Error("an answer from the log says that it is not")
	}
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.as("").get("/readyz").want(200).is("state", "ok")
	if metrics := string(c.as("").get("/metrics").want(200).raw); !strings.Contains(metrics, "permitledger_eventstore_up 1") {
		t.Error("the metrics do not tell")
	}
}

// Many requests during an outage are answered at once, and those that come in
// its first moments are served when it is short.
func TestManyRequestsWhileTheStoreIsAway(t *testing.T) {
	s, proxy := served(t)
	c := newClient(t, s)
	account, permit, _ := c.buysToday("alex")
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Down()
	untilAway(t, s)
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			if i%2 == 0 {
				c.as("alex").get("/permits/" + permit).want(200)
			} else {
				c.as("rita").get("/permits/" + permit).unavailable()
			}
		})
	}
	all.Wait()
	proxy.Up()
	if err := s.Ledger.Store().Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Do(faultproxy.Cut) // and it is there again: whoever comes now waits
	c.as("alex").post("/accounts/"+account+"/change-details", `{"phone":"01632 999999"}`).want(200)
}
