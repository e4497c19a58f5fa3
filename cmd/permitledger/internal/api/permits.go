package api

import (
	"net/http"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/eventstore"
	"permitledger/projections/audit"
)

// permitAnswer is the answer of a command that shows the permit.
func (req *request) permitAnswer(cs desk.Case, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answerPermit(http.StatusOK, cs, req.see(cs, req.account.State.Subject)), nil
}

// permit shows a permit now, or as it was (asOf), or as the ledger knew it
// (knownAt). What the ledger knew is told as of that same instant, unless
// asOf says otherwise: it is what somebody who looked then was shown.
func (s *server) permit(req *request) (answer, error) {
	asOf, err := req.instant("asOf")
	if err != nil {
		return answer{}, err
	}
	knownAt, err := req.instant("knownAt")
	if err != nil {
		return answer{}, err
	}
	if asOf == nil && knownAt == nil {
		return req.permitAnswer(req.found, nil)
	}
	var known eventstore.Position
	if knownAt != nil {
		if knownAt.After(s.Desk.Now()) {
			return answer{}, bad("knownAt", "Nobody knows yet what the ledger will know: knownAt must not be ahead of now.")
		}
		if err := s.abreast(req, audit.Name); err != nil {
			return answer{}, err
		}
		last, found, err := s.audit.KnownAt(req.Context(), *knownAt)
		if err != nil {
			return answer{}, err
		}
		if !found {
			return answer{}, errNotFound
		}
		known = last.Position
	}
	cs, err := s.Desk.CaseAt(req.Context(), req.permitID, asOf, known)
	if err != nil {
		return answer{}, err
	}
	if asOf == nil {
		cs = s.Desk.CaseOf(cs.ID, cs.Permit, cs.Payment, cs.Notice, cs.Revision, *knownAt)
	}
	v := req.see(cs, req.account.State.Subject)
	v.then = true
	return answerPermit(http.StatusOK, cs, v), nil
}

func (s *server) supplyInformation(req *request) (answer, error) {
	evidence, note := evidenceIn(req.body), req.body.words("note", maxWords)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.SupplyInformation(req.Context(), req.call, req.permitID, evidence, note))
}

func (s *server) pay(req *request) (answer, error) {
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	cs, err := s.Desk.Pay(req.Context(), req.call, req.permitID)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, revision: &cs.Revision,
		body: paymentAnswer{Payment: showPayment(cs), Revision: cs.Revision, Position: cs.Position.String()}}, nil
}

func (s *server) renew(req *request) (answer, error) {
	months, autoRenewal := req.body.count("months"), req.body.flag("autoRenewal")
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	r, err := s.Desk.Renew(req.Context(), req.call, req.permitID, months, autoRenewal)
	if err != nil {
		return answer{}, err
	}
	if r.Awaited != nil {
		return answer{status: http.StatusAccepted, revision: &r.Revision,
			body: paymentAnswer{Payment: showMoney(*r.Awaited, r.At), Revision: r.Revision, Position: r.Position.String()}}, nil
	}
	return req.permitAnswer(r.Case, nil)
}

func (s *server) changeVehicle(req *request) (answer, error) {
	req.body.need("vehicle")
	mark := req.body.words("vehicle", maxName)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.ChangeVehicle(req.Context(), req.call, req.permitID, mark))
}

func (s *server) changeAddress(req *request) (answer, error) {
	uprn, evidence := req.body.uprn("uprn"), evidenceIn(req.body)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.ChangeAddress(req.Context(), req.call, req.permitID, uprn, evidence))
}

func (s *server) cancel(req *request) (answer, error) {
	words := req.body.words("reason", maxWords)
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.Cancel(req.Context(), req.call, req.permitID, words))
}

func (s *server) cancelAutoRenewal(req *request) (answer, error) {
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	return req.permitAnswer(s.Desk.CancelAutoRenewal(req.Context(), req.call, req.permitID))
}
