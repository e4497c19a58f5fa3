package domain

import (
	"fmt"
	"slices"
)

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

// EvidenceKinds lists the kinds of evidence.
func EvidenceKinds() []EvidenceKind {
	return []EvidenceKind{EvidenceTenancy, EvidenceUtilityBill, EvidenceBankStatement,
		EvidenceCompletion, EvidenceSolicitor, EvidenceV5C, EvidenceBlueBadge}
}

// Valid reports whether k is a kind of evidence that exists.
func (k EvidenceKind) Valid() bool { return slices.Contains(EvidenceKinds(), k) }

// noun is what people call a document of this kind.
func (k EvidenceKind) noun() string {
	switch k {
	case EvidenceTenancy:
		return "tenancy agreement"
	case EvidenceUtilityBill:
		return "utility bill"
	case EvidenceBankStatement:
		return "bank statement"
	case EvidenceCompletion:
		return "letter of completion"
	case EvidenceSolicitor:
		return "solicitor's letter"
	case EvidenceV5C:
		return "V5C registration certificate"
	case EvidenceBlueBadge:
		return "Blue Badge"
	}
	return "document"
}

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

// IsProofOfResidency reports whether a document of this kind can show that
// its holder lives at an address; not whether this one does.
func (e Evidence) IsProofOfResidency() bool {
	switch e.Kind {
	case EvidenceTenancy, EvidenceUtilityBill, EvidenceBankStatement, EvidenceCompletion, EvidenceSolicitor:
		return true
	}
	return false
}

// EvidenceRules are what a list of evidence is held against. One proof of
// residency is always needed.
type EvidenceRules struct {
	Kind                   Kind
	FirstDay               Date // tenancy and badge must cover it; for a change of address: today
	SubmittedOn            Date // the London day on which the documents were submitted
	ProofMonths            int  // how old a bill or statement may be on that day
	TemporaryTenancyMonths int  // the longest tenancy of a temporary resident; 0 = no limit
	NeedV5C                bool
	NeedBadge              bool
	// Uploaded reports whether a document with this hash was uploaded to the
	// account. Without it no document was.
	Uploaded func(sha256 string) bool
}

// CheckEvidence says whether the evidence is complete and in date. Its error
// is a *Refusal with RuleEvidence.
//
// One good proof of residency suffices, whatever else is in the list. One file
// may show several things: a resident may scan the bill and the V5C together.
func CheckEvidence(items []Evidence, c EvidenceRules) error {
	if err := CheckDocuments(items, c.SubmittedOn, c.Uploaded); err != nil {
		return err
	}
	needs := []need{{missing: "Add one proof of residency: a signed tenancy agreement, a recent utility bill or bank statement, a letter of completion or a solicitor's letter."}}
	needs[0].from(items, Evidence.IsProofOfResidency, c.residencyFault)
	if c.NeedV5C {
		n := need{missing: "Add the vehicle's V5C registration certificate."}
		n.from(items, ofKind(EvidenceV5C), func(Evidence) *fault { return nil })
		needs = append(needs, n)
	}
	if c.NeedBadge {
		n := need{missing: "Add the Blue Badge with the day on which it expires."}
		n.from(items, ofKind(EvidenceBlueBadge), func(e Evidence) *fault { return badgeFault(e, c.FirstDay) })
		needs = append(needs, n)
	}
	for _, n := range needs {
		if !n.met {
			return n.refusal()
		}
	}
	return nil
}

// CheckDocuments says whether documents may be named at all: each was uploaded
// to the account, and none is dated after the day on which it is submitted. Its
// error is a *Refusal with RuleEvidence.
func CheckDocuments(items []Evidence, submittedOn Date, uploaded func(sha256 string) bool) error {
	for i, e := range items {
		if uploaded == nil || !uploaded(e.SHA256) {
			return refuseEvidence(i, "sha256", "Upload the %s to this account before you name it.", e.Kind.noun())
		}
		if e.IssuedOn.After(submittedOn) {
			return refuseEvidence(i, "issuedOn", "The %s is dated %s, which is still to come: check its date.", e.Kind.noun(), e.IssuedOn)
		}
	}
	return nil
}

// fault is what keeps a document from counting.
type fault struct {
	field  string
	detail string
}

// need is something the evidence must show.
type need struct {
	missing string // what to do when there is no such document at all
	met     bool   // a document shows it
	first   *fault // of the first document that was meant to show it and does not
	at      int    // its place in the list
}

