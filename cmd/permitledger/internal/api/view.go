package api

import (
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// viewer is for whom something is shown. Owners see what was decided and why,
// but no names and no notes of the council's staff.
type viewer struct {
	role domain.Role
	own  bool // applied, entered the application or owns the account: may not decide about it
	// then is set when the past is shown: nothing can be done there.
	then bool
}

func (v viewer) staff() bool { return v.role != domain.RoleResident }

// see makes the viewer of a case out of the caller.
func (req *request) see(cs desk.Case, owner string) viewer {
	return viewer{role: req.caller.role, own: cs.Permit.OwnedBy(req.caller.subject, owner)}
}

type money struct {
	Pence    domain.Pence `json:"pence"`
	Currency string       `json:"currency"`
}

func moneyOf(p domain.Pence) money { return money{Pence: p, Currency: "GBP"} }

// some is nil for the zero value: JSON's null.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// listed is an array also when it is empty.
func listed[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// page is one page of a list.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func pageOf[T any](items []T, next string) answer {
	return ok(page[T]{Items: listed(items), Next: some(next)})
}

type accountView struct {
	AccountID domain.AccountID `json:"accountId"`
	Name      *string          `json:"name"`
	Email     *string          `json:"email"`
	Phone     *string          `json:"phone"`
	Owned     bool             `json:"owned"`
	Erased    bool             `json:"erased"`
	OpenedAt  time.Time        `json:"openedAt"`
	Revision  uint64           `json:"revision"`
	Position  string           `json:"position,omitempty"` // of a command
}

func showAccount(a desk.Account) accountView {
	return accountView{
		AccountID: a.ID, Name: some(a.State.Name), Email: some(a.State.Email), Phone: some(a.State.Phone),
		Owned: a.State.Subject != "", Erased: a.State.Erased || a.State.KeyGone,
		OpenedAt: a.State.OpenedAt.UTC(), Revision: a.Revision, Position: positionOf(a.Position),
	}
}

func positionOf(p eventstore.Position) string {
	if p == 0 {
		return ""
	}
	return p.String()
}

type permitView struct {
	PermitID          domain.PermitID   `json:"permitId"`
	AccountID         domain.AccountID  `json:"accountId"`
	Reference         string            `json:"reference"`
	Kind              domain.Kind       `json:"kind"`
	State             permit.Status     `json:"state"`
	Zone              domain.Zone       `json:"zone"`
	Property          *domain.Property  `json:"property"`
	Vehicle           *domain.VRM       `json:"vehicle"`
	RequestedFirstDay domain.Date       `json:"requestedFirstDay"`
	SubmittedAt       time.Time         `json:"submittedAt"`
	FirstDay          *domain.Date      `json:"firstDay"`
	LastDay           *domain.Date      `json:"lastDay"`
	Term              int               `json:"term"`
	Terms             []termView        `json:"terms"`
	Price             money             `json:"price"`
	TariffVersion     string            `json:"tariffVersion"`
	TermsVersion      string            `json:"termsVersion"`
	AutoRenewal       bool              `json:"autoRenewal"`
	Payment           paymentView       `json:"payment"`
	Evidence          []domain.Evidence `json:"evidence"`
	Follows           *followsView      `json:"follows"`
	Referred          *referredView     `json:"referred"`
	Decision          *decisionView     `json:"decision"`
	Rejection         *rejectionView    `json:"rejection"`
	Cancellation      *cancellationView `json:"cancellation"`
	RenewalOpensOn    *domain.Date      `json:"renewalOpensOn"`
	Actions           []actionView      `json:"actions"`
	Warnings          []string          `json:"warnings"`
	Erased            bool              `json:"erased"`
	Revision          uint64            `json:"revision"`
	Position          string            `json:"position,omitempty"` // of a command
}

type termView struct {
	Term          int         `json:"term"`
	FirstDay      domain.Date `json:"firstDay"`
	LastDay       domain.Date `json:"lastDay"`
	Price         money       `json:"price"`
	TariffVersion string      `json:"tariffVersion"`
	Automatic     bool        `json:"automatic"`
}

type followsView struct {
	Permit  domain.PermitID  `json:"permit,omitempty"`
	Dispute domain.DisputeID `json:"dispute,omitempty"`
}

type referredView struct {
	What  *string     `json:"what"`
	By    domain.Date `json:"by"`
	Since time.Time   `json:"since"`
}

type rejectionView struct {
	Contact contactView `json:"contact"`
}

type contactView struct {
	Email   string  `json:"email"`
	Phone   string  `json:"phone"`
	Address string  `json:"address"`
	Web     *string `json:"web"`
}

func showContact(c policy.Contact) contactView {
	return contactView{Email: c.Email, Phone: c.Phone, Address: c.Address, Web: some(c.Web)}
}

type cancellationView struct {
	Reason      permit.CancelReason `json:"reason"`
	EffectiveAt time.Time           `json:"effectiveAt"`
	Refund      money               `json:"refund"`
	Words       *string             `json:"words"`
}

type actionView struct {
	Action  string       `json:"action"`
	OpensOn *domain.Date `json:"opensOn"`
	Why     *string      `json:"why"`
}

// showPermit shows a case as it is told at its own instant.
func showPermit(cs desk.Case, v viewer) permitView {
	p, latest := cs.Permit, cs.Permit.Latest()
	shown := permitView{
		PermitID: cs.ID, AccountID: p.Account, Reference: cs.ID.Reference(), Kind: p.Kind, State: p.Status(cs.At),
		Zone: p.Zone, RequestedFirstDay: p.RequestedFirstDay, SubmittedAt: p.SubmittedAt.UTC(),
		FirstDay: some(p.FirstDay()), LastDay: some(p.LastDay()), Term: latest.Term, Terms: []termView{},
		Price: moneyOf(latest.Price), TariffVersion: latest.TariffVersion, TermsVersion: p.TermsVersion,
		AutoRenewal: p.AutoRenewalOn(cs.At), Payment: showPayment(cs),
		Evidence: evidenceOf(cs), RenewalOpensOn: some(p.RenewalOpensOn(cs.Rules)),
		Decision: showDecision(p, v), Actions: actionsOf(cs, v), Warnings: warningsOf(cs, v),
		Erased: p.Erased, Revision: cs.Revision, Position: positionOf(cs.Position),
	}
	if !p.Erased {
		shown.Property, shown.Vehicle = &p.Property, &p.Vehicle.Mark
	}
	for _, t := range p.Terms {
		shown.Terms = append(shown.Terms, termView{Term: t.Term, FirstDay: t.FirstDay, LastDay: t.LastDay,
			Price: moneyOf(t.Price), TariffVersion: t.TariffVersion, Automatic: t.Automatic})
	}
	if p.FollowsPermit != "" || p.FollowsDispute != "" {
		shown.Follows = &followsView{Permit: p.FollowsPermit, Dispute: p.FollowsDispute}
	}
	if open := cs.Notice.Open; open != nil && shown.State == permit.StatusPending {
		shown.Referred = &referredView{What: some(open.What), By: open.By, Since: open.At.UTC()}
	}
	if shown.State == permit.StatusRejected {
		shown.Rejection = &rejectionView{Contact: showContact(cs.Council.Contact)}
	}
	if c := p.Cancellation; c != nil {
		shown.Cancellation = &cancellationView{Reason: c.Reason, EffectiveAt: c.EffectiveAt.UTC(), Refund: moneyOf(c.Refund), Words: some(c.Words)}
	}
	return shown
}

// evidenceOf is every document named for a permit: what it rests on, and what
// was sent in answer to the council.
func evidenceOf(cs desk.Case) []domain.Evidence {
	return append(append([]domain.Evidence{}, cs.Permit.Evidence...), cs.Notice.Supplied...)
}

// warningsOf is what is odd and stops nothing.
func warningsOf(cs desk.Case, v viewer) []string {
	warnings := []string{}
	p := cs.Permit
	if !p.Erased && p.Vehicle.Mark.Shape().Unusual() {
		warnings = append(warnings, "The vehicle mark has an unusual shape: check that it was not mistyped.")
	}
	if v.role == domain.RoleReviewer && p.Status(cs.At) == permit.StatusPending {
		for _, w := range domain.EvidenceWarnings(evidenceOf(cs), p.FirstDayIfApproved(cs.At)) {
			warnings = append(warnings, w.Detail)
		}
	}
	return warnings
}

// actionsOf lists what the viewer may do now, in the domain's words.
func actionsOf(cs desk.Case, v viewer) []actionView {
	actions := []actionView{}
	if v.then {
		return actions
	}
	for _, a := range cs.Permit.Actions(cs.At, v.role, permit.ActionContext{
		Rules: cs.Rules, Payment: heldMoney(cs), PayAgain: payAgain(cs), Referred: cs.Notice.Referred(), Own: v.own,
	}) {
		actions = append(actions, actionView{Action: a.Action, OpensOn: a.OpensOn, Why: some(a.Why)})
	}
	return actions
}

// answerPermit is the answer that shows a permit.
func answerPermit(status int, cs desk.Case, v viewer) answer {
	return answer{status: status, body: showPermit(cs, v), revision: &cs.Revision}
}
