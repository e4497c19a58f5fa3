package service_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// §3.1: what is looked at first wins.
func TestEdgesOrderOfTheChecks(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, false, nil)
	big, none := `{"name":"`+strings.Repeat("a", 1<<20)+`"}`, map[string]string{"Idempotency-Key": ""}
	stale := map[string]string{"If-Match": `"7"`}
	c.holds(t, []edge{
		{name: "401 before 403", path: "/reviews", status: 401},
		{name: "401 before 404", by: "stranger", path: "/permits/" + nobody, status: 401},
		{name: "401 before 413", by: "stranger", path: "/accounts", body: big, status: 401},
		{name: "401 also where no token is needed", by: "stranger", path: "/tariff", status: 401},
		{name: "403 before 413", by: "ron", path: "/accounts", body: big, status: 403},
		{name: "403 before 404", by: "ron", path: "/permits/" + nobody, status: 403},
		{name: "404 before 415", by: "sam", path: "/permits/" + id + "/cancel", body: "{", header: map[string]string{"Content-Type": "text/plain"}, status: 404},
		{name: "404 before 400", by: "sam", path: "/permits/" + id + "/cancel", body: "{", header: none, status: 404},
		{name: "413 before 400", by: "alex", path: "/accounts", body: big, header: none, status: 413},
		{name: "415 before 400", by: "alex", path: "/accounts", body: "{", header: map[string]string{"Content-Type": "text/plain", "Idempotency-Key": ""}, status: 415},
		{name: "400 before 412", by: "alex", path: "/permits/" + id + "/cancel", body: "{", header: stale, status: 400},
		{name: "412 before 409", by: "alex", path: "/permits/" + id + "/renew", body: "{}", header: stale, status: 412},
		{name: "409 last", by: "alex", path: "/permits/" + id + "/renew", body: "{}", header: map[string]string{"If-Match": `"0"`}, status: 409, rule: "not-live"},
	})
}

// §2 and §3.2: a resident's foreign object does not exist; staff in a role
// that may not are told so; and an unreadable body only matters to who may.
func TestEdgesWhoMay(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, false, nil)
	sha := c.as("alex").upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 a third")).want(201).str("sha256")
	callers := map[string]string{"alex": "owner", "sam": "stranger", "olga": "operator", "rita": "reviewer", "dana": "disputes", "ed": "enforcement", "aude": "auditor", "ron": "reporting", "ada": "admin"}
	a, p := "/accounts/"+account, "/permits/"+id
	for _, route := range []struct{ method, path, may string }{
		{"GET", a, "owner operator reviewer disputes"},
		{"GET", a + "/evidence/" + sha, "owner reviewer disputes auditor"},
		{"GET", a + "/permits", "owner operator reviewer"},
		{"GET", p, "owner operator reviewer disputes auditor"},
		{"GET", p + "/history", "owner operator reviewer disputes auditor"},
		{"GET", "/reviews", "reviewer"},
		{"POST", a + "/change-details", "owner operator"},
		{"POST", a + "/evidence", "owner operator"},
		{"POST", a + "/permits", "owner operator"},
		{"POST", p + "/approve", "reviewer"},
		{"POST", p + "/reject", "reviewer"},
		{"POST", p + "/request-information", "reviewer"},
		{"POST", p + "/withdraw", "reviewer"},
		{"POST", p + "/supply-information", "owner operator"},
		{"POST", p + "/pay", "owner operator"},
		{"POST", p + "/renew", "owner operator"},
		{"POST", p + "/change-vehicle", "owner operator"},
		{"POST", p + "/change-address", "operator reviewer"},
		{"POST", p + "/cancel", "owner operator"},
		{"POST", p + "/cancel-auto-renewal", "owner operator"},
		{"POST", "/demo/clock", "admin"},
		{"POST", "/demo/payments", "admin"},
	} {
		t.Run(route.method+" "+strings.NewReplacer(account, "id", id, "id", sha, "sha").Replace(route.path), func(t *testing.T) {
			one := c
			one.t = t
			for token, role := range callers {
				e := edge{by: token, method: route.method, path: route.path, status: 200}
				foreign := strings.Contains(route.path, "/accounts/") || strings.Contains(route.path, "/permits/")
				switch may := strings.Contains(" "+route.may+" ", " "+role+" "); {
				case role == "stranger" && foreign:
					e.status = 404
				case !may:
					e.status = 403
				case route.method == "POST" && strings.HasSuffix(route.path, "/evidence"):
					e.status = 415
				case route.method == "POST":
					e.status = 400
				}
				if route.method == "POST" {
					e.body = "{"
				}
				one.hold(e)
				if foreign && (e.status == 404 || e.status == 400) {
					e.path, e.status = strings.NewReplacer(account, nobody, id, nobody).Replace(e.path), 404
					one.hold(e)
				}
			}
		})
	}
}

