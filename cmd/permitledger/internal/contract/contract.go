// Package contract holds every HTTP exchange of a test against the project's
// OpenAPI document. Only tests use it.
//
// Put a Checker's Transport into the test's http.Client. Each request must be
// one that the document allows, and each response one that it promises; what
// strays from it fails the test with the place where it strays. A request that
// is wrong on purpose is marked with Bad, and then only its response is held
// against the document. At the end Uncovered names the operations that the
// test never called.
//
//	c := contract.New(t)
//	client := &http.Client{Transport: c.Transport(nil)}
package contract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"permitledger/docs"
)

// Checker holds exchanges against the document and remembers which operations
// were called. It may be used by many goroutines at once.
type Checker struct {
	t      testing.TB
	doc    *openapi3.T
	router routers.Router

	mu   sync.Mutex
	seen map[string]map[int]bool // statuses by operation; guarded by mu
}

// document reads the embedded document once for all tests of a program.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate openapi.yaml: %w", err)
	}
	return doc, nil
})

// New makes a Checker that reports to t.
func New(t testing.TB) *Checker {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &Checker{t: t, doc: doc, router: router, seen: map[string]map[int]bool{}}
}

type badKey struct{}

// Bad marks the requests made under this context as wrong on purpose: they go
// out as they are, to any path, and only their responses are checked.
func Bad(ctx context.Context) context.Context { return context.WithValue(ctx, badKey{}, true) }

func isBad(ctx context.Context) bool { return ctx.Value(badKey{}) != nil }

// Transport wraps base, or http.DefaultTransport when base is nil. What it
// finds is reported with t.Errorf; the exchange itself goes on, so that the
// test's own message follows. Response bodies are read whole.
func (c *Checker) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return transport{c, base}
}

type transport struct {
	c    *Checker
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e := exchange{req: req}
	var err error
	e.route, e.vars, err = t.c.router.FindRoute(req)
	if !isBad(req.Context()) {
		if err != nil {
			t.c.complain(e, "request", []string{err.Error()}, nil)
		} else if e.req, err = t.c.checkRequest(e); err != nil {
			return nil, err
		}
	}
	resp, err := t.base.RoundTrip(e.req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	t.c.checkResponse(e, resp, body)
	return resp, nil
}

// exchange is one request and the operation it calls; route is nil when the
// document has none for it.
type exchange struct {
	req   *http.Request
	route *routers.Route
	vars  map[string]string
}

// Uncovered lists the operations of the document that were never called, as
// "METHOD /path", sorted.
func (c *Checker) Uncovered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left []string
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			if op := method + " " + path; c.seen[op] == nil {
				left = append(left, op)
			}
		}
	}
	slices.Sort(left)
	return left
}

// Exercised lists the operations that were called, each with the statuses it
// answered, as "METHOD /path 200 404", sorted.
func (c *Checker) Exercised() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var called []string
	for op, statuses := range c.seen {
		for _, status := range slices.Sorted(maps.Keys(statuses)) {
			op += fmt.Sprintf(" %d", status)
		}
		called = append(called, op)
	}
	slices.Sort(called)
	return called
}

func (c *Checker) remember(route *routers.Route, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := route.Method + " " + route.Path
	if c.seen[op] == nil {
		c.seen[op] = map[int]bool{}
	}
	c.seen[op][status] = true
}
