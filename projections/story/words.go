package story

import (
	"fmt"
	"strings"

	"permitledger/domain"
	"permitledger/domain/payment"
)

func day(d domain.Date) string {
	return fmt.Sprintf("%d %s %d", d.Day, d.Month, d.Year)
}

func months(n int) string {
	if n == 1 {
		return "1 month"
	}
	return fmt.Sprintf("%d months", n)
}

func kind(k domain.Kind) string { return strings.ReplaceAll(string(k), "-", " ") }

func autoRenewal(on bool) string {
	if on {
		return "with automatic renewal"
	}
	return "without automatic renewal"
}

func mode(m payment.Mode) string {
	switch m {
	case payment.ModeHold:
		return "to be held until the decision"
	case payment.ModeAgreement:
		return "under the resident's agreement to automatic renewal"
	}
	return "to be taken at once"
}

func basis(d domain.DecisionRecord) string {
	if d.Basis == domain.BasisDiscretion {
		return "at discretion"
	}
	return "under policy " + d.Versions.Policy
}

func reasons(d domain.DecisionRecord) string {
	if len(d.Reasons) == 0 {
		return "no reason code given"
	}
	var all []string
	for _, r := range d.Reasons {
		s := strings.ReplaceAll(string(r.Code), "-", " ")
		if r.Clause != "" {
			s += " (clause " + r.Clause + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func documents(items []domain.Evidence) string {
	if len(items) == 0 {
		return ""
	}
	var kinds []string
	for _, e := range items {
		kinds = append(kinds, document(e.Kind))
	}
	return ", with " + strings.Join(kinds, " and ")
}

func document(k domain.EvidenceKind) string {
	if k == domain.EvidenceV5C {
		return "V5C registration certificate"
	}
	return strings.ReplaceAll(string(k), "-", " ")
}
