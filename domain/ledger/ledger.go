// Package ledger holds the facts about the ledger itself: which vault seals
// its personal parts and, in a demonstration, how its clock was moved.
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
	TypeClockMoved         = "ClockMoved"
	TypeProviderInstructed = "ProviderInstructed"
)

// Types lists the stored names of all ledger events.
func Types() []string { return []string{TypeVaultBound, TypeClockMoved, TypeProviderInstructed} }

// EventType gives the stored name.
func (VaultBound) EventType() string         { return TypeVaultBound }
func (ClockMoved) EventType() string         { return TypeClockMoved }
func (ProviderInstructed) EventType() string { return TypeProviderInstructed }

func (VaultBound) ledger()         {}
func (ClockMoved) ledger()         {}
func (ProviderInstructed) ledger() {}
