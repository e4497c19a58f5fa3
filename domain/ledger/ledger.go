// Package ledger holds the facts about the ledger itself: which vault seals
// its personal parts, where its log was set back and, in a demonstration, how
// its clock was moved.
package ledger

import (
	"time"

	"permitledger/domain"
)

// The streams of the ledger's own facts.
const (
	VaultStream = "ledger-vault"
	DemoStream  = "ledger-demo"
)

// Event is a fact about the ledger.
type Event interface {
	domain.Event
	ledger()
}

// VaultBound names the vault whose keys open this log. It is written once.
type VaultBound struct {
	Vault string `json:"vault"`
}

// LogSetBack says that the log lacked events that were in it before, as after
// the restore of an older backup, and that an admin of the service accepted it.
type LogSetBack struct {
	Known   uint64         `json:"known"`   // ledger number of the newest event that was known
	KnownID domain.EventID `json:"knownId"` // its id
	Agreed  uint64         `json:"agreed"`  // newest ledger number at which the log was still the same
}

// ClockMoved says that the simulated clock was put forward.
type ClockMoved struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// ProviderInstructed says what the simulated payment provider was told to do
// next for an account.
type ProviderInstructed struct {
	Account domain.AccountID `json:"account"`
	Next    []string         `json:"next"`
}

// The stored names of the ledger's events.
const (
	TypeVaultBound         = "VaultBound"
	TypeLogSetBack         = "LogSetBack"
	TypeClockMoved         = "ClockMoved"
	TypeProviderInstructed = "ProviderInstructed"
)

// Types lists the stored names of all ledger events.
func Types() []string {
	return []string{TypeVaultBound, TypeLogSetBack, TypeClockMoved, TypeProviderInstructed}
}

// EventType gives the stored name.
func (VaultBound) EventType() string         { return TypeVaultBound }
func (LogSetBack) EventType() string         { return TypeLogSetBack }
func (ClockMoved) EventType() string         { return TypeClockMoved }
func (ProviderInstructed) EventType() string { return TypeProviderInstructed }

func (VaultBound) ledger()         {}
func (LogSetBack) ledger()         {}
func (ClockMoved) ledger()         {}
func (ProviderInstructed) ledger() {}
