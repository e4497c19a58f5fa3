package service_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// §3.8: what is a proof, and until when.
func TestEdgesEvidence(t *testing.T) {
	c := newClient(t, start(t))
	account, _ := c.resident("alex")
	_, others := c.resident("sam")
	upload := func(content string) string {
		return c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 "+content)).want(201).str("sha256")
	}
	proof, v5c, badge := upload("proof"), upload("v5c"), upload("badge")
	if again := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 proof")).want(201); again.str("sha256") != proof {
		t.Error("the same bytes have another name")
	}
	car := doc{"kind": "v5c", "sha256": v5c}
	bill := func(day string) doc { return doc{"kind": "utility-bill", "issuedOn": day, "sha256": proof} }
	tenancy := func(from string, months int) doc {
		return doc{"kind": "tenancy-agreement", "tenancyFrom": from, "tenancyMonths": months, "signed": true, "sha256": proof}
	}
	unsigned := tenancy("2026-01-01", 12)
	unsigned["signed"] = false
	unsaid := tenancy("2026-01-01", 12)
	delete(unsaid, "signed")
	blue := func(day string) doc { return doc{"kind": "blue-badge", "expiresOn": day, "sha256": badge} }
	temporary, disabled := doc{"kind": "temporary-resident", "months": 3}, doc{"kind": "disabled-resident"}
	for i, row := range []struct {
		name     string
		evidence []doc
		change   doc
		good     bool
	}{
		{"oldest bill", []doc{bill("2025-12-02"), car}, nil, true},
		{"a day too old", []doc{bill("2025-12-01"), car}, nil, false},
		{"bill of today", []doc{bill("2026-03-02"), car}, nil, true},
		{"bill of tomorrow", []doc{bill("2026-03-03"), car}, nil, false},
		{"bill without a date", []doc{{"kind": "utility-bill", "sha256": proof}, car}, nil, false},
		{"one good proof suffices", []doc{bill("2020-01-01"), bill("2026-02-01"), car}, nil, true},
		{"a letter needs no date", []doc{{"kind": "solicitor-letter", "sha256": proof}, car}, nil, true},
		{"not signed", []doc{unsigned, car}, nil, false},
		{"signed is not said", []doc{unsaid, car}, nil, false},
		{"tenancy from today", []doc{tenancy("2026-03-02", 12), car}, nil, true},
		{"tenancy from tomorrow", []doc{tenancy("2026-03-03", 12), car}, nil, false},
		{"tenancy from the first day", []doc{tenancy("2026-03-03", 12), car}, doc{"startsOn": "2026-03-03"}, true},
		{"tenancy ends on the first day", []doc{tenancy("2025-03-03", 12), car}, nil, true},
		{"tenancy ended the day before", []doc{tenancy("2025-03-02", 12), car}, nil, false},
		{"temporary, 12 months", []doc{tenancy("2026-01-01", 12), car}, temporary, true},
		{"temporary, 13 months", []doc{tenancy("2026-01-01", 13), car}, temporary, false},
		{"resident, 13 months", []doc{tenancy("2026-01-01", 13), car}, nil, true},
		{"badge ends on the first day", []doc{bill("2026-02-01"), car, blue("2026-03-02")}, disabled, true},
		{"badge ended the day before", []doc{bill("2026-02-01"), car, blue("2026-03-01")}, disabled, false},
		{"no badge", []doc{bill("2026-02-01"), car}, disabled, false},
		{"no V5C", []doc{bill("2026-02-01")}, nil, false},
		{"no proof", []doc{car}, nil, false},
		{"never uploaded", []doc{bill("2026-02-01"), {"kind": "v5c", "sha256": strings.Repeat("0", 64)}}, nil, false},
		{"one more, never uploaded", []doc{bill("2026-02-01"), car, {"kind": "bank-statement", "issuedOn": "2026-02-01", "sha256": strings.Repeat("0", 64)}}, nil, false},
	} {
		change := doc{"uprn": house(i + 1), "evidence": row.evidence}
		for name, value := range row.change {
			change[name] = value
		}
		e := edge{name: row.name, by: "alex", path: "/accounts/" + account + "/permits", body: form("[]", change), status: 201}
		if !row.good {
			e.status, e.rule = 409, "evidence"
		}
		c.holds(t, []edge{e})
	}
	c.hold(edge{by: "alex", path: "/accounts/" + account + "/permits", body: form(others, doc{"uprn": house(40)}), status: 409, rule: "evidence"})

	id := c.buy(account, asJSON([]doc{bill("2026-02-01"), car}), true, doc{"uprn": house(41)})
	c.walk("2026-06-01T12:00:00Z")
	var moves []edge
	for name, row := range map[string]struct {
		uprn     string
		evidence []doc
		rule     string
	}{
		"same address": {house(41), []doc{tenancy("2026-06-01", 6)}, "same-address"}, "unknown": {"999999999999", []doc{tenancy("2026-06-01", 6)}, "property-unknown"},
		"another zone": {"200000000120", []doc{tenancy("2026-06-01", 6)}, "other-zone"}, "nothing": {house(42), []doc{}, "evidence"}, "a V5C": {house(42), []doc{car}, "evidence"},
		"an old bill": {house(42), []doc{bill("2026-02-28")}, "evidence"}, "a tenancy from tomorrow": {house(42), []doc{tenancy("2026-06-02", 6)}, "evidence"},
	} {
		moves = append(moves, edge{name: "move: " + name, by: "olga", path: "/permits/" + id + "/change-address", body: asJSON(doc{"uprn": row.uprn, "evidence": row.evidence}), status: 409, rule: row.rule})
	}
	c.holds(t, moves)
	c.as("rita").post("/permits/"+id+"/change-address", asJSON(doc{"uprn": house(42), "evidence": []doc{tenancy("2026-06-01", 6)}})).want(200).is("property.uprn", house(42))

	c.hold(edge{by: "rita", path: "/accounts/" + account + "/evidence/" + strings.Repeat("0", 64), status: 404})
	c.hold(edge{by: "rita", path: "/accounts/" + account + "/evidence/00", status: 400})
	got := c.as("rita").get("/accounts/" + account + "/evidence/" + proof).want(200)
	for name, want := range map[string]string{"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Content-Type": "application/pdf"} {
		if !strings.Contains(got.header.Get(name), want) {
			t.Errorf("%s is %q, want %s in it", name, got.header.Get(name), want)
		}
	}
	for i := range 20 {
		c.as("alex").upload("/accounts/"+account+"/evidence", fmt.Appendf(nil, "%%PDF-1.7 number %d", i)).want(201)
	}
	if full := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 number 21")).want(429); full.header.Get("Retry-After") == "" {
		t.Error("429 does not say when")
	}
	c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 number 0")).want(201)
}

