package domain

import "time"

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

// Refuse makes a refusal. The field is empty where no one part of the command
// is at fault; the detail is a plain sentence that says what to do.
func Refuse(rule Rule, field, detail string) *Refusal {
	return &Refusal{Rule: rule, Field: field, Detail: detail}
}

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
