package api

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/permit"
)

type decisionView struct {
	Outcome    string           `json:"outcome"`
	Basis      domain.Basis     `json:"basis"`
	Conditions []string         `json:"conditions"`
	Reasons    []reasonView     `json:"reasons"`
	Considered []consideredView `json:"considered"`
	NotChecked []string         `json:"notChecked"`
	Told       *string          `json:"told"`
	DecidedAt  time.Time        `json:"decidedAt"`
	Versions   versionsView     `json:"versions"`
	Decider    *deciderView     `json:"decider,omitempty"` // staff only
}

type reasonView struct {
	Code   domain.ReasonCode `json:"code"`
	Clause *string           `json:"clause"`
	Text   *string           `json:"text"`
}

type consideredView struct {
	Evidence string  `json:"evidence,omitempty"`
	Check    string  `json:"check,omitempty"`
	Result   *string `json:"result"`
	Note     *string `json:"note,omitempty"` // staff only
}

type versionsView struct {
	Policy    *string `json:"policy"`
	Tariff    *string `json:"tariff"`
	Terms     *string `json:"terms"`
	Gazetteer *string `json:"gazetteer"`
}

type deciderView struct {
	ID   string      `json:"id"`
	Role domain.Role `json:"role"`
}

// showDecision shows the latest decision about a permit: a withdrawal comes
// after the approval that it takes back.
func showDecision(p permit.State, v viewer) *decisionView {
	decided := p.Decided
	if c := p.Cancellation; c != nil && c.Decided != nil {
		decided = c.Decided
	}
	if decided == nil {
		return nil
	}
	d, r := decided.Decision(), decided.Record
	view := &decisionView{
		Outcome: r.Outcome, Basis: r.Basis, Conditions: listed(d.Conditions), Reasons: []reasonView{},
		Considered: []consideredView{}, NotChecked: listed(d.NotChecked), Told: some(d.Told), DecidedAt: decided.At.UTC(),
		Versions: versionsView{Policy: some(r.Versions.Policy), Tariff: some(r.Versions.Tariff),
			Terms: some(r.Versions.Terms), Gazetteer: some(r.Versions.Gazetteer)},
	}
	for _, reason := range d.Reasons {
		view.Reasons = append(view.Reasons, reasonView{Code: reason.Code, Clause: some(reason.Clause), Text: some(reason.Text)})
	}
	for _, c := range d.Considered {
		shown := consideredView{Evidence: c.Evidence, Check: c.Check, Result: some(c.Result)}
		if v.staff() {
			shown.Note = some(c.Note)
		}
		view.Considered = append(view.Considered, shown)
	}
	if v.staff() {
		view.Decider = &deciderView{ID: r.Decider.ID, Role: r.Decider.Role}
	}
	return view
}

// decisionIn takes the members of a decision out of a body.
func decisionIn(o *object) domain.Decision {
	d := domain.Decision{
		Basis:      domain.Basis(o.words("basis", maxName)),
		Conditions: o.texts("conditions", maxWords),
		NotChecked: o.texts("notChecked", maxWords),
		Told:       o.words("told", maxWords),
	}
	o.need("basis")
	if !d.Basis.Valid() {
		o.fail("basis", "The basis is policy or discretion.")
	}
	o.objects("reasons", func(item *object) {
		item.need("code")
		r := domain.Reason{Code: domain.ReasonCode(item.words("code", maxName)),
			Clause: item.words("clause", maxName), Text: item.words("text", maxWords)}
		if !r.Code.Valid() {
			item.fail("code", "This is no reason code.")
		}
		d.Reasons = append(d.Reasons, r)
	})
	o.objects("considered", func(item *object) {
		c := domain.Considered{Result: item.needWords("result", maxName), Note: item.words("note", maxWords)}
		switch {
		case item.has("evidence") == item.has("check"):
			item.fail("", "Name the evidence or the check, one of the two.")
		case item.has("evidence"):
			c.Evidence = item.sha("evidence")
		default:
			c.Check = item.needWords("check", maxName)
		}
		d.Considered = append(d.Considered, c)
	})
	return d
}

// approve and reject decide about a pending application.
func (s *server) approve(req *request) (answer, error) {
	d := decisionIn(req.body)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.Approve(req.Context(), req.call, req.permitID, d))
}

func (s *server) reject(req *request) (answer, error) {
	d := decisionIn(req.body)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.Reject(req.Context(), req.call, req.permitID, d))
}

// withdraw ends a permit by the council's decision, with notice.
func (s *server) withdraw(req *request) (answer, error) {
	d, on := decisionIn(req.body), req.body.needDate("effectiveOn")
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.Withdraw(req.Context(), req.call, req.permitID, d, on))
}

// requestInformation refers an application back to the resident.
func (s *server) requestInformation(req *request) (answer, error) {
	what, by := req.body.needWords("what", maxWords), req.body.needDate("by")
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.RequestInformation(req.Context(), req.call, req.permitID, what, by))
}

// queue lists the applications that wait for a decision.
func (s *server) queue(req *request) (answer, error) {
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	now := s.Desk.Now()
	found, next, err := s.reviews.Queue(req.Context(), now, cursor, limit)
	if err != nil {
		return answer{}, err
	}
	var items []reviewView
	for _, it := range found {
		row, _, err := s.accounts.Permit(req.Context(), it.PermitID)
		if err != nil {
			return answer{}, err
		}
		owner, _, err := s.accounts.Account(req.Context(), it.AccountID)
		if err != nil {
			return answer{}, err
		}
		cs := s.Desk.CaseOf(it.PermitID, it.Permit, nil, row.Referral, it.Revision, now)
		if len(it.Payment.Attempts) > 0 {
			cs.Payment = &it.Payment
		}
		item := reviewView{permitView: showPermit(cs, req.see(cs, owner.State.Subject)),
			HoldEndsAt: some(it.HoldEndsAt.UTC()), OrderedBy: it.OrderedBy.UTC(), Warning: some(string(it.Warning)), Flags: []flagView{}}
		for _, f := range it.Flags {
			item.Flags = append(item.Flags, flagView{Flag: f.Flag, PermitID: f.PermitID})
		}
		items = append(items, item)
	}
	return pageOf(items, next), nil
}

type reviewView struct {
	permitView
	HoldEndsAt *time.Time `json:"holdEndsAt"`
	OrderedBy  time.Time  `json:"orderedBy"`
	Warning    *string    `json:"warning"`
	Flags      []flagView `json:"flags"`
}

type flagView struct {
	Flag     string          `json:"flag"`
	PermitID domain.PermitID `json:"permitId"`
}
