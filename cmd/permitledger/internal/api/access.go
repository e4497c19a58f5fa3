package api

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"permitledger/domain"
)

// identify finds out who sends a request. Where a token is not needed, one
// that is sent must still be known: whoever sends it means to be somebody.
func (s *server) identify(req *request) error {
	values := req.Header.Values("Authorization")
	if len(values) == 0 {
		if req.route.roles == nil {
			return nil
		}
		return errNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return errNoToken
	}
	known := false
	if req.caller, known = s.Tokens.lookup(strings.TrimSpace(token)); !known {
		return errNoToken
	}
	return nil
}

// admit is the one place that decides who may do what: by the role first, and
// then by whose account it is. Ownership is read from the account's own
// stream, never from a read model, which may be behind. What is not a
// resident's own does not exist for them. No role implies another, admin's
// least of all.
func (s *server) admit(req *request) error {
	may := req.route.roles == nil || slices.Contains(req.route.roles, req.caller.role)
	id := req.vars["id"]
	switch {
	case !may && (req.caller.role != domain.RoleResident || req.route.about == aboutNothing || !isUUID(id)):
		return errForbidden
	case req.route.about == aboutNothing:
		return nil
	case !isUUID(id):
		return bad("id", "An id is a UUID in lower case.")
	}
	switch req.route.about {
	case aboutAccount, aboutInvited:
		req.accountID = domain.AccountID(id)
	case aboutPermit:
		req.permitID = domain.PermitID(id)
		cs, err := s.Desk.Case(req.Context(), req.permitID)
		if err != nil {
			return err
		}
		req.found, req.accountID = cs, cs.Permit.Account
		if cs.Permit.Lost {
			return domain.ErrKeyLost
		}
	}
	account, err := s.Desk.Account(req.Context(), req.accountID)
	if err != nil {
		return err
	}
	if account.State.KeyLost {
		return domain.ErrKeyLost // also to residents: whose account it is cannot be read
	}
	if req.caller.role == domain.RoleResident && req.route.about != aboutInvited && !account.State.Owns(req.caller.subject) {
		return errNotFound
	}
	if !may {
		return errForbidden // their own, and still not theirs to do
	}
	req.account = account
	return nil
}

var uuidShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func isUUID(s string) bool { return uuidShape.MatchString(s) }

// methodLabel keeps made-up methods out of metrics and logs.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}
