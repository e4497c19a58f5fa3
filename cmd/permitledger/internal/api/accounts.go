package api

import (
	"net/http"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
)

// openAccount opens an account, the caller's own or one for somebody who
// telephoned.
func (s *server) openAccount(req *request) (answer, error) {
	name := req.body.needWords("name", maxName)
	details := desk.Details{Name: &name, Email: req.body.email("email"), Phone: req.body.text("phone", maxName)}
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	a, err := s.Desk.OpenAccount(req.Context(), req.call, details)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: struct {
		AccountID domain.AccountID `json:"accountId"`
		Revision  uint64           `json:"revision"`
		Position  string           `json:"position"`
	}{a.ID, a.Revision, a.Position.String()}}, nil
}

// changeDetails changes what is given; an empty e-mail or telephone is taken
// away.
func (s *server) changeDetails(req *request) (answer, error) {
	var details desk.Details
	if req.body.has("name") {
		name := req.body.needWords("name", maxName)
		details.Name = &name
	}
	details.Email, details.Phone = req.body.email("email"), req.body.text("phone", maxName)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	a, err := s.Desk.ChangeDetails(req.Context(), req.call, req.accountID, details)
	if err != nil {
		return answer{}, err
	}
	return ok(showAccount(a)), nil
}

func (s *server) account(req *request) (answer, error) { return ok(showAccount(req.account)), nil }

// ownAccounts lists what belongs to the caller.
func (s *server) ownAccounts(req *request) (answer, error) {
	found, err := s.accounts.ByOwner(req.Context(), req.caller.subject)
	if err != nil {
		return answer{}, err
	}
	var all []accountView
	for _, a := range found {
		all = append(all, showAccount(desk.Account{ID: a.ID, State: a.State, Revision: a.Revision}))
	}
	return slicePage(req, all)
}

// upload takes a document: the body is the document itself.
func (s *server) upload(req *request) (answer, error) {
	up, err := s.Desk.Upload(req.Context(), req.call, req.accountID, req.mediaType, req.raw)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: struct {
		SHA256    string `json:"sha256"`
		Bytes     int64  `json:"bytes"`
		MediaType string `json:"mediaType"`
		Revision  uint64 `json:"revision"`
		Position  string `json:"position"`
	}{up.SHA256, up.Bytes, up.MediaType, up.Revision, up.Position.String()}}, nil
}

// document gives a document back, as something to keep and never to show: it
// came from a stranger.
func (s *server) document(req *request) (answer, error) {
	sum := req.vars["sha256"]
	if !shaShape.MatchString(sum) {
		return answer{}, bad("sha256", "A document is named by its SHA-256 in lower-case hexadecimal.")
	}
	d, err := s.Desk.Document(req.Context(), req.reading(), req.accountID, sum)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, raw: d.Body, headers: http.Header{
		"Content-Type":            {d.MediaType},
		"Content-Disposition":     {`attachment; filename="` + sum[:12] + extension[d.MediaType] + `"`},
		"Content-Security-Policy": {"default-src 'none'; sandbox"},
	}}, nil
}

var extension = map[string]string{"application/pdf": ".pdf", "image/jpeg": ".jpg", "image/png": ".png"}

// accountView lists the permits of an account with what can be done now.
func (s *server) accountView(req *request) (answer, error) {
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	rows, next, err := s.accounts.Permits(req.Context(), req.accountID, cursor, limit)
	if err != nil {
		return answer{}, err
	}
	now := s.Desk.Now()
	var items []permitView
	for _, row := range rows {
		cs := s.Desk.CaseOf(row.PermitID, row.Permit, nil, row.Referral, row.Revision, now)
		if m, asked := row.Payments[max(1, row.Permit.Latest().Term)]; asked {
			cs.Payment = &m
		}
		items = append(items, showPermit(cs, req.see(cs, req.account.State.Subject)))
	}
	return pageOf(items, next), nil
}

// apply makes an application.
func (s *server) apply(req *request) (answer, error) {
	o := req.body
	a := desk.Application{Kind: domain.Kind(o.needWords("kind", maxName)), Months: o.count("months"), UPRN: o.uprn("uprn"),
		Vehicle: o.words("vehicle", maxName), StartsOn: o.date("startsOn"), TermsVersion: o.words("termsVersion", maxName),
		Evidence: evidenceIn(o)}
	o.need("months")
	o.need("vehicle")
	if !a.Kind.Valid() {
		o.fail("kind", "There is no such kind of permit.")
	}
	if o.has("termsVersion") && a.TermsVersion == "" {
		o.fail("termsVersion", "termsVersion says nothing: leave it out for the one in force.")
	}
	if on := o.flag("autoRenewal"); on != nil {
		a.AutoRenewal = *on
	}
	o.object("follows", func(f *object) {
		if f.has("permit") == f.has("dispute") {
			f.fail("", "An application follows a permit or a dispute, one of the two.")
		}
		a.FollowsPermit, a.FollowsDispute = domain.PermitID(f.id("permit")), domain.DisputeID(f.id("dispute"))
	})
	if err := o.done(); err != nil {
		return answer{}, err
	}
	cs, err := s.Desk.Apply(req.Context(), req.call, req.accountID, a)
	if err != nil {
		return answer{}, err
	}
	return answerPermit(http.StatusCreated, cs, req.see(cs, req.account.State.Subject)), nil
}

// evidenceIn takes the documents that a body names.
func evidenceIn(o *object) []domain.Evidence {
	var all []domain.Evidence
	o.need("evidence")
	o.objects("evidence", func(item *object) {
		item.need("kind")
		item.need("sha256")
		e := domain.Evidence{Kind: domain.EvidenceKind(item.words("kind", maxName)), SHA256: item.sha("sha256"),
			IssuedOn: item.date("issuedOn"), ExpiresOn: item.date("expiresOn"),
			TenancyFrom: item.date("tenancyFrom"), TenancyMonths: item.count("tenancyMonths")}
		if signed := item.flag("signed"); signed != nil {
			e.Signed = *signed
		}
		if !e.Kind.Valid() {
			item.fail("kind", "There is no such kind of evidence.")
		}
		all = append(all, e)
	})
	return all
}
