// Package domain is the vocabulary of resident parking permits: actors, civil
// dates, money, vehicle marks, addresses, evidence, decisions and refusals.
//
// It is pure. Nothing here reads a clock, a file or a network, and nothing
// here knows how events are stored. The aggregates live in sub-packages, each
// a single stream of events with its own state and decisions; begin reading
// at permit.
//
// What most of them lean on here: Date with LastDay (how terms are counted),
// CheckEvidence, Decision with its record and its words, and Refusal (how the
// domain says no).
package domain

import "time"

// Event is one fact of the ledger. Each aggregate closes its own set of
// events with an interface that embeds this one.
type Event interface {
	// EventType is the name under which the event is stored. It is part of
	// the stored format and never changes.
	EventType() string
}

// Identifiers are UUIDs in their canonical lower-case text form. They are
// made outside the domain, so here they are only names.
type (
	// PermitID names a permit for its whole life.
	PermitID string
	// AccountID names a resident's account, and the person whose key seals
	// the personal parts of events about them.
	AccountID string
	// EventID names one event.
	EventID string
	// CommandID names one command; a repeated command has the same one.
	CommandID string
	// DisputeID names a dispute over a rejection.
	DisputeID string
)

// Role is what an actor may be to the ledger.
type Role string

// The roles. Admin implies no other role.
const (
	RoleResident    Role = "resident"
	RoleOperator    Role = "operator"
	RoleReviewer    Role = "reviewer"
	RoleDisputes    Role = "disputes"
	RoleEnforcement Role = "enforcement"
	RoleAuditor     Role = "auditor"
	RoleReporting   Role = "reporting"
	RoleAdmin       Role = "admin"
	RoleSystem      Role = "system"
)

// Channel is the way by which a command reached the council.
type Channel string

// The channels.
const (
	ChannelWeb    Channel = "web"
	ChannelPhone  Channel = "phone"
	ChannelEmail  Channel = "email"
	ChannelPost   Channel = "post"
	ChannelAPI    Channel = "api"
	ChannelSystem Channel = "system"
)

// Actor is who acts. A resident's ID is the account's, never the name they
// sign in with; a member of staff is named by their subject.
type Actor struct {
	ID         string    `json:"id"`
	Role       Role      `json:"role"`
	Channel    Channel   `json:"channel"`
	OnBehalfOf AccountID `json:"onBehalfOf,omitempty"` // for staff acting for a resident
}

// System is the ledger acting by itself: a timer or a reactor.
func System() Actor {
	return Actor{ID: "system", Role: RoleSystem, Channel: ChannelSystem}
}

// Versions names the published rules that a decision applied. A field is
// empty where no such rule was applied.
type Versions struct {
	Policy    string `json:"policy,omitempty"`
	Tariff    string `json:"tariff,omitempty"`
	Terms     string `json:"terms,omitempty"`
	Gazetteer string `json:"gazetteer,omitempty"`
}

// Meta is what a fold may know of an event beside its body.
type Meta struct {
	ID       EventID
	Revision uint64 // in its stream
	At       time.Time
	Command  CommandID
	Actor    Actor
}
