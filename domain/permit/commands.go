package permit

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// Command is one thing that can be asked of a permit. The set is closed.
//
// A command carries what its rules need from elsewhere as values, because
// Decide looks nothing up and the event must say what was used.
type Command interface{ command() }

// Quote is what the tariff in force says about a kind and a number of months.
type Quote struct {
	Sold          bool // whether that kind is sold for that number of months
	Price         domain.Pence
	TariffVersion string
}

// Apply makes the application that opens a permit's life.
type Apply struct {
	Account      domain.AccountID
	Kind         domain.Kind
	Months       int
	StartsOn     domain.Date // zero: today
	Property     domain.Property
	Zone         domain.Zone // of the property; empty: no permits are sold there
	Vehicle      string      // the mark as typed
	AutoRenewal  bool
	TermsVersion string
	Evidence     []domain.Evidence
	Uploaded     func(sha string) bool // whether the account holds that document
	EnteredBy    string                // sign-in subject of whoever enters the application

	FollowsPermit  domain.PermitID
	FollowsDispute domain.DisputeID
	FollowsOK      bool // a rejected permit of this account, or an overturned dispute about one

	Quote Quote
	Rules policy.Rules
}

// Review is what every decision of a reviewer carries.
type Review struct {
	Actor        domain.Actor
	Subject      string // sign-in subject of the reviewer
	OwnerSubject string // sign-in subject of the account's owner; empty when nobody owns it
	Decision     domain.Decision
	Versions     domain.Versions
	// Known reports whether a document belongs to this case beyond those that
	// State.Evidence names: those supplied later, those of an earlier address.
	// Nil: there are none.
	Known func(sha string) bool
}

// Payment is what is known of the application's money when it is decided.
type Payment struct {
	Free       bool // nothing was asked for
	Authorised bool // a hold was made and is neither taken nor given back
	HoldEndsAt time.Time
}

// Approve turns a pending application into a permit.
type Approve struct {
	Review
	Payment Payment
	Rules   policy.Rules // for the margin before the hold's end
}

// Reject ends a pending application, whatever its hold.
type Reject struct {
	Review
}

// Renew adds a term. It is decided when its payment has been taken; what can
// be checked before the payer is asked is in PlanRenewal.
type Renew struct {
	Months        int   // 0: those of the latest term
	AutoRenewal   *bool // nil: unchanged
	Price         domain.Pence
	TariffVersion string
	TermsVersion  string
	Payment       string // stream of the payment; empty when free
	Automatic     bool
	Rules         policy.Rules
}

// ChangeVehicle puts another vehicle on the permit.
type ChangeVehicle struct {
	Vehicle  string // the mark as typed
	Evidence []domain.Evidence
	Uploaded func(sha string) bool
	Rules    policy.Rules
}

// ChangeAddress moves the permit to another property of the same zone.
type ChangeAddress struct {
	Property domain.Property
	Zone     domain.Zone
	Evidence []domain.Evidence
	Uploaded func(sha string) bool
	Rules    policy.Rules
}

// Cancel ends a permit by the holder's wish, or withdraws an application: by
// the holder's wish or, for want of payment, by the ledger's.
type Cancel struct {
	Reason CancelReason // empty: the holder's wish
	Words  string       // the holder's own
	Rules  policy.Rules // for the refund
}

// Withdraw ends a permit by the council's decision, with notice.
type Withdraw struct {
	Review
	EffectiveOn domain.Date
	Rules       policy.Rules // for the refund
}

// CancelAutoRenewal takes back the consent to later charges.
type CancelAutoRenewal struct{}

func (Apply) command()             {}
func (Approve) command()           {}
func (Reject) command()            {}
func (Renew) command()             {}
func (ChangeVehicle) command()     {}
func (ChangeAddress) command()     {}
func (Cancel) command()            {}
func (Withdraw) command()          {}
func (CancelAutoRenewal) command() {}
