package demo

import (
	"context"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
)

func pay(a *application) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.Pay(ctx, m.asks("pay"), a.id)
		return err
	}
}

func renew(a *application, auto *bool) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.Renew(ctx, m.asks("renew"), a.id, 0, auto)
		return err
	}
}

// instruct tells the payment provider what to do with the next requests. It
// is no command of the ledger, and whoever walks the clock records it.
func instruct(words ...string) action {
	return func(ctx context.Context, m moment) error {
		return m.Instruct(ctx, m.story.account, words)
	}
}

func changeVehicle(a *application, mark string) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.ChangeVehicle(ctx, m.asks("change vehicle"), a.id, mark)
		return err
	}
}

// move has an operator change the address, with a proof for the new one.
func move(a *application, to house) action {
	return func(ctx context.Context, m moment) error {
		sum, err := m.upload(ctx, m.operator("document"), "utility-bill")
		if err != nil {
			return err
		}
		proof := domain.Evidence{Kind: domain.EvidenceUtilityBill, SHA256: sum, IssuedOn: domain.DateOf(m.at).AddDays(-4)}
		_, err = m.Desk.ChangeAddress(ctx, m.later(time.Minute).operator("move"), a.id, to.uprn, []domain.Evidence{proof})
		return err
	}
}

func cancel(a *application, words string) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.Cancel(ctx, m.asks("cancel"), a.id, words)
		return err
	}
}

func cancelAutoRenewal(a *application) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.CancelAutoRenewal(ctx, m.asks("cancel automatic renewal"), a.id)
		return err
	}
}

// withdraw takes a permit away with a fortnight's notice.
func withdraw(a *application) action {
	return func(ctx context.Context, m moment) error {
		d := a.decision("We withdraw your permit in two weeks, because you no longer live at the address. You can tell us if that is wrong.",
			"was good when the permit was given")
		d.Reasons = []domain.Reason{{Code: domain.ReasonNotResident, Clause: "7.4",
			Text: "The landlord told us that the tenancy has ended, and two letters came back."}}
		_, err := m.Desk.Withdraw(ctx, m.reviewer("withdraw"), a.id, d, domain.DateOf(m.at).AddDays(14))
		return err
	}
}

// changeDetails gives the resident another telephone number.
func changeDetails(phone string) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.ChangeDetails(ctx, m.asks("change details"), m.story.account, desk.Details{Phone: &phone})
		return err
	}
}
