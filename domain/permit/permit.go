// Package permit is the resident parking permit: one aggregate, one stream,
// eight lifecycle events from application to end.
//
// Decide takes a permit's state, an instant and a command in which everything
// that must be looked up has been resolved, and gives the events that follow
// or a refusal. Evolve folds events back into a state. Both are pure: they
// read no clock, so "expired" and "upcoming" are never stored and are answered
// by State.Status for any instant.
//
// What spans permits is not here: the slots of a property are kept by the
// property's own stream, and the money of a term by its payment's. Neither is
// the correspondence about an application.
//
// Begin with the events, then State and Evolve, then Decide; the rule that is
// most worth reading slowly is that of renewals, in PlanRenewal.
package permit

import "permitledger/domain"

// Stream names the stream of a permit.
func Stream(id domain.PermitID) string { return "permit-" + string(id) }
