package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/contract"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/desk/desktest"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/access"
	"permitledger/projections/accounts"
	"permitledger/projections/audit"
	"permitledger/projections/reviews"
	"permitledger/projections/search"
)

// opening is when a test's clock begins: a Monday morning in London.
var opening = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// grants are the callers of the tests; a token is the name of its subject.
var grants = []api.Grant{
	{Token: "alex", Subject: "alex", Role: domain.RoleResident},
	{Token: "sam", Subject: "sam", Role: domain.RoleResident},
	{Token: "olga", Subject: "olga", Role: domain.RoleOperator},
	{Token: "rita", Subject: "rita", Role: domain.RoleReviewer},
	{Token: "dana", Subject: "dana", Role: domain.RoleDisputes},
	{Token: "ed", Subject: "ed", Role: domain.RoleEnforcement},
	{Token: "aude", Subject: "aude", Role: domain.RoleAuditor},
	{Token: "ron", Subject: "ron", Role: domain.RoleReporting},
	{Token: "ada", Subject: "ada", Role: domain.RoleAdmin},
}

// house is the interface over a desk on a node in memory, with its read
// models and the sample council. Every answer is held against the document.
type house struct {
	t       testing.TB
	desk    *desk.Desk
	clock   *clock.Simulated
	handler http.Handler
	client  *http.Client
	log     *syncBuffer
	demo    *demo
}

func newHouse(t testing.TB, change ...func(*api.Config)) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{t: t, clock: clock.NewSimulated(opening), log: &syncBuffer{}, demo: &demo{}}
	opened := desktest.Open(t, h.clock)
	h.desk = opened.Desk
	owner := func(subject string) string { return desk.OwnerKey(opened.Pepper, subject) }
	runner, err := projections.Open(ctx, projections.Config{Ledger: opened.Ledger}, accounts.New(owner), reviews.New(), search.New(), access.New(), audit.New())
	must(t, err)
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- runner.Run(running) }()
	t.Cleanup(func() {
		stop()
		<-done
		_ = runner.Close()
	})
	tokens, err := api.NewTokens(grants...)
	must(t, err)
	cfg := api.Config{Desk: h.desk, Runner: runner, Tokens: tokens, Demo: h.demo, Registry: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(h.log, nil))}
	for _, f := range change {
		f(&cfg)
	}
	h.handler = api.New(cfg)
	h.client = &http.Client{Transport: contract.New(t).Transport(inProcess{h.handler})}
	head, err := opened.Ledger.Store().Head(ctx)
	must(t, err)
	for _, p := range runner.Projections() {
		must(t, p.WaitFor(ctx, head))
	}
	return h
}

// inProcess sends requests to a handler without a network.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, req)
	return w.Result(), nil
}

// demo is a simulated clock that only remembers what it was told.
type demo struct {
	advance time.Duration
	to      *time.Time
	next    []string
}

func (d *demo) MoveClock(_ context.Context, _ desk.Call, to *time.Time, advance time.Duration) (time.Time, eventstore.Position, error) {
	if to == nil && advance == 0 {
		return time.Time{}, 0, domain.Refuse(domain.RuleClock, "", "The clock would stand still.")
	}
	d.to, d.advance = to, advance
	return opening.Add(advance), 7, nil
}

func (d *demo) Instruct(_ context.Context, _ desk.Call, _ domain.AccountID, next []string) (eventstore.Position, error) {
	d.next = next
	return 8, nil
}

// answer is a response with its body decoded.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// at reads a member by its path, such as "items.0.payment.state".
func (a answer) at(path string) any {
	a.t.Helper()
	var v any = a.body
	for _, name := range strings.Split(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(node) {
				return nil
			}
			v = node[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

func (a answer) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s is %v in %s", path, a.at(path), a.raw)
	}
	return s
}

// with sets headers of a request.
type with map[string]string

// send makes any request, right or wrong; only the response is checked.
func (h *house) send(method, path, token, body string, headers with) answer {
	h.t.Helper()
	return h.do(contract.Bad(context.Background()), method, path, token, strings.NewReader(body), headers)
}

// get makes a good read.
func (h *house) get(token, path string) answer {
	h.t.Helper()
	return h.do(context.Background(), "GET", path, token, nil, nil)
}

// post makes a good command with a key of its own.
func (h *house) post(token, path string, body any) answer {
	h.t.Helper()
	raw, err := json.Marshal(body)
	must(h.t, err)
	return h.do(context.Background(), "POST", path, token, bytes.NewReader(raw),
		with{"Content-Type": "application/json", "Idempotency-Key": uuid.NewString()})
}

func (h *house) do(ctx context.Context, method, path, token string, body io.Reader, headers with) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://ledger.test"+path, body)
	must(h.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := h.client.Do(req)
	must(h.t, err)
	raw, err := io.ReadAll(resp.Body)
	must(h.t, err)
	a := answer{t: h.t, status: resp.StatusCode, header: resp.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

// account opens an account for a resident and uploads the papers of an
// application.
func (h *house) account(token string) (id string, papers []map[string]any) {
	h.t.Helper()
	id = h.post(token, "/api/v1/accounts", map[string]any{"name": "Ann " + token, "email": token + "@example.org"}).want(201).text("accountId")
	for _, kind := range []string{"utility-bill", "v5c"} {
		up := h.do(context.Background(), "POST", "/api/v1/accounts/"+id+"/evidence", token, strings.NewReader("%PDF-1.7 "+kind+" of "+token),
			with{"Content-Type": "application/pdf", "Idempotency-Key": uuid.NewString()}).want(201)
		item := map[string]any{"kind": kind, "sha256": up.text("sha256")}
		if kind == "utility-bill" {
			item["issuedOn"] = "2026-02-20"
		}
		papers = append(papers, item)
	}
	return id, papers
}

func application(papers []map[string]any) map[string]any {
	return map[string]any{"kind": "resident", "months": 12, "uprn": "200000000017", "vehicle": "AB12 CDE",
		"autoRenewal": true, "evidence": papers}
}

// permit applies for a permit and answers with its id.
func (h *house) permit(token string) (account, permit string, papers []map[string]any) {
	h.t.Helper()
	account, papers = h.account(token)
	return account, h.post(token, "/api/v1/accounts/"+account+"/permits", application(papers)).want(201).text("permitId"), papers
}

// decided is a decision with a note that is for staff only.
func decided(papers []map[string]any, reasons ...map[string]any) map[string]any {
	return map[string]any{"basis": "policy", "told": "This is what we decided.", "reasons": append([]map[string]any{}, reasons...),
		"considered": []map[string]any{{"evidence": papers[0]["sha256"], "result": "looked at", "note": "for colleagues"}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// syncBuffer is a buffer that many goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
