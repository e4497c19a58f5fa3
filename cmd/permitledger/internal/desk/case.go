package desk

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Case is one permit with what belongs to it, folded to one place in the log
// and told at one instant. Answers to commands and reads are both made from
// it, so that a repeated command is answered with the same words.
type Case struct {
	ID       domain.PermitID
	Permit   permit.State
	Payment  *payment.State      // of the latest term, or of the application; nil when free
	Notice   notice.State        // request for information and its answer
	Revision uint64              // of the permit's stream
	Position eventstore.Position // of the command's last event; 0 for a read
	At       time.Time           // instant at which the case is told
	Rules    policy.Rules        // of the policy in force then
	Council  policy.Council
}

// Account is one account, folded from its stream.
type Account struct {
	ID       domain.AccountID
	State    account.State
	Revision uint64
	Position eventstore.Position // as in Case
}

// Details are a person's details as they were given. A nil field of a change
// stays as it is; an empty e-mail or telephone takes it away.
type Details struct {
	Name, Email, Phone *string
}

// Application is what a resident asks for.
type Application struct {
	Kind           domain.Kind
	Months         int
	UPRN           domain.UPRN
	Vehicle        string      // the mark as typed
	StartsOn       domain.Date // zero: today
	AutoRenewal    bool
	TermsVersion   string // empty: the one in force
	Evidence       []domain.Evidence
	FollowsPermit  domain.PermitID
	FollowsDispute domain.DisputeID
}

// Renewal is the answer to a renewal: the permit, or a payment that the payer
// has to make at the provider's page first.
type Renewal struct {
	Case
	Awaited *payment.State // nil when the money was taken at once
}

// Upload is the answer to a document that was received.
type Upload struct {
	SHA256    string
	Bytes     int64
	MediaType string
	Revision  uint64
	Position  eventstore.Position
}

// Document is a document as it was received.
type Document struct {
	MediaType string
	Body      []byte
}

// Offer is a property with what can be had there now.
type Offer struct {
	domain.Property
	Zone      domain.Zone
	SlotsFree int
}

// Chronicle is one event of a permit's history with the case as it stood
// after it, at the event's own instant. An event of no permit's history comes
// with a case that has no ID.
type Chronicle struct {
	Event  eventstore.Event
	Ledger uint64 // ledger number; 0 when not yet counted
	After  Case
}