// from looks through the list for documents that are meant for this need.
func (n *need) from(items []Evidence, meant func(Evidence) bool, check func(Evidence) *fault) {
	for i, e := range items {
		if !meant(e) {
			continue
		}
		f := check(e)
		if f == nil {
			n.met = true
		} else if n.first == nil {
			n.first, n.at = f, i
		}
	}
}

func (n need) refusal() error {
	if n.first == nil {
		return Refuse(RuleEvidence, "evidence", n.missing)
	}
	return refuseEvidence(n.at, n.first.field, "%s", n.first.detail)
}

func ofKind(k EvidenceKind) func(Evidence) bool {
	return func(e Evidence) bool { return e.Kind == k }
}

// residencyFault says why a document is no good proof of residency.
func (c EvidenceRules) residencyFault(e Evidence) *fault {
	switch e.Kind {
	case EvidenceUtilityBill, EvidenceBankStatement:
		oldest := c.SubmittedOn.MonthsBack(c.ProofMonths)
		if e.IssuedOn.IsZero() {
			return &fault{"issuedOn", fmt.Sprintf("Give the date of the %s.", e.Kind.noun())}
		}
		if e.IssuedOn.Before(oldest) {
			return &fault{"issuedOn", fmt.Sprintf("The %s is dated %s: send one dated %s or later.", e.Kind.noun(), e.IssuedOn, oldest)}
		}
	case EvidenceTenancy:
		if !e.Signed {
			return &fault{"signed", "Send the tenancy agreement with the signatures on it."}
		}
		if f := tenancyFault(e, c.FirstDay); f != nil {
			return f
		}
		if longest := c.TemporaryTenancyMonths; c.Kind == KindTemporaryResident && longest > 0 && e.TenancyMonths > longest {
			return &fault{"tenancyMonths", fmt.Sprintf("The tenancy is for %d months: with more than %d, apply for a resident's permit instead.", e.TenancyMonths, longest)}
		}
	}
	return nil
}

// tenancyFault says why a tenancy does not cover a day.
func tenancyFault(e Evidence, day Date) *fault {
	if e.TenancyFrom.IsZero() || e.TenancyMonths <= 0 {
		return &fault{"tenancyFrom", "Give the day on which the tenancy begins and for how many months it runs."}
	}
	if e.TenancyFrom.After(day) {
		return &fault{"tenancyFrom", fmt.Sprintf("The tenancy begins on %s, after the permit's first day %s: choose a later first day or send another proof of residency.", e.TenancyFrom, day)}
	}
	if last := LastDay(e.TenancyFrom, e.TenancyMonths); last.Before(day) {
		return &fault{"tenancyMonths", fmt.Sprintf("The tenancy ends on %s, before the permit's first day %s: send the agreement that covers it or another proof of residency.", last, day)}
	}
	return nil
}

// badgeFault says why a Blue Badge does not hold on a day.
func badgeFault(e Evidence, day Date) *fault {
	if e.ExpiresOn.IsZero() {
		return &fault{"expiresOn", "Give the day on which the Blue Badge expires."}
	}
	if e.ExpiresOn.Before(day) {
		return &fault{"expiresOn", fmt.Sprintf("The Blue Badge expires on %s, before the permit's first day %s: send the renewed badge.", e.ExpiresOn, day)}
	}
	return nil
}

func refuseEvidence(i int, field, format string, args ...any) error {
	return Refuse(RuleEvidence, fmt.Sprintf("evidence[%d].%s", i, field), fmt.Sprintf(format, args...))
}

// EvidenceWarning tells a reviewer that a document which was good when it was
// submitted does not hold for the first day that the permit would really get.
type EvidenceWarning struct {
	Kind   EvidenceKind
	SHA256 string
	Detail string
}

// EvidenceWarnings looks at badge and tenancy again, against the first day
// that an approval today would give. It never looks at a bill's age: a slow
// review must not make good evidence stale.
func EvidenceWarnings(items []Evidence, firstDay Date) []EvidenceWarning {
	var warnings []EvidenceWarning
	for _, e := range items {
		var f *fault
		switch e.Kind {
		case EvidenceTenancy:
			f = tenancyFault(e, firstDay)
		case EvidenceBlueBadge:
			f = badgeFault(e, firstDay)
		}
		if f != nil {
			warnings = append(warnings, EvidenceWarning{Kind: e.Kind, SHA256: e.SHA256, Detail: f.detail})
		}
	}
	return warnings
}
