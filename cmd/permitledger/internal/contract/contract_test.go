package contract_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"permitledger/cmd/permitledger/internal/contract"
	"permitledger/docs"
)

// listener is a test that notes what a Checker says of it.
type listener struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (l *listener) Helper() {}

func (l *listener) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

// answer is what the tiny server says to everything.
type answer struct {
	status int
	media  string
	header map[string]string
	body   string
}

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", a.media)
	w.Header().Set("Cache-Control", "no-store")
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

const (
	id      = "5b0f7a3c-7a53-5f6e-9d1b-0a4f6f9f2d10"
	sha     = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	opened  = `{"accountId":"` + id + `","revision":0,"position":"7"}`
	problem = `{"type":"urn:permitledger:problem:malformed","title":"t","status":400,"detail":"d","code":"malformed"}`
)

// example gives the document's own example of a schema, as JSON.
func example(t *testing.T, schema string) string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc.Components.Schemas[schema].Value.Example)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func command(path, body string) *http.Request {
	r, _ := http.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer t")
	r.Header.Set("Idempotency-Key", "k1")
	r.Header.Set("Content-Type", "application/json")
	return r
}

func query(path string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer t")
	return r
}

func with(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

func without(r *http.Request, name string) *http.Request {
	r.Header.Del(name)
	return r
}

func bad(r *http.Request) *http.Request { return r.WithContext(contract.Bad(r.Context())) }

func TestChecker(t *testing.T) {
	const accounts, permit = "/api/v1/accounts", "/api/v1/permits/" + id
	created := answer{201, "application/json", nil, opened}
	wrong := answer{400, "application/problem+json", nil, problem}
	active := answer{200, "application/json; charset=utf-8", map[string]string{"ETag": `"1"`}, example(t, "Permit")}
	pending := answer{201, "application/json", map[string]string{"ETag": `"0"`}, example(t, "PermitAnswer")}
	document := answer{200, "image/png", map[string]string{"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; sandbox"}, "\x89PNG\x00\xff"}
	uploaded := answer{201, "application/json", nil, example(t, "EvidenceUploaded")}
	refused := func(body string) answer { return answer{409, "application/problem+json", nil, body} }
	stray := func(a answer, old, new string) answer { a.body = strings.Replace(a.body, old, new, 1); return a }

	tests := []struct {
		name   string
		req    *http.Request
		answer answer
		want   string // part of the complaint; empty: there is none
	}{
		{"a good command", command(accounts, `{"name":"A"}`), created, ""},
		{"an application", command(accounts+"/"+id+"/permits", example(t, "Application")), pending, ""},
		{"a permit", query(permit + "?asOf=2027-03-03&knownAt=2027-03-03T10:14:00Z"), active, ""},
		{"a document up", with(command(accounts+"/"+id+"/evidence", "\x89PNG\x00\xff"), "Content-Type", "image/png"), uploaded, ""},
		{"a document down", query(accounts + "/" + id + "/evidence/" + sha), document, ""},
		{"the document itself", without(query("/api/v1/openapi.yaml"), "Authorization"), answer{200, "application/yaml", nil, string(docs.OpenAPI)}, ""},
		{"metrics", query("/metrics"), answer{200, "text/plain; version=0.0.4; charset=utf-8", nil, "up 1\n"}, ""},
		{"not ready", query("/readyz"), answer{503, "application/json", nil, example(t, "Starting")}, ""},

		{"no key", without(command(accounts, `{"name":"A"}`), "Idempotency-Key"), created, `"Idempotency-Key": value is required`},
		{"a key that is not ASCII", with(command(accounts, `{"name":"A"}`), "Idempotency-Key", "clé"), created, `"Idempotency-Key"`},
		{"another channel", with(command(accounts, `{"name":"A"}`), "Channel", "pigeon"), created, `"Channel"`},
		{"no token", without(command(accounts, `{"name":"A"}`), "Authorization"), created, "bearer token"},
		{"an unknown member", command(accounts, `{"name":"A","age":7}`), created, `property "age" is unsupported`},
		{"a long name", command(accounts, `{"name":"`+strings.Repeat("x", 201)+`"}`), created, "/name: maximum string length is 200"},
		{"a body that a query has not", with(func() *http.Request { r := command(permit, "{}"); r.Method = "GET"; return r }(), "X", "y"), active, "body not allowed"},
		{"an unknown parameter", query(permit + "?at=2027-03-03"), active, `query parameter "at"`},
		{"another type of document", with(command(accounts+"/"+id+"/evidence", "x"), "Content-Type", "application/octet-stream"), uploaded, "octet-stream"},
		{"an unknown path", query("/api/v1/nothing"), active, "no matching operation"},
		{"an unknown method", func() *http.Request { r := query(permit); r.Method = "DELETE"; return r }(), active, "method not allowed"},

		{"an unknown status", query(permit), answer{418, "application/problem+json", nil, problem}, "status is not supported"},
		{"an unknown member answered", command(accounts, `{"name":"A"}`), stray(created, "{", `{"x":1,`), `property "x" is unsupported`},
		{"a member missing", query(permit), stray(active, `"warnings"`, `"alerts"`), `property "warnings" is missing`},
		{"null for a list", query(permit), stray(active, `"warnings":[]`, `"warnings":null`), "/warnings: "},
		{"a position in a read", query(permit), stray(active, "{", `{"position":"7",`), `property "position" is unsupported`},
		{"a cached answer", query(permit), answer{200, active.media, map[string]string{"ETag": `"1"`, "Cache-Control": "private"}, active.body}, "Cache-Control"},
		{"no ETag", query(permit), answer{200, active.media, nil, active.body}, `"ETag" missing`},
		{"an ETag of another revision", query(permit), answer{200, active.media, map[string]string{"ETag": `"2"`}, active.body}, "the revision says"},
		{"another media type", query(permit), answer{200, "text/html", map[string]string{"ETag": `"1"`}, "<p>"}, "text/html"},
		{"a document shown in place", query(accounts + "/" + id + "/evidence/" + sha), answer{200, "image/png", map[string]string{"Content-Disposition": "inline",
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}, "x"}, "Content-Disposition"},
		{"a refusal without its rule", command(permit+"/cancel", `{}`), refused(strings.ReplaceAll(problem, "400", "409")), `property "rule" is missing`},
		{"a rule nobody knows", command(permit+"/cancel", `{}`), refused(strings.ReplaceAll(problem, `400,`, `409,"rule":"mood",`)), "/rule: "},

		{"a bad request", bad(command(accounts, `{"name":7`)), wrong, ""},
		{"a bad request and a bad answer", bad(command(accounts, `{}`)), stray(wrong, `"code":"malformed"`, `"code":"other"`), "/type: "},
		{"a problem of another status", bad(command(accounts, `{}`)), stray(wrong, "400", "401"), "/status: 401 in an answer 400"},
		{"a bad path", bad(query("/api/v1/nothing")), wrong, ""},
		{"a bad path without a problem", bad(query("/api/v1/nothing")), answer{404, "text/plain", nil, "no"}, "text/plain"},
		{"a page", bad(query("/index.html")), answer{200, "text/html", nil, "<p>"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			heard := &listener{TB: t}
			client := &http.Client{Transport: contract.New(heard).Transport(nil)}
			u, err := test.req.URL.Parse(server.URL + test.req.URL.RequestURI())
			if err != nil {
				t.Fatal(err)
			}
			test.req.URL = u
			resp, err := client.Do(test.req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != test.answer.body {
				t.Errorf("the caller reads %q, %v", body, err)
			}
			said := strings.Join(heard.said, "\n")
			if test.want == "" && said != "" || !strings.Contains(said, test.want) {
				t.Errorf("complaint %q, want %q", said, test.want)
			}
			if strings.Contains(said, "\nSchema:") {
				t.Errorf("the complaint prints a schema: %s", said)
			}
		})
	}
}

func TestCoverage(t *testing.T) {
	seen := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- r.Method + string(body)
		answer{201, "application/json", nil, opened}.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := contract.New(t)
	all := len(c.Uncovered())
	client := &http.Client{Transport: c.Transport(server.Client().Transport)}

	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			resp, err := client.Do(command(server.URL+"/api/v1/accounts", `{"name":"A"}`).WithContext(context.Background()))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		})
	}
	callers.Wait()
	for range 20 {
		if got := <-seen; got != `POST{"name":"A"}` {
			t.Errorf("the server received %s", got)
		}
	}
	if got := c.Exercised(); !slices.Equal(got, []string{"POST /api/v1/accounts 201"}) {
		t.Errorf("exercised %v", got)
	}
	left := c.Uncovered()
	if len(left) != all-1 || slices.Contains(left, "POST /api/v1/accounts") || !slices.Contains(left, "GET /api/v1/accounts") {
		t.Errorf("uncovered %v", left)
	}
}
