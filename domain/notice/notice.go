// Package notice is the correspondence about one application while it is
// reviewed: what the council asks the resident for and what the resident sends.
//
// It changes nothing about the permit, which stays pending. Its stream stands
// beside the permit's, which holds the eight lifecycle events and nothing else.
//
// Begin reading at State.
package notice

import (
	"errors"
	"slices"
	"strings"
	"time"

	"permitledger/domain"
)

// Stream names the stream of the correspondence about a permit.
func Stream(id domain.PermitID) string { return "notice-" + string(id) }

// State is the correspondence so far. The zero State is none. Evolve never
// changes what an earlier State refers to.
type State struct {
	Open     *Request          `json:"open,omitempty"`     // the request that waits for an answer
	Requests int               `json:"requests,omitempty"` // how many were made
	Supplied []domain.Evidence `json:"supplied,omitempty"` // all documents sent, in their order
	Notes    []string          `json:"notes,omitempty"`    // all words sent, in their order
	Erased   bool              `json:"erased,omitempty"`   // words are gone for ever
}

// Request is what the council asked for.
type Request struct {
	What string      `json:"what,omitempty"`
	By   domain.Date `json:"by"`
	At   time.Time   `json:"at"`
}

// Evolve folds one event.
func Evolve(s State, e Event, m domain.Meta) State {
	switch e := e.(type) {
	case InformationRequested:
		s.Open = &Request{What: e.Personal.Value.What, By: e.By, At: m.At}
		s.Requests++
		s.Erased = s.Erased || e.Personal.Erased
	case InformationSupplied:
		s.Open = nil
		s.Supplied = slices.Concat(s.Supplied, e.Evidence)
		if note := e.Personal.Value.Note; note != "" {
			s.Notes = slices.Concat(s.Notes, []string{note})
		}
		s.Erased = s.Erased || e.Personal.Erased
	}
	return s
}

// Erase gives the state as it is once the person's key is destroyed.
func (s State) Erase() State {
	if s.Requests == 0 && len(s.Supplied) == 0 && len(s.Notes) == 0 {
		return s
	}
	if s.Open != nil {
		s.Open = &Request{By: s.Open.By, At: s.Open.At}
	}
	s.Notes, s.Erased = nil, true
	return s
}

// Referred reports whether the application waits for the resident.
func (s State) Referred() bool { return s.Open != nil }

// Has reports whether a document was sent in this correspondence.
func (s State) Has(sha string) bool {
	return slices.ContainsFunc(s.Supplied, func(e domain.Evidence) bool { return e.SHA256 == sha })
}

// ErrNothingAsked is returned when a request for information does not say what
// is wanted.
var ErrNothingAsked = errors.New("notice: say what the resident should send")

// Ask is a request for information.
type Ask struct {
	Permit  domain.PermitID
	Pending bool // whether the application still waits for its decision
	What    string
	By      domain.Date
	At      time.Time
}

// RequestInformation refers an application back to the resident. A later
// request takes the place of one that is still open.
func RequestInformation(_ State, a Ask) ([]Event, error) {
	switch {
	case !a.Pending:
		return nil, refuse(a.At, domain.RuleNotPending, "", "Information can be asked for only until the application is decided: write to the resident instead.")
	case strings.TrimSpace(a.What) == "":
		return nil, ErrNothingAsked
	case a.By.Before(domain.DateOf(a.At)):
		return nil, refuse(a.At, domain.RuleClock, "by", "Give the resident a day to answer by that is today or later.")
	}
	return []Event{InformationRequested{Permit: a.Permit, By: a.By,
		Personal: domain.PersonalOf(RequestedPersonal{What: a.What})}}, nil
}

// Supply is information that the resident sends.
type Supply struct {
	Permit   domain.PermitID
	Pending  bool
	Evidence []domain.Evidence
	Uploaded func(sha string) bool // whether the account holds that document
	Note     string
	At       time.Time
}

// SupplyInformation adds documents or words to a pending application, asked for
// or not: a resident who found a better document should not have to wait for
// the question.
func SupplyInformation(_ State, c Supply) ([]Event, error) {
	switch {
	case !c.Pending:
		return nil, refuse(c.At, domain.RuleNotPending, "", "The application is decided: contact the council about the decision, or apply anew.")
	case len(c.Evidence) == 0 && strings.TrimSpace(c.Note) == "":
		return nil, refuse(c.At, domain.RuleEvidence, "evidence", "Add a document or a note.")
	}
	if err := domain.CheckDocuments(c.Evidence, domain.DateOf(c.At), c.Uploaded); err != nil {
		return nil, err
	}
	return []Event{InformationSupplied{Permit: c.Permit, Evidence: c.Evidence,
		Personal: domain.PersonalOf(SuppliedPersonal{Note: c.Note})}}, nil
}

func refuse(at time.Time, rule domain.Rule, field, detail string) error {
	r := domain.Refuse(rule, field, detail)
	r.At = at
	return r
}
