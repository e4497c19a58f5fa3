package permit

import (
	"time"

	"permitledger/domain"
)

// Event is one of the eight lifecycle events. Nothing else is ever written to
// a permit's stream.
type Event interface {
	domain.Event
	lifecycle()
}

// Applied opens a permit's life: an application with everything that was
// resolved for it.
type Applied struct {
	Account           domain.AccountID  `json:"account"`
	Kind              domain.Kind       `json:"kind"`
	Zone              domain.Zone       `json:"zone"`
	Months            int               `json:"months"`
	RequestedFirstDay domain.Date       `json:"requestedFirstDay"`
	SubmittedOn       domain.Date       `json:"submittedOn"` // the London day of the application
	Price             domain.Pence      `json:"pricePence"`
	TariffVersion     string            `json:"tariffVersion"`
	AutoRenewal       bool              `json:"autoRenewal"`       // on = consent to later charges
	TermsVersion      string            `json:"termsVersion"`      // the terms and conditions accepted
	CountsTowardLimit bool              `json:"countsTowardLimit"` // whether this kind takes a slot at its property
	Evidence          []domain.Evidence `json:"evidence"`
	FollowsPermit     domain.PermitID   `json:"followsPermit,omitempty"`
	FollowsDispute    domain.DisputeID  `json:"followsDispute,omitempty"`

	Personal domain.Personal[AppliedPersonal] `json:"-"`
}

// AppliedPersonal is the personal part of Applied.
type AppliedPersonal struct {
	Property  domain.Property `json:"property"`
	Vehicle   domain.Vehicle  `json:"vehicle"`
	EnteredBy string          `json:"enteredBy"` // sign-in subject of whoever entered the application
}

// Approved turns an application into a permit with a first term.
type Approved struct {
	FirstDay domain.Date           `json:"firstDay"`
	LastDay  domain.Date           `json:"lastDay"`
	Decision domain.DecisionRecord `json:"decision"`

	Personal domain.Personal[domain.DecisionWords] `json:"-"`
}

// Rejected ends an application. The hold is to be released.
type Rejected struct {
	Decision domain.DecisionRecord `json:"decision"`

	Personal domain.Personal[domain.DecisionWords] `json:"-"`
}

// Renewed adds a term that begins on the day after the last one.
type Renewed struct {
	Term            int          `json:"term"`
	Months          int          `json:"months"`
	PreviousLastDay domain.Date  `json:"previousLastDay"`
	FirstDay        domain.Date  `json:"firstDay"`
	LastDay         domain.Date  `json:"lastDay"`
	Price           domain.Pence `json:"pricePence"`
	TariffVersion   string       `json:"tariffVersion"`
	Payment         string       `json:"payment,omitempty"` // stream of its payment; empty when free
	Automatic       bool         `json:"automatic"`
	AutoRenewal     bool         `json:"autoRenewal"` // on or off from here
	TermsVersion    string       `json:"termsVersion"`
}

// VehicleChanged puts another vehicle on the permit.
type VehicleChanged struct {
	EffectiveAt time.Time         `json:"effectiveAt"`
	Evidence    []domain.Evidence `json:"evidence,omitempty"` // where the policy asks for the new V5C

	Personal domain.Personal[VehicleChangedPersonal] `json:"-"`
}

// VehicleChangedPersonal is the personal part of VehicleChanged.
type VehicleChangedPersonal struct {
	From domain.Vehicle `json:"from"`
	To   domain.Vehicle `json:"to"`
}

// AddressChanged moves the permit to another property in the same zone.
type AddressChanged struct {
	Zone     domain.Zone       `json:"zone"`
	Evidence []domain.Evidence `json:"evidence"`

	Personal domain.Personal[AddressChangedPersonal] `json:"-"`
}

// AddressChangedPersonal is the personal part of AddressChanged.
type AddressChangedPersonal struct {
	From domain.Property `json:"from"`
	To   domain.Property `json:"to"`
}

// CancelReason says by whose wish or which rule a permit was cancelled.
type CancelReason string

// The reasons of a cancellation.
const (
	CancelledByHolder   CancelReason = "holder"           // asked for by the holder
	CancelledByCouncil  CancelReason = "council"          // withdrawn by the council, with notice
	CancelledUnpaid     CancelReason = "payment-not-made" // application never paid for
	CancelledHoldLapsed CancelReason = "payment-lapsed"   // hold lapsed and was not made again
)

// Cancelled ends a permit or withdraws an application.
type Cancelled struct {
	Reason      CancelReason           `json:"reason"`
	EffectiveAt time.Time              `json:"effectiveAt"`
	Refund      domain.Pence           `json:"refundPence"`        // nothing under the default policy
	RefundRule  string                 `json:"refundRule"`         // the policy's refund rule that gave it
	Decision    *domain.DecisionRecord `json:"decision,omitempty"` // of a withdrawal by the council

	Personal domain.Personal[CancelledPersonal] `json:"-"`
}

// CancelledPersonal is the personal part of Cancelled.
type CancelledPersonal struct {
	Words    string                `json:"words,omitempty"` // the holder's reason
	Decision *domain.DecisionWords `json:"decision,omitempty"`
}

// AutoRenewalCancelled stops later automatic charges. The permit stays.
type AutoRenewalCancelled struct{}

// The stored names of the lifecycle events.
const (
	TypeApplied              = "Applied"
	TypeApproved             = "Approved"
	TypeRejected             = "Rejected"
	TypeRenewed              = "Renewed"
	TypeVehicleChanged       = "VehicleChanged"
	TypeAddressChanged       = "AddressChanged"
	TypeCancelled            = "Cancelled"
	TypeAutoRenewalCancelled = "AutoRenewalCancelled"
)

// Types lists the stored names of all lifecycle events.
func Types() []string {
	return []string{TypeApplied, TypeApproved, TypeRejected, TypeRenewed,
		TypeVehicleChanged, TypeAddressChanged, TypeCancelled, TypeAutoRenewalCancelled}
}

// EventType gives the stored name.
func (Applied) EventType() string              { return TypeApplied }
func (Approved) EventType() string             { return TypeApproved }
func (Rejected) EventType() string             { return TypeRejected }
func (Renewed) EventType() string              { return TypeRenewed }
func (VehicleChanged) EventType() string       { return TypeVehicleChanged }
func (AddressChanged) EventType() string       { return TypeAddressChanged }
func (Cancelled) EventType() string            { return TypeCancelled }
func (AutoRenewalCancelled) EventType() string { return TypeAutoRenewalCancelled }

func (Applied) lifecycle()              {}
func (Approved) lifecycle()             {}
func (Rejected) lifecycle()             {}
func (Renewed) lifecycle()              {}
func (VehicleChanged) lifecycle()       {}
func (AddressChanged) lifecycle()       {}
func (Cancelled) lifecycle()            {}
func (AutoRenewalCancelled) lifecycle() {}

// PersonalPart gives the codec the part that is sealed.
func (e *Applied) PersonalPart() domain.PersonalPart        { return &e.Personal }
func (e *Approved) PersonalPart() domain.PersonalPart       { return &e.Personal }
func (e *Rejected) PersonalPart() domain.PersonalPart       { return &e.Personal }
func (e *VehicleChanged) PersonalPart() domain.PersonalPart { return &e.Personal }
func (e *AddressChanged) PersonalPart() domain.PersonalPart { return &e.Personal }
func (e *Cancelled) PersonalPart() domain.PersonalPart      { return &e.Personal }
