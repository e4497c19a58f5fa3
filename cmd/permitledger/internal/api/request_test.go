package api_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/contract"
)

const (
	someSHA  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	someUUID = "5b0f7a3c-7a53-5f6e-9d1b-0a4f6f9f2d10"
)

// goodApplication can be read; each test makes one thing of it wrong.
const goodApplication = `{"kind":"resident","months":12,"uprn":"200000000017","vehicle":"AB12 CDE","startsOn":"2026-03-09","autoRenewal":true,` +
	`"termsVersion":"2025-04-01","evidence":[{"kind":"utility-bill","issuedOn":"2026-02-01","sha256":"` + someSHA + `"}],"follows":null}`

func edited(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	var m map[string]any
	must(t, json.Unmarshal([]byte(goodApplication), &m))
	change(m)
	raw, err := json.Marshal(m)
	must(t, err)
	return string(raw)
}

func TestApplicationsThatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	account, _ := h.account("alex")
	send := func(body string) answer {
		return h.send("POST", "/api/v1/accounts/"+account+"/permits", "alex", body,
			with{"Content-Type": "application/json", "Idempotency-Key": uuid.NewString()})
	}
	// That it can be read is seen by what refuses it: a rule, not the reading.
	if a := send(goodApplication).want(409); a.text("rule") != "evidence" {
		t.Fatalf("%s", a.raw)
	}
	for _, c := range []struct {
		field string
		body  string
	}{
		{"", ``}, {"", `{`}, {"", `[]`}, {"", `null`}, {"", `"x"`}, {"", `{} {}`}, {"", `{}x`}, {"", "{\"kind\":\"\xff\"}"}, {"", `{'a':1}`}, {"", `{"a":1,}`},
		{"kind", strings.Replace(goodApplication, `{`, `{"kind":"student",`, 1)},
		{"evidence[0].kind", strings.Replace(goodApplication, `[{`, `[{"kind":"v5c",`, 1)},
	} {
		if a := send(c.body).want(400); c.field != "" && a.at("field") != c.field {
			t.Errorf("%s: field %v, want %s", c.body, a.at("field"), c.field)
		}
	}

	type m = map[string]any
	item := func(name string, value any) func(m) {
		return func(a m) { a["evidence"].([]any)[0].(m)[name] = value }
	}
	set := func(name string, value any) func(m) { return func(a m) { a[name] = value } }
	without := func(name string) func(m) { return func(a m) { delete(a, name) } }
	nested := any("deep")
	for range 40 {
		nested = []any{nested}
	}
	for _, c := range []struct {
		field  string
		change func(m)
	}{
		{"kind", without("kind")}, {"kind", set("kind", "car")}, {"kind", set("kind", 1)}, {"kind", set("kind", nil)}, {"kind", set("kind", "RESIDENT")},
		{"Kind", set("Kind", "resident")},
		{"months", without("months")}, {"months", set("months", 0)}, {"months", set("months", -12)}, {"months", set("months", 12.5)},
		{"months", set("months", "12")}, {"months", set("months", json.Number("12.0"))}, {"months", set("months", json.Number("1e1"))},
		{"uprn", without("uprn")}, {"uprn", set("uprn", "")}, {"uprn", set("uprn", "2000000000171")}, {"uprn", set("uprn", "20A")}, {"uprn", set("uprn", 200000000017)},
		{"vehicle", without("vehicle")}, {"vehicle", set("vehicle", 7)}, {"vehicle", set("vehicle", strings.Repeat("A", 201))}, {"vehicle", set("vehicle", "A\x00B")},
		{"startsOn", set("startsOn", "2026-02-30")}, {"startsOn", set("startsOn", "2026-3-1")}, {"startsOn", set("startsOn", "")}, {"startsOn", set("startsOn", "2026-03-01T00:00:00Z")}, {"startsOn", set("startsOn", nil)},
		{"autoRenewal", set("autoRenewal", "yes")}, {"autoRenewal", set("autoRenewal", nil)},
		{"termsVersion", set("termsVersion", "")}, {"termsVersion", set("termsVersion", 1)},
		{"evidence", without("evidence")}, {"evidence", set("evidence", nil)}, {"evidence", set("evidence", m{})}, {"evidence", set("evidence", make([]any, 51))},
		{"evidence[0]", set("evidence", []any{"bill"})}, {"evidence[0].kind", item("kind", "passport")}, {"evidence[0].sha256", item("sha256", "abc")},
		{"evidence[0].sha256", item("sha256", strings.ToUpper(someSHA))}, {"evidence[0].issuedOn", item("issuedOn", "2025-13-01")}, {"evidence[0].signed", item("signed", 1)},
		{"evidence[0].tenancyMonths", item("tenancyMonths", 0)}, {"evidence[0].colour", item("colour", "blue")},
		{"follows.", set("follows", m{})}, {"follows.", set("follows", m{"permit": someUUID, "dispute": someUUID})}, {"follows.permit", set("follows", m{"permit": "x"})},
		{"follows", set("follows", "x")}, {"follows.permit", set("follows", m{"permit": strings.ToUpper(someUUID)})},
		{"extra", set("extra", true)}, {"extra", set("extra", nested)},
	} {
		body := edited(t, c.change)
		a := send(body).want(400)
		if got, _ := a.at("field").(string); got != c.field && !strings.HasPrefix(got, c.field+"[") {
			t.Errorf("%s: field %q, want %q", body, got, c.field)
		}
	}
}

func TestOtherBodiesThatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	account, permit, _ := h.permit("alex")
	long := strings.Repeat("é", 4001)
	for _, c := range []struct{ token, path, body, field string }{
		{"alex", "/accounts", `{}`, "name"}, {"alex", "/accounts", `{"name":" "}`, "name"}, {"alex", "/accounts", `{"name":"` + strings.Repeat("n", 201) + `"}`, "name"},
		{"alex", "/accounts", `{"name":"A","email":"nobody"}`, "email"}, {"alex", "/accounts", `{"name":"A","email":"A <a@b.example>"}`, "email"}, {"alex", "/accounts", `{"name":"A","subject":"sam"}`, "subject"},
		{"alex", "/accounts/" + account + "/change-details", `{"name":""}`, "name"}, {"alex", "/accounts/" + account + "/change-details", `{"email":null}`, "email"},
		{"rita", "/permits/" + permit + "/approve", `{}`, "basis"}, {"rita", "/permits/" + permit + "/approve", `{"basis":"whim"}`, "basis"},
		{"rita", "/permits/" + permit + "/approve", `{"basis":"policy","conditions":[1]}`, "conditions[0]"},
		{"rita", "/permits/" + permit + "/approve", `{"basis":"policy","told":"` + long + `"}`, "told"},
		{"rita", "/permits/" + permit + "/approve", `{"basis":"policy","considered":[{"result":"good"}]}`, "considered[0]."},
		{"rita", "/permits/" + permit + "/approve", `{"basis":"policy","considered":[{"check":"a","evidence":"` + someSHA + `","result":"good"}]}`, "considered[0]."},
		{"rita", "/permits/" + permit + "/approve", `{"basis":"policy","considered":[{"check":"a"}]}`, "considered[0].result"},
		{"rita", "/permits/" + permit + "/reject", `{"basis":"policy","reasons":[{"code":"because"}]}`, "reasons[0].code"},
		{"rita", "/permits/" + permit + "/reject", `{"basis":"policy","reasons":[{"text":"x"}]}`, "reasons[0].code"},
		{"rita", "/permits/" + permit + "/withdraw", `{"basis":"policy"}`, "effectiveOn"}, {"rita", "/permits/" + permit + "/withdraw", `{"basis":"policy","effectiveOn":"2026-04-31"}`, "effectiveOn"},
		{"rita", "/permits/" + permit + "/request-information", `{"what":"a bill"}`, "by"}, {"rita", "/permits/" + permit + "/request-information", `{"by":"2026-03-09"}`, "what"},
		{"alex", "/permits/" + permit + "/supply-information", `{}`, "evidence"}, {"alex", "/permits/" + permit + "/supply-information", `{"evidence":[],"note":1}`, "note"},
		{"alex", "/permits/" + permit + "/pay", `{"pence":1}`, "pence"}, {"alex", "/permits/" + permit + "/pay", ``, ""},
		{"alex", "/permits/" + permit + "/renew", `{"months":0}`, "months"}, {"alex", "/permits/" + permit + "/renew", `{"autoRenewal":"on"}`, "autoRenewal"},
		{"alex", "/permits/" + permit + "/change-vehicle", `{}`, "vehicle"}, {"olga", "/permits/" + permit + "/change-address", `{"evidence":[]}`, "uprn"},
		{"alex", "/permits/" + permit + "/cancel", `{"reason":5}`, "reason"}, {"alex", "/permits/" + permit + "/cancel-auto-renewal", `{"x":1}`, "x"},
		{"ada", "/demo/clock", `{}`, ""}, {"ada", "/demo/clock", `{"to":"2027-01-01T00:00:00Z","advance":"1h"}`, ""}, {"ada", "/demo/clock", `{"advance":"-1h"}`, "advance"},
		{"ada", "/demo/clock", `{"advance":"soon"}`, "advance"}, {"ada", "/demo/clock", `{"advance":720}`, "advance"}, {"ada", "/demo/clock", `{"to":"2027-01-01"}`, "to"},
		{"ada", "/demo/payments", `{"next":[]}`, "account"}, {"ada", "/demo/payments", `{"account":"` + someUUID + `","next":["explode"]}`, "next[0]"},
	} {
		a := h.send("POST", "/api/v1"+c.path, c.token, c.body, with{"Content-Type": "application/json", "Idempotency-Key": uuid.NewString()})
		if got, _ := a.at("field").(string); a.status != 400 || got != c.field {
			t.Errorf("%s %s: status %d, field %q, want %q", c.path, c.body, a.status, got, c.field)
		}
	}
}

func TestHeadersThatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	good := with{"Content-Type": "application/json", "Idempotency-Key": "k"}
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"Idempotency-Key", "", 400}, {"Idempotency-Key", strings.Repeat("k", 129), 400}, {"Idempotency-Key", "two words", 400}, {"Idempotency-Key", "naïve", 400},
		{"Idempotency-Key", strings.Repeat("k", 128), 201},
		{"Channel", "pigeon", 400}, {"Channel", "web", 400}, {"Channel", "phone", 201}, {"Channel", "api", 201},
		{"If-Match", `"1"`, 400},
		{"Content-Type", "text/plain", 415}, {"Content-Type", "", 415}, {"Content-Type", "application/json; charset=latin1", 415}, {"Content-Type", "application", 415},
		{"Content-Type", "application/pdf", 415}, {"Content-Type", "application/json; charset=UTF-8", 201}, {"Content-Encoding", "gzip", 415},
	} {
		headers := maps.Clone(good)
		headers["Idempotency-Key"] = uuid.NewString()
		headers[c.name] = c.value
		if a := h.send("POST", "/api/v1/accounts", "olga", `{"name":"Ann"}`, headers); a.status != c.want {
			t.Errorf("%s: %q: status %d, want %d: %s", c.name, c.value, a.status, c.want, a.raw)
		}
	}
}

func TestQueriesThatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]int{
		"/properties": 400, "/properties?postcode=Q1A+9AA": 400, "/properties?postcode=LE11": 400, "/properties?postcode=LE11+9ZZ": 200,
		"/properties?postcode=LE11+1AA&house=" + strings.Repeat("h", 201): 400, "/properties?postcode=LE11+1AA&limit=0": 400,
		"/properties?postcode=LE11+1AA&limit=501": 400, "/properties?postcode=LE11+1AA&limit=x": 400, "/properties?postcode=LE11+1AA&limit=500": 200,
		"/properties?postcode=LE11+1AA&cursor=": 400, "/properties?postcode=LE11+1AA&cursor=LTE": 400, "/properties?postcode=%zz": 400,
		"/properties?postcode=LE11+1AA&postcode=LE11+1AB": 400,
		"/tariff?on=2024-02-30":                           400, "/tariff?on=today": 400, "/tariff?on=2024-03-31": 404, "/tariff?on=2024-04-01": 200,
		"/terms-and-conditions?version=": 400, "/terms-and-conditions?version=1066": 404, "/terms-and-conditions": 200,
		"/accounts?limit=-1": 400, "/reviews?cursor=e30x": 403,
	} {
		if a := h.send("GET", "/api/v1"+path, "alex", "", nil); a.status != want {
			t.Errorf("%s: status %d, want %d: %s", path, a.status, want, a.raw)
		}
	}
	h.send("GET", "/api/v1/reviews?cursor=x", "rita", "", nil).want(400)
	h.send("GET", "/api/v1/council", "", "", with{"Min-Position": "-1"}).want(400)
	h.send("GET", "/api/v1/council", "", "", with{"Min-Position": "soon"}).want(400)
	without := h.send("GET", "/api/v1/properties?postcode=LE11+1AA", "", "", nil).want(200)
	if without.at("items.0.slotsFree") != nil {
		t.Error("a stranger is told how many slots are free")
	}
}

// unmeasured hides how long a body is.
type unmeasured struct{ io.Reader }

func TestBodiesThatAreTooLarge(t *testing.T) {
	h := newHouse(t)
	account, _ := h.account("alex")
	for _, c := range []struct {
		path, mediaType, begins string
		limit                   int
	}{
		{"/api/v1/accounts", "application/json", `{"name":"`, 1 << 20},
		{"/api/v1/accounts/" + account + "/evidence", "application/pdf", "%PDF-", 10 << 20},
	} {
		body := c.begins + strings.Repeat("x", c.limit+1-len(c.begins))
		for _, reader := range []io.Reader{strings.NewReader(body), unmeasured{strings.NewReader(body)}} {
			h.do(contract.Bad(context.Background()), "POST", c.path, "alex", reader,
				with{"Content-Type": c.mediaType, "Idempotency-Key": uuid.NewString()}).want(413)
		}
	}
}

func TestDocumentsOfAnotherType(t *testing.T) {
	h := newHouse(t)
	account, _ := h.account("alex")
	for _, c := range []struct {
		mediaType, body string
		want            int
	}{
		{"application/pdf", "%PDF-1.4", 201}, {"image/png", "\x89PNG\r\n\x1a\nrest", 201}, {"image/jpeg", "\xff\xd8\xff\xe0rest", 201},
		{"image/jpeg", "%PDF-1.4", 415}, {"application/pdf", "", 415}, {"application/pdf", " %PDF-1.4", 415}, {"image/png", "\x89PNG", 415},
		{"image/gif", "GIF89a", 415}, {"application/json", "{}", 415}, {"", "%PDF-1.4", 415}, {"image", "%PDF-1.4", 415},
	} {
		a := h.send("POST", "/api/v1/accounts/"+account+"/evidence", "alex", c.body,
			with{"Content-Type": c.mediaType, "Idempotency-Key": uuid.NewString()})
		if a.status != c.want {
			t.Errorf("%s %q: status %d, want %d", c.mediaType, c.body, a.status, c.want)
		}
	}
	send := func(mediaType, body string) answer {
		return h.send("POST", "/api/v1/accounts/"+account+"/evidence", "alex", body, with{"Content-Type": mediaType, "Idempotency-Key": "same"})
	}
	send("application/pdf", "%PDF-1.5").want(201)
	send("application/pdf", "%PDF-1.5").want(201)
	send("application/pdf", "%PDF-1.6").want(422)
}