// §3.6 and §3.11: the slots of a property, and marks.
func TestEdgesSlotsAndMarks(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	free := func(house string, want int) {
		t.Helper()
		c.as("alex").get("/properties?postcode=LE111AA&house="+house).want(200).is("items.0.slotsFree", want).is("items.0.available", want > 0)
	}
	free("17", 2)
	first := c.buy(account, evidence, true, nil)
	second := c.buy(account, evidence, false, nil)
	free("17", 0)
	c.buy(account, evidence, false, doc{"kind": "motorcycle", "months": 6})
	c.as("alex").post("/accounts/"+account+"/permits", form(evidence, nil)).refused("property-limit")
	c.as("rita").post("/permits/"+second+"/reject", rejection).want(200)
	free("17", 1) // a rejection frees at once
	c.as("alex").post("/permits/"+first+"/cancel", `{}`).want(200)
	free("17", 2)
	moving := c.buy(account, evidence, true, nil)
	c.as("olga").post("/permits/"+moving+"/change-address", fmt.Sprintf(`{"uprn":%q,"evidence":%s}`, house(18), evidence)).want(200)
	free("18", 1)
	free("17", 1) // the house it left is only free when the grace has passed
	c.as("ada").post("/demo/clock", `{"advance":"16m"}`).want(200)
	free("17", 2)
	if raw := c.as("").get("/properties?postcode=LE111AA&house=17").want(200).raw; strings.Contains(string(raw), "slotsFree") {
		t.Errorf("a stranger is told how many: %s", raw)
	}

	p := "/permits/" + moving + "/change-vehicle"
	for _, mark := range []string{"AB12CDE", "ab12-c.de", " A B 1 2 C D E "} {
		c.hold(edge{by: "alex", path: p, body: asJSON(doc{"vehicle": mark}), status: 409, rule: "same-vehicle"})
	}
	for _, mark := range []string{"", "-", "ABCDEFGHIJK", "AB12/CDE", "ÄB12", "AB12\u00a0CDE"} {
		c.hold(edge{by: "alex", path: p, body: asJSON(doc{"vehicle": mark}), status: 409, rule: "vehicle"})
	}
	for mark, want := range map[string]string{"abcdefghij": "ABCDEFGHIJ", "O1": "O1", "01": "01", "a-b.c d-1": "ABCD1"} {
		c.as("alex").post(p, asJSON(doc{"vehicle": mark})).want(200).is("vehicle", want)
	}
}

