package domain

import "time"

// Kind is a kind of permit.
type Kind string

// The kinds of permit.
const (
	KindResident          Kind = "resident"
	KindDisabledResident  Kind = "disabled-resident"
	KindMotorcycle        Kind = "motorcycle"
	KindTemporaryResident Kind = "temporary-resident"
	KindStudent           Kind = "student"
)

// Pence is an amount of money in pounds sterling, counted in pence.
type Pence int64

// UPRN is a unique property reference number: one to twelve digits, kept as
// text because it is a name and not a number.
type UPRN string

// Zone is a permit zone. The empty zone means that no permits are sold.
type Zone string

// Property is one address as the gazetteer knows it.
type Property struct {
	UPRN     UPRN   `json:"uprn"`
	House    string `json:"house"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
}

// Vehicle is a vehicle mark as it was typed and as it is compared.
type Vehicle struct {
	AsTyped string `json:"asTyped"`
	Mark    VRM    `json:"mark"` // upper case, without spaces, hyphens and dots
}

// EvidenceKind is a kind of document.
type EvidenceKind string

// The kinds of evidence.
const (
	EvidenceTenancy       EvidenceKind = "tenancy-agreement"
	EvidenceUtilityBill   EvidenceKind = "utility-bill"
	EvidenceBankStatement EvidenceKind = "bank-statement"
	EvidenceCompletion    EvidenceKind = "letter-of-completion"
	EvidenceSolicitor     EvidenceKind = "solicitor-letter"
	EvidenceV5C           EvidenceKind = "v5c"
	EvidenceBlueBadge     EvidenceKind = "blue-badge"
)

// Evidence is a document named by an application: what it is and which bytes,
// never the document itself. Dates that a kind does not use are zero.
type Evidence struct {
	Kind          EvidenceKind `json:"kind"`
	SHA256        string       `json:"sha256"`
	IssuedOn      Date         `json:"issuedOn,omitzero"`
	ExpiresOn     Date         `json:"expiresOn,omitzero"`      // blue badge
	TenancyFrom   Date         `json:"tenancyFrom,omitzero"`    // tenancy agreement
	TenancyMonths int          `json:"tenancyMonths,omitempty"` // tenancy agreement
	Signed        bool         `json:"signed,omitempty"`        // tenancy agreement
}

// ReasonCode says why an application was rejected.
type ReasonCode string

// The reason codes. ReasonOther needs words.
const (
	ReasonNotResident          ReasonCode = "not-resident"
	ReasonEvidenceMissing      ReasonCode = "evidence-missing"
	ReasonEvidenceOutOfDate    ReasonCode = "evidence-out-of-date"
	ReasonEvidenceIllegible    ReasonCode = "evidence-illegible"
	ReasonNameMismatch         ReasonCode = "name-mismatch"
	ReasonWrongZone            ReasonCode = "wrong-zone"
	ReasonPropertyNotEligible  ReasonCode = "property-not-eligible"
	ReasonPropertyLimit        ReasonCode = "property-limit-reached"
	ReasonVehiclePermitted     ReasonCode = "vehicle-already-permitted"
	ReasonVehicleNotEligible   ReasonCode = "vehicle-not-eligible"
	ReasonVehicleNotRegistered ReasonCode = "vehicle-not-registered-at-address"
	ReasonBlueBadgeInvalid     ReasonCode = "blue-badge-invalid"
	ReasonTenancyTooLong       ReasonCode = "tenancy-too-long"
	ReasonDuplicate            ReasonCode = "duplicate"
	ReasonPaymentLapsed        ReasonCode = "payment-lapsed"
	ReasonOther                ReasonCode = "other"
)

// Basis says whether a decision follows the policy or departs from it.
type Basis string

// The bases of a decision.
const (
	BasisPolicy     Basis = "policy"
	BasisDiscretion Basis = "discretion"
)

// Reason is one reason of a rejection: a code, the clause of the terms and
// plain words.
type Reason struct {
	Code   ReasonCode `json:"code"`
	Clause string     `json:"clause,omitempty"`
	Text   string     `json:"text,omitempty"`
}

// Considered is one thing that was looked at: a document by its SHA-256, or a
// check by its name; never both.
type Considered struct {
	Evidence string `json:"evidence,omitempty"`
	Check    string `json:"check,omitempty"`
	Result   string `json:"result"`
	Note     string `json:"note,omitempty"`
}

// Decision is what a reviewer says when they decide.
type Decision struct {
	Basis      Basis        `json:"basis"`
	Conditions []string     `json:"conditions,omitempty"` // of a discretionary decision
	Reasons    []Reason     `json:"reasons,omitempty"`
	Considered []Considered `json:"considered,omitempty"`
	NotChecked []string     `json:"notChecked,omitempty"`
	Told       string       `json:"told,omitempty"` // what the resident is told
}

// DecisionRecord is the part of a decision that is stored in clear: codes,
// document hashes, who decided and under which published rules. The words
// that a person typed are in DecisionWords.
type DecisionRecord struct {
	Outcome  string         `json:"outcome"` // "approved", "rejected" or "withdrawn"
	Basis    Basis          `json:"basis"`
	Reasons  []ReasonClause `json:"reasons,omitempty"`
	Evidence []string       `json:"evidence,omitempty"` // SHA-256 of each document considered
	Decider  Actor          `json:"decider"`
	Versions Versions       `json:"versions"`
}

// ReasonClause is a reason without its words.
type ReasonClause struct {
	Code   ReasonCode `json:"code"`
	Clause string     `json:"clause,omitempty"`
}

// DecisionWords are the sentences of a decision. They are personal: they may
// say anything about anybody.
type DecisionWords struct {
	Conditions []string     `json:"conditions,omitempty"`
	Reasons    []string     `json:"reasons,omitempty"` // one for each reason of the record, in its order
	Considered []Considered `json:"considered,omitempty"`
	NotChecked []string     `json:"notChecked,omitempty"`
	Told       string       `json:"told,omitempty"`
}

// Refusal is the domain's "no": which rule, why, and what to do instead.
// It is returned as an error by every decision and means that nothing
// happened.
type Refusal struct {
	Rule    Rule
	Detail  string    // a sentence that says what to do
	Field   string    // the part of the command that is at fault, when one is
	OpensOn Date      // for RuleRenewalWindow: the day on which renewal opens
	At      time.Time // when the command was looked at
}

// Error gives the rule and the detail.
func (r *Refusal) Error() string { return string(r.Rule) + ": " + r.Detail }

// Rule names a rule of the domain in a refusal. The names are fixed: programs
// outside compare them.
type Rule string

// The rules.
const (
	RuleKindMonths      Rule = "kind-months"
	RuleNoZone          Rule = "no-zone"
	RulePropertyLimit   Rule = "property-limit"
	RuleEvidence        Rule = "evidence"
	RuleFirstDay        Rule = "first-day"
	RuleVehicle         Rule = "vehicle"
	RuleNotPending      Rule = "not-pending"
	RuleNotLive         Rule = "not-live"
	RuleOwnApplication  Rule = "own-application"
	RuleHold            Rule = "hold"
	RuleReasons         Rule = "reasons"
	RuleRenewalWindow   Rule = "renewal-window"
	RuleEnded           Rule = "ended"
	RuleSameVehicle     Rule = "same-vehicle"
	RuleOtherZone       Rule = "other-zone"
	RuleSameAddress     Rule = "same-address"
	RuleAutoRenewalOff  Rule = "auto-renewal-off"
	RuleRetention       Rule = "retention"
	RuleDisputeExists   Rule = "dispute-exists"
	RuleDisputeWindow   Rule = "dispute-window"
	RuleSameDecider     Rule = "same-decider"
	RuleDisputeState    Rule = "dispute-state"
	RulePropertyUnknown Rule = "property-unknown"
	RuleFollows         Rule = "follows"
	RuleConsidered      Rule = "considered"
	RuleClock           Rule = "clock"
)
