package audit

import (
	"strings"
	"time"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/projections"
	"permitledger/projections/story"
)

// dayOf counts the UTC days since 1970.
func dayOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// wordsOf is the text under which an event is found: what it means in plain
// English, its type, the codes and numbers in it, who acted and how, and what
// the permit is called. Ids that are UUIDs are not among the words: they have
// columns of their own, and would swell the index.
func wordsOf(e projections.Event, id domain.PermitID, about application) string {
	all := []string{story.Summary(e.Body), e.Type, string(e.Actor.Role), string(e.Actor.Channel)}
	if !IsID(e.Actor.ID) {
		all = append(all, e.Actor.ID)
	}
	if e.Actor.OnBehalfOf != "" {
		all = append(all, "on behalf of the resident")
	}
	if id != "" {
		all = append(all, id.Reference(), string(about.kind), string(about.zone))
	}
	v := e.Versions
	all = append(all, v.Policy, v.Tariff, v.Terms, v.Gazetteer)
	all = append(all, codes(e.Body)...)
	return strings.Join(all, "\n")
}

// codes are what stands in an event in clear, is worth finding, and is not
// said by its summary.
func codes(body domain.Event) []string {
	switch b := body.(type) {
	case permit.Applied:
		words := append(hashes(b.Evidence), b.TermsVersion)
		if b.FollowsPermit != "" {
			words = append(words, b.FollowsPermit.Reference())
		}
		if b.FollowsDispute != "" {
			words = append(words, b.FollowsDispute.Reference())
		}
		return words
	case permit.Approved:
		return decided(b.Decision)
	case permit.Rejected:
		return decided(b.Decision)
	case permit.Renewed:
		return []string{b.TermsVersion}
	case permit.VehicleChanged:
		return hashes(b.Evidence)
	case permit.AddressChanged:
		return hashes(b.Evidence)
	case permit.Cancelled:
		words := []string{string(b.Reason), b.RefundRule}
		if b.Decision != nil {
			words = append(words, decided(*b.Decision)...)
		}
		return words
	case notice.InformationSupplied:
		return hashes(b.Evidence)
	case access.RecordRead:
		return []string{b.What, b.SHA256}
	case account.DocumentUploaded:
		return []string{b.SHA256}
	case account.DocumentDropped:
		return []string{b.SHA256}
	}
	return moneyCodes(body)
}

// moneyCodes are the names by which the provider knows a payment, and why it
// failed or went back.
func moneyCodes(body domain.Event) []string {
	switch b := body.(type) {
	case payment.PaymentRequested:
		return []string{string(b.Mode), b.TariffVersion, b.TermsVersion}
	case payment.PaymentAwaited:
		return []string{b.ProviderID}
	case payment.PaymentAuthorised:
		return []string{b.ProviderID}
	case payment.PaymentCaptured:
		return []string{b.ProviderID}
	case payment.PaymentReleased:
		return []string{b.ProviderID}
	case payment.PaymentLapsed:
		return []string{b.ProviderID}
	case payment.PaymentFailed:
		return []string{b.ProviderID, b.Code}
	case payment.PaymentRefunded:
		return []string{b.ProviderID, b.Reason}
	}
	return nil
}

func decided(d domain.DecisionRecord) []string {
	words := append([]string{string(d.Basis), d.Versions.Policy, d.Versions.Tariff, d.Versions.Terms, d.Versions.Gazetteer}, d.Evidence...)
	for _, r := range d.Reasons {
		words = append(words, string(r.Code), r.Clause)
	}
	return words
}

func hashes(items []domain.Evidence) []string {
	var all []string
	for _, e := range items {
		all = append(all, e.SHA256)
	}
	return all
}
