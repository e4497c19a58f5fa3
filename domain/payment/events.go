package payment

import (
	"time"

	"permitledger/domain"
)

// Event is a fact about the money of one term of one permit.
type Event interface {
	domain.Event
	payment()
}

// Mode says how a payment is taken.
type Mode string

// The modes of a payment.
const (
	ModeHold      Mode = "hold"      // authorised now, captured or released later: an application
	ModeImmediate Mode = "immediate" // taken at once by the payer: a renewal
	ModeAgreement Mode = "agreement" // taken at once under the agreement: an automatic renewal
)

// PaymentRequested asks the provider for money. A payment may be asked for
// again after it failed or its hold lapsed; attempts are numbered from 1.
type PaymentRequested struct {
	Permit        domain.PermitID  `json:"permit"`
	Account       domain.AccountID `json:"account"`
	Term          int              `json:"term"`
	Attempt       int              `json:"attempt"`
	Mode          Mode             `json:"mode"`
	Amount        domain.Pence     `json:"amountPence"`
	Reference     string           `json:"reference"`               // unique at the provider, derived from stream and attempt
	Months        int              `json:"months,omitempty"`        // of a renewal: what is being paid for
	AutoRenewal   *bool            `json:"autoRenewal,omitempty"`   // of a renewal: the wish that came with it
	TariffVersion string           `json:"tariffVersion,omitempty"` // the price's source
	TermsVersion  string           `json:"termsVersion,omitempty"`
}

// PaymentAwaited says that the payer must act at the provider's page.
type PaymentAwaited struct {
	Attempt    int    `json:"attempt"`
	ProviderID string `json:"providerId"`
	PayURL     string `json:"payUrl"`
}

// PaymentAuthorised is a hold: money set aside and not yet taken.
type PaymentAuthorised struct {
	Attempt    int       `json:"attempt"`
	ProviderID string    `json:"providerId"`
	HoldEndsAt time.Time `json:"holdEndsAt"`
}

// PaymentCaptured says that the money was taken.
type PaymentCaptured struct {
	Attempt    int          `json:"attempt"`
	ProviderID string       `json:"providerId"`
	Amount     domain.Pence `json:"amountPence"`
}

// PaymentReleased says that the hold was given back.
type PaymentReleased struct {
	Attempt    int    `json:"attempt"`
	ProviderID string `json:"providerId"`
}

// PaymentLapsed says that the hold ended unused.
type PaymentLapsed struct {
	Attempt    int       `json:"attempt"`
	ProviderID string    `json:"providerId"`
	EndedAt    time.Time `json:"endedAt"`
}

// PaymentFailed says that the provider declined, or that a capture after
// approval did not succeed (Outstanding).
type PaymentFailed struct {
	Attempt     int    `json:"attempt"`
	ProviderID  string `json:"providerId,omitempty"`
	Code        string `json:"code"`                  // the provider's reason
	Outstanding bool   `json:"outstanding,omitempty"` // the permit stands and the money is owed
}

// PaymentRefunded says that captured money went back.
type PaymentRefunded struct {
	Attempt    int          `json:"attempt"`
	ProviderID string       `json:"providerId"`
	Amount     domain.Pence `json:"amountPence"`
	Reason     string       `json:"reason"` // code
}

// The stored names of the payment's events.
const (
	TypePaymentRequested  = "PaymentRequested"
	TypePaymentAwaited    = "PaymentAwaited"
	TypePaymentAuthorised = "PaymentAuthorised"
	TypePaymentCaptured   = "PaymentCaptured"
	TypePaymentReleased   = "PaymentReleased"
	TypePaymentLapsed     = "PaymentLapsed"
	TypePaymentFailed     = "PaymentFailed"
	TypePaymentRefunded   = "PaymentRefunded"
)

// Types lists the stored names of all payment events.
func Types() []string {
	return []string{TypePaymentRequested, TypePaymentAwaited, TypePaymentAuthorised,
		TypePaymentCaptured, TypePaymentReleased, TypePaymentLapsed, TypePaymentFailed, TypePaymentRefunded}
}

// EventType gives the stored name.
func (PaymentRequested) EventType() string  { return TypePaymentRequested }
func (PaymentAwaited) EventType() string    { return TypePaymentAwaited }
func (PaymentAuthorised) EventType() string { return TypePaymentAuthorised }
func (PaymentCaptured) EventType() string   { return TypePaymentCaptured }
func (PaymentReleased) EventType() string   { return TypePaymentReleased }
func (PaymentLapsed) EventType() string     { return TypePaymentLapsed }
func (PaymentFailed) EventType() string     { return TypePaymentFailed }
func (PaymentRefunded) EventType() string   { return TypePaymentRefunded }

func (PaymentRequested) payment()  {}
func (PaymentAwaited) payment()    {}
func (PaymentAuthorised) payment() {}
func (PaymentCaptured) payment()   {}
func (PaymentReleased) payment()   {}
func (PaymentLapsed) payment()     {}
func (PaymentFailed) payment()     {}
func (PaymentRefunded) payment()   {}
