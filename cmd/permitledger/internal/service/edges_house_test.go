package service_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// edge is one request at an edge of the interface, and what must come of it.
type edge struct {
	name   string
	by     string // whose token; nobody's when empty
	method string // POST when there is a body, else GET
	path   string
	body   string
	header map[string]string // "" takes away what is sent by itself
	status int
	rule   string // of a refusal
}

// nobody is an id that nothing has.
const nobody = "00000000-0000-4000-8000-000000000000"

// hold sends the request and holds the answer against what must come.
func (c client) hold(e edge) answer {
	c.t.Helper()
	method, mediaType, header := e.method, "", map[string]string{}
	if method == "" {
		method = http.MethodGet
		if e.body != "" {
			method = http.MethodPost
		}
	}
	if method == http.MethodPost {
		header["Idempotency-Key"], mediaType = uuid.NewString(), "application/json"
	}
	maps.Copy(header, e.header)
	if declared, set := header["Content-Type"]; set {
		mediaType = declared
		delete(header, "Content-Type")
	}
	maps.DeleteFunc(header, func(_, value string) bool { return value == "" })
	by := caller{client: c, token: e.by, header: header}
	if e.status >= 400 && e.status != http.StatusConflict {
		by = by.wrong()
	}
	a := by.do(method, e.path, []byte(e.body), mediaType)
	if a.status != e.status {
		c.t.Fatalf("%s %s by %q: status %d, want %d: %s", method, e.path, e.by, a.status, e.status, a.raw)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		c.t.Errorf("Cache-Control is %q, want no-store", got)
	}
	if e.status >= 400 && e.status != http.StatusConflict && a.body["rule"] != nil {
		c.t.Errorf("only a refusal has a rule: %s", a.raw)
	}
	if e.status == http.StatusConflict && a.str("rule") != e.rule {
		c.t.Fatalf("%s: refused by %s, want %s: %s", e.path, a.str("rule"), e.rule, a.raw)
	}
	return a
}

// holds runs a table, each row as a test of its own.
func (c client) holds(t *testing.T, edges []edge) {
	t.Helper()
	for _, e := range edges {
		t.Run(e.name, func(t *testing.T) {
			one := c
			one.t = t
			one.hold(e)
		})
	}
}

// doc is one item of evidence as JSON.
type doc map[string]any

// form is an application that can be changed member by member. A nil takes the
// member away.
func form(evidence string, change doc) string {
	members := doc{"kind": "resident", "months": 12, "uprn": "200000000017", "vehicle": "AB12 CDE", "evidence": json.RawMessage(evidence)}
	for name, value := range change {
		if value == nil {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	return asJSON(members)
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // the tests' own values can be written
	}
	return string(raw)
}

// house gives the n-th property of zone LB2.
func house(n int) string { return fmt.Sprintf("2000000000%02d", n) }

// buy applies for a permit and, when it shall be approved, approves it.
func (c client) buy(account, evidence string, approved bool, change doc) (id string) {
	c.t.Helper()
	id = c.as("alex").post("/accounts/"+account+"/permits", form(evidence, change)).want(201).str("permitId")
	if approved {
		c.as("rita").post("/permits/"+id+"/approve", approval).want(200)
	}
	return id
}

const rejection = `{"basis":"policy","reasons":[{"code":"name-mismatch","text":"The bill is another's."}],"considered":[{"check":"name","result":"differs"}],"told":"No."}`

// types lists the events of a permit's history.
func (c client) types(id string) string {
	c.t.Helper()
	history := c.as("aude").get("/permits/" + id + "/history?limit=500").want(200)
	var all []string
	for i := range history.at("items").([]any) {
		all = append(all, history.str(fmt.Sprintf("items.%d.type", i)))
	}
	return strings.Join(all, " ")
}
