package audit

import (
	"slices"
	"strings"

	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
)

// sort is a sort of stream: how its streams are named and what is written
// there.
type sort struct {
	prefix string // up to the hyphen
	named  func(rest string) bool
	types  []string
}

func sorts() []sort {
	return []sort{
		{"permit-", isUUID, permit.Types()},
		{"payment-", isPayment, payment.Types()},
		{"account-", isUUID, account.Types()},
		{"property-", isKeyedHash, property.Types()},
		{"notice-", isUUID, notice.Types()},
		{"access-", isUUID, []string{access.TypeRecordRead}},
		{"access-search-", func(use string) bool { return use != "" }, []string{access.TypePeopleSearched}},
		{"tariff-", is("main"), []string{policy.TypeTariffPublished}},
		{"policy-", is("main"), []string{policy.TypePolicyPublished, policy.TypeTermsPublished}},
		{"gazetteer-", is("main"), []string{policy.TypeGazetteerImported}},
		{"ledger-", is("vault"), []string{ledger.TypeVaultBound, ledger.TypeLogSetBack}},
		{"ledger-", is("demo"), []string{ledger.TypeClockMoved, ledger.TypeProviderInstructed}},
	}
}

// Place is a sort of stream in which a type of event is written.
type Place struct {
	Stream string   // the name, with … for what differs from stream to stream
	Types  []string // what is written there, and nothing else
}

// Places lists where which events are written.
func Places() []Place {
	var all []Place
	for _, s := range sorts() {
		name := s.prefix + "…"
		for _, fixed := range []string{"main", "vault", "demo"} {
			if s.named(fixed) {
				name = s.prefix + fixed
			}
		}
		all = append(all, Place{Stream: name, Types: s.types})
	}
	return all
}

// Sort gives the sort of a stream by its name: what stands before the first
// hyphen.
func Sort(stream string) string {
	before, _, _ := strings.Cut(stream, "-")
	return before
}

// sortOf finds the sort of a stream; false when no stream of the ledger has
// such a name.
func sortOf(all []sort, stream string) (sort, bool) {
	i := slices.IndexFunc(all, func(s sort) bool {
		rest, ok := strings.CutPrefix(stream, s.prefix)
		return ok && s.named(rest)
	})
	if i < 0 {
		return sort{}, false
	}
	return all[i], true
}

func is(name string) func(string) bool { return func(rest string) bool { return rest == name } }

// isUUID knows the canonical lower-case form, and nothing else.
func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

func isPayment(rest string) bool {
	id, _, ok := payment.ParseStream("payment-" + rest)
	return ok && isUUID(string(id))
}

// isKeyedHash knows the 128 bits of a keyed hash in hex.
func isKeyedHash(s string) bool { return len(s) == 32 && isHex(s) }

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// idIn gives what stands behind a stream's prefix.
func idIn(stream string) string {
	_, id, _ := strings.Cut(stream, "-")
	return id
}
