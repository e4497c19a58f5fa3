package api

import (
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

type paymentView struct {
	State      payment.Status `json:"state"`
	HoldEndsAt *time.Time     `json:"holdEndsAt"`
	PayURL     *string        `json:"payUrl"`
}

// paymentAnswer is the answer to a command that only asks for money.
type paymentAnswer struct {
	Payment  paymentView `json:"payment"`
	Revision uint64      `json:"revision"`
	Position string      `json:"position"`
}

// showPayment shows the money of a case's latest term. The end of a hold says
// something only while the application waits for its decision.
func showPayment(cs desk.Case) paymentView {
	if cs.Payment == nil {
		if cs.Permit.Latest().Price > 0 {
			return paymentView{State: payment.StatusAwaited} // the program stopped before it could ask
		}
		return paymentView{State: payment.StatusNone}
	}
	view := showMoney(*cs.Payment, cs.At)
	held := view.State == payment.StatusAuthorised || view.State == payment.StatusLapsed
	if endsAt, ok := cs.Payment.Hold(); ok && held && cs.Permit.Status(cs.At) == permit.StatusPending {
		endsAt = endsAt.UTC()
		view.HoldEndsAt = &endsAt
	}
	return view
}

// showMoney shows a payment by itself.
func showMoney(m payment.State, at time.Time) paymentView {
	view := paymentView{State: m.Status(at)}
	if attempt, ok := m.Current(); ok && view.State == payment.StatusAwaited {
		view.PayURL = some(attempt.PayURL)
	}
	return view
}

// heldMoney is what the domain wants to know of the application's money to
// say what can be done.
func heldMoney(cs desk.Case) permit.Payment {
	if cs.Permit.Price == 0 {
		return permit.Payment{Free: true}
	}
	if cs.Payment == nil {
		return permit.Payment{}
	}
	endsAt, _ := cs.Payment.Hold()
	return permit.Payment{Authorised: cs.Payment.Status(cs.At) == payment.StatusAuthorised, HoldEndsAt: endsAt}
}

// payAgain reports whether a new attempt to pay may be made.
func payAgain(cs desk.Case) bool {
	if cs.Payment == nil {
		return cs.Permit.Price > 0
	}
	switch cs.Payment.Status(cs.At) {
	case payment.StatusNone, payment.StatusFailed, payment.StatusLapsed:
		return true
	}
	return false
}