func TestEdgesPathsAndMethods(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.buy(account, evidence, false, nil)
	p := "/permits/" + id
	var edges []edge
	for _, path := range []string{"", "/", "/nothing", "/permits", "/permits/", p + "/", p + "/bogus", p + "/history/", "/Permits/" + id, "//permits/" + id,
		"/permits//" + id, "/permits/../permits/" + id, p + "%2Fhistory", p + "%2fhistory", "/permits%2F" + id, "/searches?q=a", "/feed"} {
		edges = append(edges, edge{name: "no such path " + path, by: "rita", path: path, status: 404})
	}
	for _, name := range []string{strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "{" + id + "}", id + "%20", "%00", "%ff", "P-7K4M-9QXD-3F", strings.Repeat("x", 300)} {
		edges = append(edges, edge{name: "not an id " + name, by: "rita", path: "/permits/" + name, status: 400})
	}
	for _, method := range []string{"OPTIONS", "PUT", "PATCH", "DELETE", "FROB"} {
		for _, path := range []string{p, "/tariff", p + "/approve", "/demo/clock"} {
			edges = append(edges, edge{name: method + " " + path, by: "alex", method: method, path: path, status: 405})
		}
	}
	edges = append(edges, edge{name: "GET of a command", by: "rita", path: p + "/approve", status: 405},
		edge{name: "POST to a read", by: "rita", method: "POST", path: "/reviews", body: "{}", status: 405},
		edge{name: "POST to health", method: "POST", path: "/healthz", status: 405})
	c.holds(t, edges)
	if got := c.as("alex").wrong().do(http.MethodPut, p, nil, "").header.Get("Allow"); got != "GET" {
		t.Errorf("Allow is %q, want GET", got)
	}
	res, err := http.Head(c.base + "/api/v1/tariff") // by itself: its problem has no body to hold against the document
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 405 {
		t.Errorf("HEAD: status %d, want 405", res.StatusCode)
	}
}

func TestEdgesTokens(t *testing.T) {
	c := newClient(t, start(t))
	for name, header := range map[string]string{"another scheme": "Basic YWxleDo=", "no scheme": "alex", "no token": "Bearer", "two tokens": "Bearer alex sam", "a list": "Bearer alex,sam"} {
		got := c.hold(edge{name: name, path: "/accounts", header: map[string]string{"Authorization": header}, status: 401})
		if got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", name)
		}
	}
	c.as("").wrong().with("Authorization", "bearer alex").get("/accounts").want(200)
}

