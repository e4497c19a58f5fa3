package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// may is the interface's own words about who may do what, written down apart
// from the table that decides it: R is the owner, r any resident, o operator,
// w reviewer, d disputes, u auditor, a admin; * is anybody.
var may = []struct{ method, path, who string }{
	{"GET", "/council", "*"},
	{"GET", "/terms-and-conditions", "*"},
	{"GET", "/properties?postcode=LE11+1AA", "*"},
	{"GET", "/tariff", "*"},
	{"GET", "/openapi.yaml", "*"},
	{"POST", "/accounts", "ro"},
	{"GET", "/accounts", "r"},
	{"GET", "/accounts/{account}", "Rowd"},
	{"POST", "/accounts/{account}/change-details", "Ro"},
	{"POST", "/accounts/{account}/invite", "o"},
	{"POST", "/accounts/{account}/claim", "r"},
	{"GET", "/accounts/{account}/access", "Ru"},
	{"POST", "/accounts/{account}/evidence", "Ro"},
	{"GET", "/accounts/{account}/evidence/{sha}", "Rwdu"},
	{"POST", "/accounts/{account}/permits", "Ro"},
	{"GET", "/accounts/{account}/permits", "Row"},
	{"GET", "/permits/{permit}", "Rowdu"},
	{"POST", "/permits/{permit}/approve", "w"},
	{"POST", "/permits/{permit}/reject", "w"},
	{"POST", "/permits/{permit}/request-information", "w"},
	{"POST", "/permits/{permit}/withdraw", "w"},
	{"POST", "/permits/{permit}/supply-information", "Ro"},
	{"POST", "/permits/{permit}/pay", "Ro"},
	{"POST", "/permits/{permit}/renew", "Ro"},
	{"POST", "/permits/{permit}/change-vehicle", "Ro"},
	{"POST", "/permits/{permit}/change-address", "ow"},
	{"POST", "/permits/{permit}/cancel", "Ro"},
	{"POST", "/permits/{permit}/cancel-auto-renewal", "Ro"},
	{"GET", "/permits/{permit}/history", "Rowdu"},
	{"GET", "/search?q=zz", "owd"},
	{"GET", "/audit/events", "u"},
	{"GET", "/reviews", "w"},
	{"GET", "/admin/projections", "a"},
	{"POST", "/admin/projections/audit/rebuild", "a"},
	{"POST", "/demo/clock", "a"},
	{"POST", "/demo/payments", "a"},
}

// callers are the tokens by their letter; s is a resident who owns something
// else.
var callers = map[string]string{"R": "alex", "s": "sam", "o": "olga", "w": "rita", "d": "dana", "e": "ed", "u": "aude", "p": "ron", "a": "ada"}

func TestWhoMayDoWhat(t *testing.T) {
	h := newHouse(t)
	account, permit, papers := h.permit("alex")
	h.account("sam")
	for _, m := range may {
		path := "/api/v1" + strings.NewReplacer("{account}", account, "{permit}", permit, "{sha}", papers[0]["sha256"].(string)).Replace(m.path)
		unknown := "/api/v1" + strings.NewReplacer("{account}", uuid.NewString(), "{permit}", uuid.NewString(), "{sha}", strings.Repeat("a", 64)).Replace(m.path)
		about := strings.Contains(m.path, "{")
		for letter, token := range callers {
			want := 0 // not refused for who asks
			switch {
			case m.who == "*", strings.Contains(m.who, letter):
			case strings.Contains(m.who, "r") && (letter == "R" || letter == "s"):
			case letter == "s" && about:
				want = 404
			default:
				want = 403
			}
			t.Run(fmt.Sprintf("%s %s by %s", m.method, m.path, token), func(t *testing.T) {
				got := h.probe(m.method, path, token)
				if want != 0 && got != want || want == 0 && (got == 401 || got == 403 || got == 404) {
					t.Errorf("status %d, want %d", got, want)
				}
				if want == 0 && about {
					if got := h.probe(m.method, unknown, token); got != 404 {
						t.Errorf("of something unknown: status %d", got)
					}
				}
				if want == 403 && about {
					hidden := 403
					if letter == "R" {
						hidden = 404 // as of what is another's
					}
					if got := h.probe(m.method, unknown, token); got != hidden {
						t.Errorf("of something unknown: status %d, want %d: who may not learns nothing", got, hidden)
					}
				}
			})
		}
		for _, token := range []string{"", "nobody", "sha256:00"} {
			want := 401
			if m.who == "*" && token == "" {
				want = 200
			}
			if got := h.probe(m.method, path, token); got != want {
				t.Errorf("%s %s with the token %q: status %d, want %d", m.method, m.path, token, got, want)
			}
		}
	}
}

// probe asks with a body that nothing takes: it gets past every check of who
// asks, and no further.
func (h *house) probe(method, path, token string) int {
	return h.send(method, path, token, `{"nothing":"takes this"}`, with{"Content-Type": "application/json", "Idempotency-Key": uuid.NewString()}).status
}

// The order of the checks, each request being wrong in everything that comes
// later too.
func TestTheOrderOfTheChecks(t *testing.T) {
	h := newHouse(t)
	account, permit, _ := h.permit("alex")
	large := strings.Repeat("x", 1<<20+1)
	for _, c := range []struct {
		name, path, token, body string
		headers                 with
		want                    int
	}{
		{"no token", "/api/v1/permits/" + permit + "/approve", "", large, nil, 401},
		{"wrong role", "/api/v1/permits/not-an-id/approve", "alex", large, nil, 403},
		{"malformed id", "/api/v1/permits/not-an-id/cancel", "alex", large, nil, 400},
		{"not yours", "/api/v1/permits/" + permit + "/cancel", "sam", large, nil, 404},
		{"too large", "/api/v1/permits/" + permit + "/cancel", "alex", large, with{"Content-Type": "application/json"}, 413},
		{"wrong type", "/api/v1/permits/" + permit + "/cancel", "alex", "{", with{"Content-Type": "text/plain"}, 415},
		{"no key", "/api/v1/permits/" + permit + "/cancel", "alex", "{", with{"Content-Type": "application/json"}, 400},
		{"broken JSON", "/api/v1/permits/" + permit + "/cancel", "alex", "{", with{"Content-Type": "application/json", "Idempotency-Key": "k", "If-Match": `"9"`}, 400},
		{"not at that revision", "/api/v1/permits/" + permit + "/change-vehicle", "alex", `{"vehicle":"?"}`, with{"Content-Type": "application/json", "Idempotency-Key": "k", "If-Match": `"9"`}, 412},
		{"refused", "/api/v1/permits/" + permit + "/change-vehicle", "alex", `{"vehicle":"CD34 EFG"}`, with{"Content-Type": "application/json", "Idempotency-Key": "k"}, 409},
		{"an account's too", "/api/v1/accounts/" + account + "/change-details", "sam", large, nil, 404},
	} {
		if got := h.send("POST", c.path, c.token, c.body, c.headers); got.status != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.name, got.status, c.want, got.raw)
		}
	}
}
