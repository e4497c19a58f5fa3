package domain

import (
	"fmt"
	"slices"
	"strings"
)

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

// The outcomes of a decision about a permit.
const (
	OutcomeApproved  = "approved"
	OutcomeRejected  = "rejected"
	OutcomeWithdrawn = "withdrawn"
)

// ReasonCodes lists the reason codes.
func ReasonCodes() []ReasonCode {
	return []ReasonCode{ReasonNotResident, ReasonEvidenceMissing, ReasonEvidenceOutOfDate, ReasonEvidenceIllegible,
		ReasonNameMismatch, ReasonWrongZone, ReasonPropertyNotEligible, ReasonPropertyLimit, ReasonVehiclePermitted,
		ReasonVehicleNotEligible, ReasonVehicleNotRegistered, ReasonBlueBadgeInvalid, ReasonTenancyTooLong,
		ReasonDuplicate, ReasonPaymentLapsed, ReasonOther}
}

// Valid reports whether c is a reason code that exists.
func (c ReasonCode) Valid() bool { return slices.Contains(ReasonCodes(), c) }

// Valid reports whether b is a basis that exists.
func (b Basis) Valid() bool { return b == BasisPolicy || b == BasisDiscretion }

// Split parts a decision into what is stored in clear and the words that are
// sealed. JoinDecision puts the two together again without loss.
func (d Decision) Split(outcome string, decider Actor, v Versions) (DecisionRecord, DecisionWords) {
	r := DecisionRecord{Outcome: outcome, Basis: d.Basis, Decider: decider, Versions: v}
	w := DecisionWords{Conditions: d.Conditions, Considered: d.Considered, NotChecked: d.NotChecked, Told: d.Told}
	for _, reason := range d.Reasons {
		r.Reasons = append(r.Reasons, ReasonClause{Code: reason.Code, Clause: reason.Clause})
		w.Reasons = append(w.Reasons, reason.Text)
	}
	for _, c := range d.Considered {
		if c.Evidence != "" {
			r.Evidence = append(r.Evidence, c.Evidence)
		}
	}
	return r, w
}

// JoinDecision gives the decision that was split. When its words have been
// erased, the codes, the clauses and the hashes of the documents considered
// remain.
func JoinDecision(r DecisionRecord, w DecisionWords) Decision {
	d := Decision{Basis: r.Basis, Conditions: w.Conditions, Considered: w.Considered, NotChecked: w.NotChecked, Told: w.Told}
	for i, reason := range r.Reasons {
		text := ""
		if i < len(w.Reasons) {
			text = w.Reasons[i]
		}
		d.Reasons = append(d.Reasons, Reason{Code: reason.Code, Clause: reason.Clause, Text: text})
	}
	if len(w.Considered) == 0 {
		for _, sha := range r.Evidence {
			d.Considered = append(d.Considered, Considered{Evidence: sha})
		}
	}
	return d
}

// Check says whether the decision may stand: a rejection gives at least one
// reason, the reason "other" has words, and something was considered that is
// part of the application. The error is a *Refusal with RuleReasons or
// RuleConsidered; known reports whether a document is part of the application,
// and without it none is.
func (d Decision) Check(outcome string, known func(evidenceSHA string) bool) error {
	if outcome == OutcomeRejected && len(d.Reasons) == 0 {
		return Refuse(RuleReasons, "reasons", "Give at least one reason for the rejection.")
	}
	for i, r := range d.Reasons {
		if r.Code == ReasonOther && strings.TrimSpace(r.Text) == "" {
			return Refuse(RuleReasons, fmt.Sprintf("reasons[%d].text", i), "Say in words what the reason \"other\" is.")
		}
	}
	if len(d.Considered) == 0 {
		return Refuse(RuleConsidered, "considered", "Name at least one document or check that you considered.")
	}
	for i, c := range d.Considered {
		if c.Evidence == "" && strings.TrimSpace(c.Check) == "" {
			return Refuse(RuleConsidered, fmt.Sprintf("considered[%d]", i), "Say which document or which check each result is about.")
		}
		if c.Evidence != "" && (known == nil || !known(c.Evidence)) {
			return Refuse(RuleConsidered, fmt.Sprintf("considered[%d].evidence", i), "Name only documents that are part of this application.")
		}
	}
	return nil
}