// §3.10: the order of the queue, its warnings and flags, page by page.
func TestEdgesOfTheQueue(t *testing.T) {
	s := start(t)
	c := newClient(t, s)
	account, evidence := c.resident("alex")
	badge := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 badge")).want(201).str("sha256")
	rejected := c.buy(account, evidence, false, doc{"uprn": house(1), "vehicle": "RE1"})
	c.as("rita").post("/permits/"+rejected+"/reject", rejection).want(200)
	instruct := func(next string) {
		c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":[%q]}`, account, next)).want(200)
	}
	first := c.buy(account, evidence, false, doc{"uprn": house(2), "vehicle": "AA1"})
	free := c.buy(account, strings.TrimSuffix(evidence, "]")+fmt.Sprintf(`,{"kind":"blue-badge","expiresOn":"2027-01-01","sha256":%q}]`, badge), false, doc{"kind": "disabled-resident", "uprn": house(3), "vehicle": "AA2"})
	second := c.buy(account, evidence, false, doc{"uprn": house(4), "vehicle": "AA1"})
	queue := func(want ...string) answer {
		t.Helper()
		head, err := s.Ledger.Store().Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := c.as("rita").with("Min-Position", head.String()).get("/reviews").want(200)
		var got []string
		for i := range a.at("items").([]any) {
			got = append(got, fmt.Sprint(a.at(fmt.Sprintf("items.%d.permitId", i)), " ", a.at(fmt.Sprintf("items.%d.warning", i))))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the queue is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return a
	}
	a := queue(first+" <nil>", free+" <nil>", second+" <nil>")
	a.is("items.1.holdEndsAt", nil).is("items.0.orderedBy", a.at("items.0.holdEndsAt"))
	if by, err := time.Parse(time.RFC3339Nano, a.str("items.1.orderedBy")); err != nil || by.Format(time.RFC3339Nano) <= a.str("items.0.orderedBy") {
		t.Errorf("a free application is ordered by %v (%v)", by, err)
	}
	for i, flags := range []string{"[earlier-rejection " + rejected + " same-vehicle " + second + "]", "[earlier-rejection " + rejected + "]", "[earlier-rejection " + rejected + " same-vehicle " + first + "]"} {
		var got []string
		for _, flag := range a.at(fmt.Sprintf("items.%d.flags", i)).([]any) {
			got = append(got, fmt.Sprint(flag.(map[string]any)["flag"], " ", flag.(map[string]any)["permitId"]))
		}
		slices.Sort(got)
		if fmt.Sprint(got) != flags {
			t.Errorf("flags of %d: %v, want %s", i, got, flags)
		}
	}
	c.walk("2026-03-05T09:10:00Z")
	queue(first+" 48h", free+" 48h", second+" 48h")
	c.walk("2026-03-06T09:10:00Z")
	instruct("decline")
	unpaid := c.buy(account, evidence, false, doc{"uprn": house(5), "vehicle": "AA3"})
	queue(first+" 24h", free+" 24h", second+" 24h", unpaid+" unpaid")
	c.walk("2026-03-07T09:10:00Z")
	third := c.buy(account, evidence, false, doc{"uprn": house(6), "vehicle": "AA4"})
	queue(free+" 24h", third+" <nil>", first+" lapsed", second+" lapsed")

	whole, cursor := c.as("rita").get("/reviews").want(200), ""
	for i := range 4 {
		page := c.as("rita").get("/reviews?limit=1"+cursor).want(200).is("items.0.permitId", whole.at(fmt.Sprintf("items.%d.permitId", i)))
		if i == 3 {
			page.is("next", nil)
			break
		}
		cursor = "&cursor=" + url.QueryEscape(page.str("next"))
	}
	c.as("rita").get("/reviews?limit=4").want(200).is("next", nil)
	c.hold(edge{by: "alex", path: "/accounts/" + account + "/permits?" + strings.TrimPrefix(cursor, "&"), status: 400}) // another list's cursor
}

// §2 and §3.12: parameters and headers of reads.
func TestEdgesOfReading(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, true, doc{"startsOn": "2026-03-20", "kind": "student", "months": 3})
	c.walk("2026-04-01T12:00:00Z")
	c.as("alex").post("/permits/"+id+"/change-vehicle", `{"vehicle":"ZZ1"}`).want(200)
	p := "/permits/" + id
	var edges []edge
	for _, path := range []string{"/accounts/" + account + "/permits", "/accounts", p + "/history", "/properties"} {
		sign := "?"
		if path == "/properties" {
			path, sign = path+"?postcode=LE111AA", "&"
		}
		for query, status := range map[string]int{"limit=0": 400, "limit=501": 400, "limit=-1": 400, "limit=x": 400, "limit=": 400, "limit=1e1": 400, "limit=500": 200, "limit=1": 200,
			"limit=1&limit=2": 400, "cursor=garbage": 400, "cursor=": 400, "cursor=%00": 400, "cursor=" + strings.Repeat("A", 5000): 400} {
			edges = append(edges, edge{name: "list " + path + " " + query[:min(20, len(query))], by: "alex", path: path + sign + query, status: status})
		}
	}
	for query, status := range map[string]int{"": 400, "?postcode=": 400, "?postcode=Q1A9AA": 400, "?postcode=LI10%203QP": 400, "?postcode=A1%209A": 400, "?postcode=LE11%201AAx": 400, "?postcode=%ff": 400,
		"?postcode=LE111AA&postcode=LE111AB": 400, "?postcode=le11%201aa": 200, "?postcode=ZE1%201AA": 200, "?postcode=LE111AA&house=0": 200} {
		edges = append(edges, edge{name: "properties " + query, path: "/properties" + query, status: status})
	}
	for query, status := range map[string]int{"": 200, "?on=2024-03-31": 404, "?on=2024-04-01": 200, "?on=2999-01-01": 200, "?on=2026-02-29": 400, "?on=": 400, "?on=2026-03-02T00:00:00Z": 400} {
		edges = append(edges, edge{name: "tariff " + query, path: "/tariff" + query, status: status})
	}
	for query, status := range map[string]int{"?version=2024-04-01": 200, "?version=never": 404, "?version=": 400} {
		edges = append(edges, edge{name: "terms " + query, path: "/terms-and-conditions" + query, status: status})
	}
	for query, status := range map[string]int{"asOf=x": 400, "asOf=": 400, "asOf=2026-02-30": 400, "asOf=2026-03-03T00:00:00": 400, "asOf=2026-03-03&asOf=2026-03-04": 400, "knownAt=2026-04-02": 400, "knownAt=2099-01-01T00:00:00Z": 400,
		"asOf=2026-03-02": 404, "asOf=2020-01-01": 404, "knownAt=2026-03-02T08:59:59Z": 404, "asOf=2026-03-25&knownAt=2026-03-02": 404} {
		edges = append(edges, edge{name: query, by: "alex", path: p + "?" + query, status: status})
	}
	for _, position := range []string{"x", "-1", "1.5", "0x10", "+1", "01", strings.Repeat("9", 200)} {
		for _, path := range []string{p, "/council", "/tariff", "/properties?postcode=LE111AA", "/accounts"} {
			edges = append(edges, edge{name: "Min-Position " + position[:min(9, len(position))] + " " + path, by: "alex", path: path, header: map[string]string{"Min-Position": position}, status: 400})
		}
	}
	c.holds(t, edges)
	c.as("").get("/properties?postcode=ZE1%201AA").want(200).is("items", "[]").is("next", nil)
	c.as("").get("/tariff?on=2025-03-31").want(200).is("version", "2024-04-01")
	c.as("").get("/tariff?on=2025-04-01").want(200).is("version", "2025-04-01")

	// Two clocks; and a date is its midnight in London, here in summer time.
	for query, want := range map[string]string{"asOf=2026-03-10": "upcoming AB12CDE", "asOf=2026-03-20": "active AB12CDE", "asOf=2026-03-19T23:59:59Z": "upcoming AB12CDE", "asOf=2026-06-20": "expired ZZ1",
		"asOf=2026-06-19T22:59:59Z": "active ZZ1", "asOf=2026-06-19T23:00:00Z": "expired ZZ1", "knownAt=2026-03-25": "active AB12CDE", "asOf=2026-06-20&knownAt=2026-03-03": "expired AB12CDE", "asOf=2026-04-02&knownAt=2026-04-01": "active AB12CDE"} {
		a := c.as("alex").get(p + "?" + query).want(200)
		if got := a.str("state") + " " + a.str("vehicle"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		a.is("actions", "[]")
	}

	// Nobody waits longer than two seconds for what does not come.
	began := time.Now()
	waiting := make(chan *http.Response, 2)
	for _, position := range []string{"9223372036854775807", "18446744073709551615"} {
		go func() {
			req, _ := http.NewRequest(http.MethodGet, c.base+"/api/v1"+p, nil)
			req.Header.Set("Authorization", "Bearer alex")
			req.Header.Set("Min-Position", position)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
			}
			waiting <- res
		}()
	}
	for range 2 {
		res := <-waiting
		if res == nil {
			continue
		}
		res.Body.Close()
		if took := time.Since(began); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || took < 1900*time.Millisecond || took > 10*time.Second {
			t.Errorf("%d, Retry-After %q after %v, want 503 after 2 s", res.StatusCode, res.Header.Get("Retry-After"), took)
		}
	}
	// One's own write is seen.
	for i := range 10 {
		bought := c.as("alex").with("Idempotency-Key", uuid.NewString()).post("/accounts/"+account+"/permits", form(evidence, doc{"uprn": house(30 + i)})).want(201)
		seen := c.as("rita").with("Min-Position", bought.str("position")).get("/reviews?limit=500").want(200)
		if !strings.Contains(string(seen.raw), bought.str("permitId")) {
			t.Fatalf("the queue does not have what was written before %s", bought.str("position"))
		}
	}
}
