// Package story says in plain English what each event of the ledger means, so
// that a stranger can follow a permit's history.
//
// It uses only what is not sealed: a sentence made here may be stored, searched
// and shown to anybody who may see the event, and an erasure changes nothing
// in it.
package story

import (
	"fmt"
	"strings"

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

// Summary says in one sentence what an event means.
func Summary(e domain.Event) string {
	switch e := e.(type) {
	case permit.Event:
		return ofPermit(e)
	case payment.Event:
		return ofPayment(e)
	case account.Event:
		return ofAccount(e)
	case policy.Event:
		return ofPolicy(e)
	case property.SlotTaken:
		return ofSlot(e)
	case notice.InformationRequested:
		return fmt.Sprintf("The council asked the resident for more information, to be sent by %s; the application waits.", day(e.By))
	case notice.InformationSupplied:
		return "The resident sent more information" + documents(e.Evidence) + "; the application is with the council again."
	case access.RecordRead:
		return ofRead(e)
	case access.PeopleSearched:
		return ofSearch(e)
	case ledger.VaultBound:
		return fmt.Sprintf("The ledger was tied to vault %s, whose keys open its sealed parts.", e.Vault)
	case ledger.LogSetBack:
		return fmt.Sprintf("The log lacked events that were in it before: it was the same up to number %d, and the newest event known had number %d. An admin accepted it.", e.Agreed, e.Known)
	case ledger.ClockMoved:
		return fmt.Sprintf("The simulated clock was put forward from %s to %s.", e.From.Format("2 Jan 2006 15:04 MST"), e.To.Format("2 Jan 2006 15:04 MST"))
	case ledger.ProviderInstructed:
		return fmt.Sprintf("The simulated payment provider was told what to do next: %s.", strings.Join(e.Next, ", "))
	}
	return ""
}

func ofPermit(e permit.Event) string {
	switch e := e.(type) {
	case permit.Applied:
		return fmt.Sprintf("Applied for a %s permit in zone %s for %s from %s, at %s (tariff %s), %s%s.",
			kind(e.Kind), e.Zone, months(e.Months), day(e.RequestedFirstDay), e.Price, e.TariffVersion,
			autoRenewal(e.AutoRenewal), documents(e.Evidence))
	case permit.Approved:
		return fmt.Sprintf("Approved %s: valid from %s to %s.", basis(e.Decision), day(e.FirstDay), day(e.LastDay))
	case permit.Rejected:
		return fmt.Sprintf("Rejected %s: %s. Any money that is held goes back to the payer.", basis(e.Decision), reasons(e.Decision))
	case permit.Renewed:
		how := "Renewed"
		if e.Automatic {
			how = "Renewed automatically"
		}
		return fmt.Sprintf("%s for %s: term %d from %s to %s, at %s (tariff %s), %s.", how, months(e.Months),
			e.Term, day(e.FirstDay), day(e.LastDay), e.Price, e.TariffVersion, autoRenewal(e.AutoRenewal))
	case permit.VehicleChanged:
		return fmt.Sprintf("The permit was moved to another vehicle with effect from %s%s.", day(domain.DateOf(e.EffectiveAt)), documents(e.Evidence))
	case permit.AddressChanged:
		return fmt.Sprintf("The permit was moved to another address in zone %s%s.", e.Zone, documents(e.Evidence))
	case permit.Cancelled:
		return ofCancelled(e)
	case permit.AutoRenewalCancelled:
		return "Automatic renewal was switched off; the permit itself stays."
	}
	return ""
}

func ofCancelled(e permit.Cancelled) string {
	refund := "nothing is refunded"
	if e.Refund > 0 {
		refund = e.Refund.String() + " is refunded"
	}
	switch e.Reason {
	case permit.CancelledByCouncil:
		why := ""
		if e.Decision != nil {
			why = " " + basis(*e.Decision) + ": " + reasons(*e.Decision)
		}
		return fmt.Sprintf("Withdrawn by the council with effect from %s%s; %s.", day(domain.DateOf(e.EffectiveAt)), why, refund)
	case permit.CancelledUnpaid:
		return "The application was withdrawn because it was not paid for in time."
	case permit.CancelledHoldLapsed:
		return "The application was withdrawn because its payment lapsed and was not made again."
	}
	return fmt.Sprintf("Cancelled at the holder's wish with effect from %s; %s.", day(domain.DateOf(e.EffectiveAt)), refund)
}

func ofPayment(e payment.Event) string {
	switch e := e.(type) {
	case payment.PaymentRequested:
		return fmt.Sprintf("%s was asked for, %s (term %d, attempt %d).", e.Amount, mode(e.Mode), e.Term, e.Attempt)
	case payment.PaymentAwaited:
		return "The payer has to finish the payment at the provider's page."
	case payment.PaymentAuthorised:
		return fmt.Sprintf("The payer's bank holds the money until %s; nothing is taken yet.", e.HoldEndsAt.Format("2 January 2006 15:04 MST"))
	case payment.PaymentCaptured:
		return fmt.Sprintf("%s was taken from the payer.", e.Amount)
	case payment.PaymentReleased:
		return "The held money was given back to the payer; nothing was taken."
	case payment.PaymentLapsed:
		return "The bank's hold ended before a decision and nothing was taken; the resident is asked to pay again."
	case payment.PaymentFailed:
		if e.Outstanding {
			return fmt.Sprintf("The money could not be taken (%s); it is outstanding and the permit stands.", e.Code)
		}
		return fmt.Sprintf("The payment failed (%s); nothing was taken.", e.Code)
	case payment.PaymentRefunded:
		return fmt.Sprintf("%s went back to the payer (%s).", e.Amount, e.Reason)
	}
	return ""
}

func ofAccount(e account.Event) string {
	switch e := e.(type) {
	case account.AccountOpened:
		return "The account was opened."
	case account.AccountInvited:
		return fmt.Sprintf("The resident was invited by e-mail to claim the account, until %s.", e.ExpiresAt.UTC().Format("2 January 2006 15:04 MST"))
	case account.AccountClaimed:
		return "The account was claimed by its resident."
	case account.AccountDetailsChanged:
		return "The resident's details were changed."
	case account.DocumentUploaded:
		return fmt.Sprintf("A document was received (%s, %d bytes, SHA-256 %.12s…).", e.MediaType, e.Bytes, e.SHA256)
	case account.DocumentDropped:
		return fmt.Sprintf("A document that no application named was removed (SHA-256 %.12s…).", e.SHA256)
	case account.AccountErased:
		return fmt.Sprintf("The person's data was erased by destroying their key (%s).", e.Ground)
	}
	return ""
}

func ofPolicy(e policy.Event) string {
	switch e := e.(type) {
	case policy.TariffPublished:
		return fmt.Sprintf("Tariff %s was published, in force from %s.", e.Version, day(e.EffectiveFrom))
	case policy.PolicyPublished:
		return fmt.Sprintf("Policy %s of %s was published, in force from %s.", e.Version, e.Council.Name, day(e.EffectiveFrom))
	case policy.TermsPublished:
		return fmt.Sprintf("Terms and conditions %s were published, in force from %s.", e.Version, day(e.EffectiveFrom))
	case policy.GazetteerImported:
		return fmt.Sprintf("Gazetteer %s was imported, part %d of %d (%d addresses).", e.Version, e.Part, e.Parts, len(e.Rows))
	}
	return ""
}

func ofSlot(e property.SlotTaken) string {
	s := fmt.Sprintf("Permit %s took one of the %d places at its property", e.Permit.Reference(), e.Limit)
	if len(e.Displaced) > 0 {
		var gone []string
		for _, id := range e.Displaced {
			gone = append(gone, id.Reference())
		}
		s += ", in place of " + strings.Join(gone, ", ") + ", which held it no longer"
	}
	return s + "."
}

func ofRead(e access.RecordRead) string {
	switch e.What {
	case access.ReadDocument:
		return fmt.Sprintf("A document of this person was read (SHA-256 %.12s…).", e.SHA256)
	case access.ReadHistoryOpened:
		return "The sealed parts of a permit's history were opened."
	case access.ReadAccount:
		return "This person's account was looked at."
	case access.ReadAccountPermits:
		return "The list of this person's permits was looked at."
	case access.ReadPermit:
		return fmt.Sprintf("Permit %s of this person was looked at.", e.Permit.Reference())
	case access.ReadHistory:
		return fmt.Sprintf("The history of permit %s of this person was looked at.", e.Permit.Reference())
	}
	return "This person's record was looked at."
}

func ofSearch(e access.PeopleSearched) string {
	if len(e.Shown) == 0 {
		return "A search for people found nobody."
	}
	people := "one person"
	if n := len(e.Shown); n > 1 {
		people = fmt.Sprintf("%d people", n)
	}
	return fmt.Sprintf("A search by %s showed the records of %s.", strings.ReplaceAll(strings.Join(e.By, ", "), "-", " "), people)
}
