package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/contract"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
)

// morning is when the tests' simulated clock begins: a Monday in London.
var morning = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// grants are the tests' callers; a token is its subject's name.
var grants = []api.Grant{
	{Token: "alex", Subject: "alex", Role: domain.RoleResident},
	{Token: "sam", Subject: "sam", Role: domain.RoleResident},
	{Token: "olga", Subject: "olga", Role: domain.RoleOperator},
	{Token: "rita", Subject: "rita", Role: domain.RoleReviewer},
	{Token: "alex-reviews", Subject: "alex", Role: domain.RoleReviewer},
	{Token: "dana", Subject: "dana", Role: domain.RoleDisputes},
	{Token: "ed", Subject: "ed", Role: domain.RoleEnforcement},
	{Token: "aude", Subject: "aude", Role: domain.RoleAuditor},
	{Token: "ron", Subject: "ron", Role: domain.RoleReporting},
	{Token: "ada", Subject: "ada", Role: domain.RoleAdmin},
}

// testConfig is what the tests' services have in common.
func testConfig(t testing.TB) service.Config {
	t.Helper()
	tokens, err := api.NewTokens(grants...)
	if err != nil {
		t.Fatal(err)
	}
	cfg := service.Config{Listen: "127.0.0.1:0", Tokens: tokens, Council: council.Sample(), DemoClock: morning}
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return cfg
}

// start runs a whole service on a folder of its own.
func start(t testing.TB, change ...func(*service.Config)) *service.Service {
	t.Helper()
	s := begun(t, change...)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the service: %v", err)
		}
	})
	return s
}

// begun is start for a test that closes the service.
func begun(t testing.TB, change ...func(*service.Config)) *service.Service {
	t.Helper()
	s, err := tryStart(t, change...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryStart is begun for a service that may refuse.
func tryStart(t testing.TB, change ...func(*service.Config)) (*service.Service, error) {
	t.Helper()
	cfg := testConfig(t)
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Data == "" {
		cfg.Data = folder(t)
	}
	return service.Open(t.Context(), cfg)
}

// folder is a temporary folder with a name short enough for a socket in it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// client calls a service as somebody. Every exchange is held against the
// OpenAPI document.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func newClient(t *testing.T, s *service.Service) client {
	return client{t: t, base: "http://" + s.Addr(), http: &http.Client{Transport: contract.New(t).Transport(nil)}}
}

// answer is a response with its body decoded.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// at reads a member of the body by its path, such as "payment.state".
func (a answer) at(path string) any {
	a.t.Helper()
	var v any = a.body
	for _, key := range strings.Split(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(node) {
				a.t.Fatalf("no %s in %s", path, a.raw)
			}
			v = node[i]
		default:
			a.t.Fatalf("no %s in %s", path, a.raw)
		}
	}
	return v
}

// str reads a member that is text.
func (a answer) str(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s is not text in %s", path, a.raw)
	}
	return s
}

// want fails the test when the status is another.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

// refused fails the test unless a rule of the domain said no.
func (a answer) refused(rule string) answer {
	a.t.Helper()
	a.want(http.StatusConflict)
	if got := a.str("rule"); got != rule {
		a.t.Fatalf("refused by %s, want %s: %s", got, rule, a.raw)
	}
	return a
}

// is fails the test when a member has another value.
func (a answer) is(path string, want any) answer {
	a.t.Helper()
	if got := a.at(path); fmt.Sprint(got) != fmt.Sprint(want) {
		a.t.Fatalf("%s is %v, want %v: %s", path, got, want, a.raw)
	}
	return a
}

// as is a client with a token.
type caller struct {
	client
	token  string
	header map[string]string
	bad    bool // the request is meant to be wrong
}

// wrong marks requests that are meant to be wrong: only their answers are held
// against the OpenAPI document.
func (c caller) wrong() caller {
	c.bad = true
	return c
}

func (c client) as(token string) caller { return caller{client: c, token: token} }

func (c caller) with(name, value string) caller {
	header := map[string]string{name: value}
	for k, v := range c.header {
		header[k] = v
	}
	c.header = header
	return c
}

func (c caller) get(path string) answer {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil, "")
}

// post gives a command with a key of its own.
func (c caller) post(path, body string) answer {
	c.t.Helper()
	if c.header["Idempotency-Key"] == "" {
		c = c.with("Idempotency-Key", uuid.NewString())
	}
	return c.do(http.MethodPost, path, []byte(body), "application/json")
}

// upload sends a document.
func (c caller) upload(path string, document []byte) answer {
	c.t.Helper()
	return c.with("Idempotency-Key", uuid.NewString()).do(http.MethodPost, path, document, http.DetectContentType(document))
}

func (c caller) do(method, path string, body []byte, mediaType string) answer {
	c.t.Helper()
	if !strings.HasPrefix(path, "/healthz") && !strings.HasPrefix(path, "/readyz") && !strings.HasPrefix(path, "/metrics") {
		path = "/api/v1" + path
	}
	ctx := c.t.Context()
	if c.bad {
		ctx = contract.Bad(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{t: c.t, status: res.StatusCode, header: res.Header}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		c.t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.body) // what is no JSON object is looked at raw
	return a
}

// resident opens an account with a bill and a V5C, and gives the account and
// the evidence of an application as JSON.
func (c client) resident(token string) (account, evidence string) {
	c.t.Helper()
	account = c.as(token).post("/accounts", fmt.Sprintf(`{"name":"%s Example","email":"%s@example.org"}`, token, token)).want(201).str("accountId")
	bill := c.as(token).upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 bill of "+token)).want(201).str("sha256")
	v5c := c.as(token).upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 v5c of "+token)).want(201).str("sha256")
	return account, fmt.Sprintf(`[{"kind":"utility-bill","issuedOn":"2026-02-20","sha256":"%s"},{"kind":"v5c","sha256":"%s"}]`, bill, v5c)
}

func application(evidence string) string {
	return `{"kind":"resident","months":12,"uprn":"200000000017","vehicle":"AB12 CDE","autoRenewal":true,"evidence":` + evidence + `}`
}

const approval = `{"basis":"policy","considered":[{"check":"name and address","result":"match"}],"told":"Your permit was approved."}`
