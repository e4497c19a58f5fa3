package api

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"permitledger/domain"
	looked "permitledger/domain/access"
	"permitledger/projections/access"
	"permitledger/projections/accounts"
	"permitledger/projections/audit"
	"permitledger/projections/reviews"
	"permitledger/projections/search"
)

// The roles, short for the table.
const (
	resident  = domain.RoleResident // in a route about one account or permit: its owner
	operator  = domain.RoleOperator
	reviewer  = domain.RoleReviewer
	disputes  = domain.RoleDisputes
	auditor   = domain.RoleAuditor
	adminRole = domain.RoleAdmin
)

// about is what the {id} of a path names.
type about int

const (
	aboutNothing about = iota
	aboutAccount
	aboutInvited // an account that the caller need not own: an invitation in the body decides
	aboutPermit
)

// route is one thing that can be asked.
type route struct {
	method string
	path   string
	// roles may call it; none means anybody, also without a token. A resident
	// must own what the route is about.
	roles []domain.Role
	about about
	body  bodyKind // of a command; none for reads
	// noRevision is set on commands about nothing that has a revision yet,
	// which cannot be sent with If-Match.
	noRevision bool
	// models are the read models that it is answered from, empty for what is
	// answered from streams.
	models []string
	// reads is what of a person's record it shows, which is recorded when staff
	// read it; empty where nothing is shown or the desk records it itself.
	reads  string
	handle func(*server, *request) (answer, error)
}

func (rt *route) command() bool { return rt.body != noBody }

func roles(r ...domain.Role) []domain.Role { return r }

// table is everything that can be asked under /api/v1.
var table = []route{
	{method: "GET", path: "/council", handle: (*server).council},
	{method: "GET", path: "/terms-and-conditions", handle: (*server).termsAndConditions},
	{method: "GET", path: "/properties", handle: (*server).properties},
	{method: "GET", path: "/tariff", handle: (*server).tariff},
	{method: "GET", path: "/openapi.yaml", handle: (*server).openAPI},

	{method: "POST", path: "/accounts", roles: roles(resident, operator), body: jsonBody, noRevision: true, handle: (*server).openAccount},
	{method: "GET", path: "/accounts", roles: roles(resident), models: []string{accounts.Name}, handle: (*server).ownAccounts},
	{method: "GET", path: "/accounts/{id}", roles: roles(resident, operator, reviewer, disputes), about: aboutAccount, reads: looked.ReadAccount, handle: (*server).account},
	{method: "POST", path: "/accounts/{id}/change-details", roles: roles(resident, operator), about: aboutAccount, body: jsonBody, handle: (*server).changeDetails},
	{method: "POST", path: "/accounts/{id}/invite", roles: roles(operator), about: aboutAccount, body: jsonBody, handle: (*server).invite},
	{method: "POST", path: "/accounts/{id}/claim", roles: roles(resident), about: aboutInvited, body: jsonBody, noRevision: true, handle: (*server).claim},
	{method: "GET", path: "/accounts/{id}/access", roles: roles(resident, auditor), about: aboutAccount, models: []string{access.Name}, handle: (*server).whoLooked},
	{method: "POST", path: "/accounts/{id}/evidence", roles: roles(resident, operator), about: aboutAccount, body: documentBody, handle: (*server).upload},
	{method: "GET", path: "/accounts/{id}/evidence/{sha256}", roles: roles(resident, reviewer, disputes, auditor), about: aboutAccount, handle: (*server).document},
	{method: "POST", path: "/accounts/{id}/permits", roles: roles(resident, operator), about: aboutAccount, body: jsonBody, noRevision: true, handle: (*server).apply},
	{method: "GET", path: "/accounts/{id}/permits", roles: roles(resident, operator, reviewer), about: aboutAccount, models: []string{accounts.Name}, reads: looked.ReadAccountPermits, handle: (*server).accountView},

	{method: "GET", path: "/permits/{id}", roles: roles(resident, operator, reviewer, disputes, auditor), about: aboutPermit, reads: looked.ReadPermit, handle: (*server).permit},
	{method: "POST", path: "/permits/{id}/approve", roles: roles(reviewer), about: aboutPermit, body: jsonBody, handle: (*server).approve},
	{method: "POST", path: "/permits/{id}/reject", roles: roles(reviewer), about: aboutPermit, body: jsonBody, handle: (*server).reject},
	{method: "POST", path: "/permits/{id}/withdraw", roles: roles(reviewer), about: aboutPermit, body: jsonBody, handle: (*server).withdraw},
	{method: "POST", path: "/permits/{id}/request-information", roles: roles(reviewer), about: aboutPermit, body: jsonBody, handle: (*server).requestInformation},
	{method: "POST", path: "/permits/{id}/supply-information", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).supplyInformation},
	{method: "POST", path: "/permits/{id}/pay", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).pay},
	{method: "POST", path: "/permits/{id}/renew", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).renew},
	{method: "POST", path: "/permits/{id}/change-vehicle", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).changeVehicle},
	{method: "POST", path: "/permits/{id}/change-address", roles: roles(operator, reviewer), about: aboutPermit, body: jsonBody, handle: (*server).changeAddress},
	{method: "POST", path: "/permits/{id}/cancel", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).cancel},
	{method: "POST", path: "/permits/{id}/cancel-auto-renewal", roles: roles(resident, operator), about: aboutPermit, body: jsonBody, handle: (*server).cancelAutoRenewal},
	{method: "GET", path: "/permits/{id}/history", roles: roles(resident, operator, reviewer, disputes, auditor), about: aboutPermit, models: []string{audit.Name}, reads: looked.ReadHistory, handle: (*server).history},

	{method: "GET", path: "/search", roles: roles(operator, reviewer, disputes), models: []string{search.Name}, handle: (*server).findPeople},
	{method: "GET", path: "/audit/events", roles: roles(auditor), models: []string{audit.Name}, handle: (*server).auditEvents},

	{method: "GET", path: "/reviews", roles: roles(reviewer), models: []string{reviews.Name, accounts.Name}, handle: (*server).queue},

	{method: "GET", path: "/admin/projections", roles: roles(adminRole), handle: (*server).readModels},
	{method: "POST", path: "/admin/projections/{name}/rebuild", roles: roles(adminRole), body: jsonBody, noRevision: true, handle: (*server).rebuild},
}

