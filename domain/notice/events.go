package notice

import "permitledger/domain"

// Event is a fact of the correspondence about one application.
type Event interface {
	domain.Event
	notice()
}

// InformationRequested refers an application back to the resident.
type InformationRequested struct {
	Permit domain.PermitID `json:"permit"`
	By     domain.Date     `json:"by"`

	Personal domain.Personal[RequestedPersonal] `json:"-"`
}

// RequestedPersonal is the personal part of InformationRequested.
type RequestedPersonal struct {
	What string `json:"what"`
}

// InformationSupplied answers a request with documents, words or both.
type InformationSupplied struct {
	Permit   domain.PermitID   `json:"permit"`
	Evidence []domain.Evidence `json:"evidence,omitempty"`

	Personal domain.Personal[SuppliedPersonal] `json:"-"`
}

// SuppliedPersonal is the personal part of InformationSupplied.
type SuppliedPersonal struct {
	Note string `json:"note,omitempty"`
}

// The stored names of the correspondence's events.
const (
	TypeInformationRequested = "InformationRequested"
	TypeInformationSupplied  = "InformationSupplied"
)

// Types lists the stored names of all events of the correspondence.
func Types() []string { return []string{TypeInformationRequested, TypeInformationSupplied} }

// EventType gives the stored name.
func (InformationRequested) EventType() string { return TypeInformationRequested }
func (InformationSupplied) EventType() string  { return TypeInformationSupplied }

func (InformationRequested) notice() {}
func (InformationSupplied) notice()  {}

// PersonalPart gives the codec the part that is sealed.
func (e *InformationRequested) PersonalPart() domain.PersonalPart { return &e.Personal }
func (e *InformationSupplied) PersonalPart() domain.PersonalPart  { return &e.Personal }
