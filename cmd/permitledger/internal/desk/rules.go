package desk

import (
	"errors"
	"fmt"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// ErrNoRules is returned when no policy is in force on a day: the council has
// published none, or only later ones.
var ErrNoRules = errors.New("no policy is in force")

// rulesOn is the policy in force on a London day.
func (d *Desk) rulesOn(day domain.Date) (policy.Policy, error) {
	p, ok := d.Book().PolicyOn(day)
	if !ok {
		return policy.Policy{}, fmt.Errorf("%w on %s; publish a council folder whose policy covers that day", ErrNoRules, day)
	}
	return p, nil
}

// versionsOn names what is in force on a London day.
func (d *Desk) versionsOn(day domain.Date) domain.Versions { return d.Book().VersionsOn(day) }

// acceptedTerms is the version of the terms and conditions that a resident
// accepts: the one in force when none is named.
func (d *Desk) acceptedTerms(version string, day domain.Date) (string, error) {
	inForce, ok := d.Book().TermsOn(day)
	if !ok {
		return "", fmt.Errorf("%w on %s; publish a council folder whose terms cover that day", ErrNoRules, day)
	}
	if version != "" && version != inForce.Version {
		return "", domain.Refuse(domain.RuleKindMonths, "termsVersion", fmt.Sprintf(
			"The terms and conditions in force are version %s; read those and accept them.", inForce.Version))
	}
	return inForce.Version, nil
}
