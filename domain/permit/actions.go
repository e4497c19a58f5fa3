package permit

import (
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// The actions, named like the routes that take them.
const (
	ActionApprove            = "approve"
	ActionReject             = "reject"
	ActionRequestInformation = "request-information"
	ActionSupplyInformation  = "supply-information"
	ActionWithdraw           = "withdraw"
	ActionPay                = "pay"
	ActionRenew              = "renew"
	ActionChangeVehicle      = "change-vehicle"
	ActionChangeAddress      = "change-address"
	ActionCancel             = "cancel"
	ActionCancelAutoRenewal  = "cancel-auto-renewal"
)

// Action is something that a role may do with a permit. It may be done now
// unless OpensOn or Why says otherwise.
type Action struct {
	Action  string
	OpensOn *domain.Date // the day from which it may be done, when that is known
	Why     string       // why it may not be done now; empty when it may
}

// ActionContext is what actions depend on outside the permit.
type ActionContext struct {
	Rules    policy.Rules
	Payment  Payment // of the application
	PayAgain bool    // the hold lapsed or the payment failed, so a new attempt may be made
	Referred bool    // information was asked for and has not been supplied
	Own      bool    // the caller entered the application or owns its account: see OwnedBy
}

// Actions lists what a role may do with the permit at an instant, in a fixed
// order. What may not be done now is listed only when saying why helps. The
// resident is the permit's owner: whose permit it is was settled before.
func (s State) Actions(at time.Time, role domain.Role, ctx ActionContext) []Action {
	var actions []Action
	for _, a := range []struct {
		name  string
		roles []domain.Role
		may   func(time.Time, ActionContext) (Action, bool)
	}{
		{ActionApprove, reviewers, s.mayApprove},
		{ActionReject, reviewers, s.mayReview},
		{ActionRequestInformation, reviewers, s.mayRefer},
		{ActionSupplyInformation, holders, s.maySupply},
		{ActionWithdraw, reviewers, s.mayWithdraw},
		{ActionPay, holders, s.mayPay},
		{ActionRenew, holders, s.mayRenew},
		{ActionChangeVehicle, holders, s.mayChange},
		{ActionChangeAddress, movers, s.mayChange},
		{ActionCancel, holders, s.mayCancel},
		{ActionCancelAutoRenewal, holders, s.mayCancelAutoRenewal},
	} {
		if !slices.Contains(a.roles, role) {
			continue
		}
		if action, ok := a.may(at, ctx); ok {
			action.Action = a.name
			actions = append(actions, action)
		}
	}
	return actions
}

// Who may ever take an action. It repeats, for showing, what the table of
// roles at the border decides.
var (
	holders   = []domain.Role{domain.RoleResident, domain.RoleOperator}
	reviewers = []domain.Role{domain.RoleReviewer}
	movers    = []domain.Role{domain.RoleOperator, domain.RoleReviewer}
)

func (s State) mayReview(at time.Time, ctx ActionContext) (Action, bool) {
	return Action{}, s.pending(at) == nil && !ctx.Own
}

func (s State) mayApprove(at time.Time, ctx ActionContext) (Action, bool) {
	action, ok := s.mayReview(at, ctx)
	if ok {
		action.Why = detail(s.checkHold(at, ctx.Rules, ctx.Payment))
	}
	return action, ok
}

func (s State) mayRefer(at time.Time, _ ActionContext) (Action, bool) {
	return Action{}, s.pending(at) == nil
}

func (s State) maySupply(at time.Time, ctx ActionContext) (Action, bool) {
	return Action{}, s.pending(at) == nil && ctx.Referred
}

func (s State) mayWithdraw(at time.Time, ctx ActionContext) (Action, bool) {
	return Action{}, s.live(at) == nil && !ctx.Own
}

func (s State) mayPay(at time.Time, ctx ActionContext) (Action, bool) {
	return Action{}, s.pending(at) == nil && s.Price > 0 && ctx.PayAgain
}

// mayRenew lists an early renewal with the day on which it opens.
func (s State) mayRenew(at time.Time, ctx ActionContext) (Action, bool) {
	err := s.renewable(at, ctx.Rules)
	if err == nil {
		return Action{}, true
	}
	if err.Rule == domain.RuleRenewalWindow {
		return Action{OpensOn: &err.OpensOn, Why: err.Detail}, true
	}
	return Action{}, false
}

func (s State) mayChange(at time.Time, _ ActionContext) (Action, bool) {
	return Action{}, s.live(at) == nil
}

func (s State) mayCancel(at time.Time, _ ActionContext) (Action, bool) {
	return Action{}, s.pending(at) == nil || s.live(at) == nil
}

func (s State) mayCancelAutoRenewal(at time.Time, _ ActionContext) (Action, bool) {
	return Action{}, s.AutoRenewalOn(at)
}

// detail is the sentence of a refusal, or nothing.
func detail(r *domain.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Detail
}