// §3.2: 400 is what cannot be read, whatever the rules of the ledger are.
func TestEdgesUnreadable(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	var edges []edge
	for name, body := range map[string]string{
		"empty": " ", "null": "null", "an array": "[]", "a string": `"x"`, "a number": "1", "cut off": `{"name":"x"`, "trailing data": `{"name":"x"}x`,
		"two values": `{"name":"x"}{}`, "a name twice": `{"name":"x","name":"y"}`, "a name twice, spelt otherwise": `{"name":"x","n\u0061me":"y"}`,
		"another type": `{"name":1}`, "null for text": `{"name":null}`, "unknown member": `{"name":"x","zzz":1}`, "name in another case": `{"Name":"x"}`,
		"missing": `{}`, "says nothing": `{"name":"   "}`, "huge number": `{"name":1e999999}`, "deep": `{"name":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"not UTF-8": "{\"name\":\"\xff\xfe\"}", "NUL": `{"name":"a\u0000b"}`, "raw NUL": "{\"name\":\"a\x00b\"}", "half a surrogate pair": `{"name":"\ud800"}`,
		"halves the wrong way round": `{"name":"\udc00\ud800"}`, "half a pair as a member": `{"name":"x","\udbff":1}`,
		"bell": `{"name":"a\u0007b"}`, "byte order mark": "\xef\xbb\xbf{\"name\":\"x\"}", "trailing comma": `{"name":"x",}`, "NaN": `{"name":NaN}`,
		"201 characters": `{"name":"` + strings.Repeat("é", 201) + `"}`, "no address": `{"name":"x","email":"nope"}`, "two addresses": `{"name":"x","email":"a@b.org,c@d.org"}`,
		"address with a line": `{"name":"x","email":"a@b.org\nBcc: c@d.org"}`,
	} {
		edges = append(edges, edge{name: "account: " + name, by: "alex", path: "/accounts", body: body, status: 400})
	}
	for name, change := range map[string]doc{
		"kind": {"kind": "vip"}, "no kind": {"kind": nil}, "months 0": {"months": 0}, "months below": {"months": -1}, "months as text": {"months": "12"}, "half months": {"months": 12.5},
		"UPRN of 13": {"uprn": "1234567890123"}, "UPRN of letters": {"uprn": "abc"}, "UPRN as number": {"uprn": 200000000017}, "UPRN of other digits": {"uprn": "٢٠٠"},
		"no such day": {"startsOn": "2026-02-30"}, "day without zeros": {"startsOn": "2026-3-2"}, "instant for a day": {"startsOn": "2026-03-02T00:00:00Z"},
		"autoRenewal as text": {"autoRenewal": "yes"}, "no vehicle": {"vehicle": nil}, "evidence of no kind": {"evidence": []doc{{"kind": "passport", "sha256": strings.Repeat("0", 64)}}},
		"SHA-256 too short": {"evidence": []doc{{"kind": "v5c", "sha256": "00"}}}, "SHA-256 in upper case": {"evidence": []doc{{"kind": "v5c", "sha256": strings.Repeat("A", 64)}}},
		"unknown member inside": {"evidence": []doc{{"kind": "v5c", "sha256": strings.Repeat("0", 64), "mark": "x"}}}, "evidence is an object": {"evidence": doc{}},
		"follows both": {"follows": doc{"permit": nobody, "dispute": nobody}}, "follows neither": {"follows": doc{}}, "follows no id": {"follows": doc{"permit": "x"}},
		"51 documents": {"evidence": make([]doc, 51)},
	} {
		edges = append(edges, edge{name: "application: " + name, by: "alex", path: "/accounts/" + account + "/permits", body: form(evidence, change), status: 400})
	}
	for _, key := range []string{"", "a b", "a\tb", "caf\xe9", strings.Repeat("k", 129)} {
		edges = append(edges, edge{name: fmt.Sprintf("key %q", key), by: "alex", path: "/accounts", body: `{"name":"x"}`, header: map[string]string{"Idempotency-Key": key}, status: 400})
	}
	for _, channel := range []string{"web", "system", "fax", "PHONE"} {
		edges = append(edges, edge{name: "channel " + channel, by: "olga", path: "/accounts", body: `{"name":"x"}`, header: map[string]string{"Channel": channel}, status: 400})
	}
	for _, match := range []string{"0", `W/"0"`, "*", `""`, `"x"`, `"-1"`, `"00"`, `"0", "1"`, `"0"x`} {
		edges = append(edges, edge{name: "If-Match " + match, by: "alex", path: "/accounts/" + account + "/change-details", body: `{"phone":"1"}`, header: map[string]string{"If-Match": match}, status: 400})
	}
	for _, body := range []string{`{}`, `{"advance":"-1h"}`, `{"advance":"1d"}`, `{"advance":3600}`, `{"to":"2029-01-01"}`, `{"to":null}`, `{"to":"2029-01-01T00:00:00Z","advance":"1h"}`} {
		edges = append(edges, edge{name: "clock " + body, by: "ada", path: "/demo/clock", body: body, status: 400})
	}
	c.holds(t, edges)

	// Odd and valid all the same.
	for _, name := range []string{strings.Repeat("𝒜", 200), "👩‍👩‍👧", "O’Neill-Ó Dálaigh", "李", "\u202eabc", strings.Repeat("ﷺ", 200)} {
		c.as("sam").post("/accounts", asJSON(doc{"name": name})).want(201)
	}
	c.as("sam").post("/accounts", `{"name":"\ud83d\udc4b \ufffd"}`).want(201)
	c.as("sam").with("Idempotency-Key", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").post("/accounts", `{"name":"x"}`).want(201)
	c.as("sam").with("Idempotency-Key", strings.Repeat("k", 128)).post("/accounts", `{"name":"x"}`).want(201)
	for _, channel := range []string{"phone", "email", "post", "api"} {
		c.as("olga").with("Channel", channel).post("/accounts", `{"name":"x"}`).want(201)
	}
}

// §3.2: 409 is what needs policy, gazetteer, clock, evidence or state to know.
func TestEdgesRefusedApplications(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	_, others := c.resident("sam")
	pending := c.buy(account, evidence, false, nil)
	var edges []edge
	for name, row := range map[string]struct {
		rule   string
		change doc
	}{
		"one month": {"kind-months", doc{"months": 1}}, "months of another kind": {"kind-months", doc{"months": 3}}, "very many months": {"kind-months", doc{"months": 1 << 31}},
		"more months than there are": {"kind-months", doc{"months": 1e18}}, "terms never published": {"kind-months", doc{"termsVersion": "1999"}},
		"unknown UPRN": {"property-unknown", doc{"uprn": "999999999999"}}, "no mark": {"vehicle", doc{"vehicle": " - . "}}, "11 characters": {"vehicle", doc{"vehicle": "ABCDEFGHIJK"}},
		"underscore": {"vehicle", doc{"vehicle": "AB12_CDE"}}, "not ASCII": {"vehicle", doc{"vehicle": "ＡＢ１２"}}, "tab": {"vehicle", doc{"vehicle": "AB12\tCDE"}},
		"yesterday": {"first-day", doc{"startsOn": "2026-03-01"}}, "31 days ahead": {"first-day", doc{"startsOn": "2026-04-02"}}, "no evidence": {"evidence", doc{"evidence": []doc{}}},
		"another's evidence": {"evidence", nil}, "follows nothing": {"follows", doc{"follows": doc{"permit": nobody}}},
		"follows no dispute": {"follows", doc{"follows": doc{"dispute": nobody}}}, "follows a pending one": {"follows", doc{"follows": doc{"permit": pending}}},
	} {
		body := form(evidence, row.change)
		if name == "another's evidence" {
			body = form(others, nil)
		}
		edges = append(edges, edge{name: name, by: "alex", path: "/accounts/" + account + "/permits", body: body, status: 409, rule: row.rule})
	}
	c.holds(t, edges)

	c.buy(account, evidence, false, doc{"startsOn": "2026-04-01"}) // 30 days ahead
	c.hold(edge{by: "alex", path: "/accounts/" + account + "/permits", body: form(evidence, nil), status: 409, rule: "property-limit"})
	c.buy(account, evidence, false, doc{"kind": "motorcycle", "months": 6}) // does not count
}

// §2: what is too large is refused, and the answer arrives although the
// client is still sending.
func TestEdgesSizes(t *testing.T) {
	s := start(t)
	c := newClient(t, s)
	account, _ := c.resident("alex")
	whole := `{"name":"x"` + strings.Repeat(" ", 1<<20-12) + `}`
	c.as("alex").post("/accounts", whole).want(201)
	c.hold(edge{by: "alex", path: "/accounts", body: whole + " ", status: 413})
	document := append([]byte("%PDF-1.7"), bytes.Repeat([]byte("x"), 10<<20-8)...)
	c.as("alex").upload("/accounts/"+account+"/evidence", document).want(201)

	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "POST /api/v1/accounts/%s/evidence HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alex\r\nIdempotency-Key: large\r\nContent-Type: application/pdf\r\nContent-Length: %d\r\n\r\n", account, len(document)+1)
	if _, err := conn.Write(append(document, 'x')); err != nil {
		t.Fatalf("the service hung up before it was told everything: %v", err)
	}
	head := make([]byte, len("HTTP/1.1 413"))
	if _, err := conn.Read(head); err != nil || string(head) != "HTTP/1.1 413" {
		t.Fatalf("%q (%v), want 413", head, err)
	}

	for mediaType, body := range map[string]string{"image/png": "%PDF-1.7", "application/pdf": "\x89PNG\r\n\x1a\n", "image/svg+xml": "<svg/>", "text/plain": "hello", "application/json": "{}", "": "%PDF-1.7", "image/jpeg": ""} {
		c.hold(edge{by: "alex", method: "POST", path: "/accounts/" + account + "/evidence", body: body, header: map[string]string{"Content-Type": mediaType}, status: 415})
	}
	for _, mediaType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json", "application/json; charset=latin1"} {
		c.hold(edge{by: "alex", path: "/accounts", body: `{"name":"x"}`, header: map[string]string{"Content-Type": mediaType}, status: 415})
	}
	c.hold(edge{by: "alex", path: "/accounts", body: `{"name":"x"}`, header: map[string]string{"Content-Type": "application/json; charset=UTF-8"}, status: 201})
}
