package eventstore

import "strings"

// ledgerPrefixes is the one filter. Every reader of the whole log uses it, so
// that each counts the same events and the n-th is the same for all; a prefix
// added later would renumber history, so the list is closed.
var ledgerPrefixes = [...]string{
	"permit-", "account-", "property-", "payment-", "dispute-", "notice-",
	"tariff-", "policy-", "gazetteer-", "access-", "ledger-",
}

// LedgerPrefixes lists the prefixes of the ledger's streams.
func LedgerPrefixes() []string {
	return append([]string(nil), ledgerPrefixes[:]...)
}

// IsLedgerStream reports whether the events of a stream belong to the ledger
// and so count towards the ledger number.
func IsLedgerStream(name string) bool {
	for _, p := range ledgerPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// servicePrefix begins the names of the streams in which a service notes what
// concerns this one event store: who writes to it, and whether it may. They are
// no part of the ledger, and a copy leaves them behind.
const servicePrefix = "permitledger-"

// IsServiceStream reports whether a stream belongs to the service on one event
// store, and not to the ledger.
func IsServiceStream(name string) bool { return strings.HasPrefix(name, servicePrefix) }
