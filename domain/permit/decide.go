package permit

import (
	"errors"
	"fmt"
	"time"

	"permitledger/domain"
)

// Decide says what follows from a command given to a permit at an instant. A
// refusal is a *domain.Refusal and means that nothing happened: there are
// never both events and an error.
//
// What is looked at first is the state, then who asks, then what they say, so
// that a command that could never succeed is not answered with a detail.
func Decide(s State, at time.Time, c Command) ([]Event, error) {
	e, err := decide(s, at.UTC(), c)
	if err != nil {
		return nil, stamp(at, err)
	}
	return []Event{e}, nil
}

func decide(s State, at time.Time, c Command) (Event, error) {
	switch c := c.(type) {
	case Apply:
		return s.apply(at, c)
	case Approve:
		return s.approve(at, c)
	case Reject:
		return s.reject(at, c)
	case Renew:
		return s.renew(at, c)
	case ChangeVehicle:
		return s.changeVehicle(at, c)
	case ChangeAddress:
		return s.changeAddress(at, c)
	case Cancel:
		return s.cancel(at, c)
	case Withdraw:
		return s.withdraw(at, c)
	case CancelAutoRenewal:
		return s.cancelAutoRenewal(at)
	}
	return nil, fmt.Errorf("permit: no decision for the command %T", c)
}

// stamp puts the instant of the decision on a refusal. The rules themselves
// leave it out, so that none can forget it.
func stamp(at time.Time, err error) error {
	if r, ok := errors.AsType[*domain.Refusal](err); ok {
		stamped := *r
		stamped.At = at.UTC()
		return &stamped
	}
	return err
}

// live refuses what only an approved permit that has not ended may undergo.
// A permit whose cancellation is recorded counts as ended even while its
// notice runs: what would be changed is already given up.
func (s State) live(at time.Time) *domain.Refusal {
	switch s.Status(at) {
	case StatusUpcoming, StatusActive:
		if c := s.Cancellation; c != nil {
			return domain.Refuse(domain.RuleEnded, "", fmt.Sprintf(
				"The council has withdrawn this permit with effect from %s; nothing can be changed on it any more.",
				domain.DateOf(c.EffectiveAt)))
		}
		return nil
	case StatusExpired:
		return domain.Refuse(domain.RuleEnded, "", fmt.Sprintf(
			"This permit ended with its last day, %s. A new application is needed.", s.LastDay()))
	case StatusCancelled:
		return domain.Refuse(domain.RuleEnded, "", "This permit was cancelled. A new application is needed.")
	case StatusRejected:
		return domain.Refuse(domain.RuleNotLive, "", "This application was rejected. A new application is needed.")
	case StatusPending:
		return domain.Refuse(domain.RuleNotLive, "", "This application has not been decided yet.")
	}
	return domain.Refuse(domain.RuleNotLive, "", "There is no such permit.")
}

// pending refuses what only an application that waits for its decision may
// undergo.
func (s State) pending(at time.Time) *domain.Refusal {
	switch s.Status(at) {
	case StatusPending:
		if s.Cancellation == nil {
			return nil
		}
		// Asked about an instant before the end that is already written.
		return domain.Refuse(domain.RuleNotPending, "", "This application was withdrawn.")
	case StatusRejected:
		return domain.Refuse(domain.RuleNotPending, "", "This application was rejected already.")
	case StatusCancelled:
		return domain.Refuse(domain.RuleNotPending, "", "This application or permit was cancelled.")
	case StatusNone:
		return domain.Refuse(domain.RuleNotPending, "", "There is no such application.")
	}
	return domain.Refuse(domain.RuleNotPending, "", "This application was approved already.")
}
