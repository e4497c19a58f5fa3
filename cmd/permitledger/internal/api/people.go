package api

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/projections/access"
	"permitledger/projections/search"
)

// invite sends the person behind an account an invitation to claim it.
func (s *server) invite(req *request) (answer, error) {
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	a, err := s.Desk.Invite(req.Context(), req.call, req.accountID)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, body: struct {
		AccountID domain.AccountID `json:"accountId"`
		ExpiresAt time.Time        `json:"expiresAt"`
		Revision  uint64           `json:"revision"`
		Position  string           `json:"position"`
	}{a.ID, a.State.Invitation.ExpiresAt.UTC(), a.Revision, a.Position.String()}}, nil
}

// claim gives an account to a resident who has its invitation.
func (s *server) claim(req *request) (answer, error) {
	token := req.body.needWords("token", maxName)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	a, err := s.Desk.ClaimAccount(req.Context(), req.call, req.accountID, token)
	if err != nil {
		return answer{}, err
	}
	return ok(showAccount(a)), nil
}

// record writes down that staff looked at a person's record, before they are
// shown it. What residents see of their own is not recorded.
func (s *server) record(req *request) error {
	if req.route.reads == "" || req.recorded || req.caller.role == domain.RoleResident {
		return nil
	}
	return s.Desk.Looked(req.Context(), req.reading(), req.accountID, req.permitID, req.route.reads)
}

// foundPermit is a permit among the results of a search: enough to recognise
// it, and no more.
type foundPermit struct {
	Kind       string           `json:"kind"` // "permit"
	ID         domain.PermitID  `json:"id"`
	Matched    search.Match     `json:"matched"`
	AccountID  domain.AccountID `json:"accountId"`
	Name       *string          `json:"name"`
	Reference  string           `json:"reference"`
	PermitKind domain.Kind      `json:"permitKind"`
	State      permit.Status    `json:"state"`
	Zone       domain.Zone      `json:"zone"`
	Property   *domain.Property `json:"property"`
	Vehicle    *domain.VRM      `json:"vehicle"`
	FirstDay   *domain.Date     `json:"firstDay"`
	LastDay    *domain.Date     `json:"lastDay"`
	Erased     bool             `json:"erased"`
}

// foundAccount is an account among the results of a search.
type foundAccount struct {
	Kind    string           `json:"kind"` // "account"
	ID      domain.AccountID `json:"id"`
	Matched search.Match     `json:"matched"`
	Name    *string          `json:"name"`
	Email   *string          `json:"email"`
	Phone   *string          `json:"phone"`
	Owned   bool             `json:"owned"`
}

func showFound(hit search.Hit, now time.Time) any {
	if hit.ID == "" {
		return foundAccount{Kind: "account", ID: hit.Account, Matched: hit.Matched, Name: some(hit.Person.Name),
			Email: some(hit.Person.Email), Phone: some(hit.Person.Phone), Owned: hit.Person.Subject != ""}
	}
	p := hit.Permit
	shown := foundPermit{Kind: "permit", ID: hit.ID, Matched: hit.Matched, AccountID: hit.Account, Name: some(hit.Person.Name),
		Reference: hit.ID.Reference(), PermitKind: p.Kind, State: p.Status(now), Zone: p.Zone,
		FirstDay: some(p.FirstDay()), LastDay: some(p.LastDay()), Erased: p.Erased}
	if !p.Erased {
		shown.Property, shown.Vehicle = &p.Property, &p.Vehicle.Mark
	}
	return shown
}

// findPeople looks for people and permits. Each use is recorded with whom it
// shows, before it shows them.
func (s *server) findPeople(req *request) (answer, error) {
	text, _, err := req.query("q")
	if err != nil {
		return answer{}, err
	}
	if len([]rune(text)) > maxName {
		return answer{}, bad("q", "Look for at most %d characters.", maxName)
	}
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	hits, next, err := s.people.Find(req.Context(), text, cursor, limit)
	if errors.Is(err, search.ErrQuery) {
		return answer{}, bad("q", "Give at least two letters or digits to look for.")
	}
	if err != nil {
		return answer{}, err
	}
	var items []any
	var by []string
	var shown []domain.AccountID
	now := s.Desk.Now()
	for _, hit := range hits {
		items = append(items, showFound(hit, now))
		if !slices.Contains(by, string(hit.Matched)) {
			by = append(by, string(hit.Matched))
		}
		if !slices.Contains(shown, hit.Account) {
			shown = append(shown, hit.Account)
		}
	}
	if err := s.Desk.Searched(req.Context(), req.reading(), by, shown); err != nil {
		return answer{}, err
	}
	return pageOf(items, next), nil
}

// lookView is one line of who looked.
type lookView struct {
	At       time.Time        `json:"at"`
	Role     domain.Role      `json:"role"`
	What     string           `json:"what"`
	PermitID *domain.PermitID `json:"permitId"`
	By       string           `json:"by,omitempty"` // for auditors: who it was
}

// whoLooked tells a person, or an auditor, who read the person's record, up to
// the moment of asking.
func (s *server) whoLooked(req *request) (answer, error) {
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	if err := s.abreast(req, access.Name); err != nil {
		return answer{}, err
	}
	reads, next, err := s.looks.Of(req.Context(), req.accountID, cursor, limit)
	if err != nil {
		return answer{}, err
	}
	var items []lookView
	for _, r := range reads {
		look := lookView{At: r.At, Role: r.Role, What: r.What, PermitID: some(r.Permit)}
		if req.caller.role == domain.RoleAuditor {
			look.By = r.Actor
		}
		items = append(items, look)
	}
	return pageOf(items, next), nil
}