// demoTable is what can be asked only with a simulated clock.
var demoTable = []route{
	{method: "POST", path: "/demo/clock", roles: roles(adminRole), body: jsonBody, noRevision: true, handle: (*server).moveClock},
	{method: "POST", path: "/demo/payments", roles: roles(adminRole), body: jsonBody, noRevision: true, handle: (*server).instructPayments},
}

const base = "/api/v1"

// router is the only place that knows the router.
func (s *server) router() http.Handler {
	m := mux.NewRouter()
	m.SkipClean(true) // a path with // is another path, and a redirect no answer
	routes := table
	if s.Demo != nil {
		routes = append(routes[:len(routes):len(routes)], demoTable...)
	}
	for i := range routes {
		rt := &routes[i]
		m.Handle(base+rt.path, s.instrument(base+rt.path, func(w http.ResponseWriter, r *http.Request) outcome {
			return s.serve(w, r, rt, mux.Vars(r))
		})).Methods(rt.method)
	}
	m.Handle("/healthz", s.instrument("/healthz", s.healthz)).Methods("GET")
	m.Handle("/readyz", s.instrument("/readyz", s.readyz)).Methods("GET")
	m.Handle("/metrics", s.instrument("/metrics", s.exposition())).Methods("GET")
	m.NotFoundHandler = s.instrument("unmatched", func(w http.ResponseWriter, r *http.Request) outcome {
		return s.fail(w, r, errNoRoute, outcome{})
	})
	m.MethodNotAllowedHandler = s.instrument("unmatched", func(w http.ResponseWriter, r *http.Request) outcome {
		for _, method := range []string{"GET", "POST"} {
			other := r.Clone(r.Context())
			other.Method = method
			if match := (mux.RouteMatch{}); m.Match(other, &match) && match.MatchErr == nil {
				w.Header().Add("Allow", method)
			}
		}
		return s.fail(w, r, errMethod, outcome{})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The router reads %2F as a slash, by which one path would have two
		// names; none of ours has such a sign.
		if strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") {
			m.NotFoundHandler.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	})
}
