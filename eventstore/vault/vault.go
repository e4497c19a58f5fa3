// Package vault keeps what cannot be rebuilt from the log and makes erasure
// possible: one key for each person, with which the personal parts of events
// about them are sealed.
//
// It is no store of personal data: that lies, sealed, in the log. Destroying a
// person's key is what erases it. Begin reading at Vault.Seal.
package vault

import (
	"permitledger/domain"
)

// Vault is the opened keep folder. It is safe for concurrent use.
type Vault struct{}

// Open opens the keep folder as its one owner, creating it at first use.
func Open(dir string) (*Vault, error) { panic("stub") }

// OpenReadOnly opens the keep folder beside the process that owns it.
func OpenReadOnly(dir string) (*Vault, error) { panic("stub") }

// ID names the vault; it is fixed at creation.
func (v *Vault) ID() string { panic("stub") }

// Pepper is the 32 random bytes with which the ledger's hashes are keyed.
func (v *Vault) Pepper() []byte { panic("stub") }

// Seal encrypts plaintext under the person's key, which is made at first use
// and on disk before Seal returns.
func (v *Vault) Seal(person domain.AccountID, plaintext, aad []byte) (keyID string, sealed []byte, err error) {
	panic("stub")
}

// Open decrypts what Seal made.
func (v *Vault) Open(keyID string, sealed, aad []byte) (plaintext []byte, erased bool, err error) {
	panic("stub")
}

// Destroy erases a person.
func (v *Vault) Destroy(person domain.AccountID) error { panic("stub") }

// Close ends the use of the vault and gives up the lock.
func (v *Vault) Close() error { panic("stub") }
