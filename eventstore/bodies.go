package eventstore

import (
	"fmt"
	"slices"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
)

// kind is how one type of event is stored.
type kind struct {
	schema   int  // the version that is written
	personal bool // whether the type has a personal part
	encode   func(domain.Event) (clear []byte, part domain.PersonalPart, err error)
	decode   func(stored) (domain.Event, error)
}

// kindOf is the closed set of stored types, with the schema version in which
// each is written. A version above 1 has its upcasters in upcasters.
func kindOf(name string) (kind, bool) {
	switch name {
	case permit.TypeApplied:
		return of[permit.Applied](1), true
	case permit.TypeApproved:
		return of[permit.Approved](1), true
	case permit.TypeRejected:
		return of[permit.Rejected](1), true
	case permit.TypeRenewed:
		return of[permit.Renewed](1), true
	case permit.TypeVehicleChanged:
		return of[permit.VehicleChanged](1), true
	case permit.TypeAddressChanged:
		return of[permit.AddressChanged](1), true
	case permit.TypeCancelled:
		return of[permit.Cancelled](1), true
	case permit.TypeAutoRenewalCancelled:
		return of[permit.AutoRenewalCancelled](1), true

	case account.TypeAccountOpened:
		return of[account.AccountOpened](1), true
	case account.TypeAccountInvited:
		return of[account.AccountInvited](1), true
	case account.TypeAccountClaimed:
		return of[account.AccountClaimed](1), true
	case account.TypeAccountDetailsChanged:
		return of[account.AccountDetailsChanged](1), true
	case account.TypeDocumentUploaded:
		return of[account.DocumentUploaded](1), true
	case account.TypeDocumentDropped:
		return of[account.DocumentDropped](1), true
	case account.TypeAccountErased:
		return of[account.AccountErased](1), true

	case property.TypeSlotTaken:
		return of[property.SlotTaken](2), true

	case payment.TypePaymentRequested:
		return of[payment.PaymentRequested](1), true
	case payment.TypePaymentAwaited:
		return of[payment.PaymentAwaited](1), true
	case payment.TypePaymentAuthorised:
		return of[payment.PaymentAuthorised](1), true
	case payment.TypePaymentCaptured:
		return of[payment.PaymentCaptured](1), true
	case payment.TypePaymentReleased:
		return of[payment.PaymentReleased](1), true
	case payment.TypePaymentLapsed:
		return of[payment.PaymentLapsed](1), true
	case payment.TypePaymentFailed:
		return of[payment.PaymentFailed](1), true
	case payment.TypePaymentRefunded:
		return of[payment.PaymentRefunded](1), true

	case policy.TypeTariffPublished:
		return of[policy.TariffPublished](1), true
	case policy.TypePolicyPublished:
		return of[policy.PolicyPublished](1), true
	case policy.TypeTermsPublished:
		return of[policy.TermsPublished](1), true
	case policy.TypeGazetteerImported:
		return of[policy.GazetteerImported](1), true

	case notice.TypeInformationRequested:
		return of[notice.InformationRequested](1), true
	case notice.TypeInformationSupplied:
		return of[notice.InformationSupplied](1), true

	case access.TypeRecordRead:
		return of[access.RecordRead](1), true
	case access.TypePeopleSearched:
		return of[access.PeopleSearched](1), true

	case ledger.TypeVaultBound:
		return of[ledger.VaultBound](1), true
	case ledger.TypeLogSetBack:
		return of[ledger.LogSetBack](1), true
	case ledger.TypeClockMoved:
		return of[ledger.ClockMoved](1), true
	case ledger.TypeProviderInstructed:
		return of[ledger.ProviderInstructed](1), true
	}
	return kind{}, false
}

// Types lists the stored names of all events of the ledger.
func Types() []string {
	return slices.Concat(permit.Types(), account.Types(), property.Types(), payment.Types(),
		policy.Types(), notice.Types(), access.Types(), ledger.Types())
}

// of is how an event struct is stored.
func of[T domain.Event](schema int) kind {
	_, personal := any((*T)(nil)).(personalEvent)
	return kind{schema: schema, personal: personal, encode: encodeBody[T], decode: decodeBody[T]}
}

func encodeBody[T domain.Event](body domain.Event) ([]byte, domain.PersonalPart, error) {
	v, ok := body.(T)
	if !ok {
		return nil, nil, fmt.Errorf("the body is a %T, not the event's own struct as a value", body)
	}
	clear, err := jsonv1.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	if p, ok := any(&v).(personalEvent); ok {
		return clear, p.PersonalPart(), nil
	}
	return clear, nil, nil
}

func decodeBody[T domain.Event](s stored) (domain.Event, error) {
	var v T
	if err := strict(s.clear, &v); err != nil {
		return nil, err
	}
	p, ok := any(&v).(personalEvent)
	switch {
	case ok && s.erased:
		p.PersonalPart().Erase()
	case ok && s.lost:
		p.PersonalPart().Lose()
	case ok && s.personal != nil:
		if err := strict(s.personal, p.PersonalPart().Content()); err != nil {
			return nil, fmt.Errorf("personal part: %w", err)
		}
	}
	return v, nil
}
