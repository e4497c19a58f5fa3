package vault

import "permitledger/domain"

// Wrapped is a person's keyset as it lies on disk.
func Wrapped(v *Vault, person domain.AccountID) ([]byte, error) {
	_, wrapped, err := v.findByPerson(person)
	return wrapped, err
}

// Uncache makes the cache small enough to overflow in a test.
func Uncache(v *Vault, most int) { v.most = most }

// Cached counts the opened keys in memory.
func Cached(v *Vault) (n int) {
	v.cached.Range(func(any, any) bool { n++; return true })
	return n
}
