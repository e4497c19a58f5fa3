package desk_test

import (
	"testing"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

func TestAPermitIsAppliedForApprovedAndPaid(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "ann")
	call := by("ann", domain.RoleResident)
	applied, err := o.Apply(ctx, call, account, application(papers))
	must(t, err)
	if s := applied.Permit.Status(applied.At); s != permit.StatusPending {
		t.Fatalf("after applying the permit is %s", s)
	}
	if s := applied.Payment.Status(applied.At); s != payment.StatusAuthorised {
		t.Fatalf("after applying the payment is %s", s)
	}
	approved, err := o.Approve(ctx, by("rita", domain.RoleReviewer), applied.ID, fine(papers))
	must(t, err)
	if s := approved.Permit.Status(approved.At); s != permit.StatusActive {
		t.Fatalf("after approval the permit is %s", s)
	}
	_, err = o.Settle(ctx, by("", domain.RoleSystem), applied.ID, 1)
	must(t, err)
	now, err := o.Case(ctx, applied.ID)
	must(t, err)
	if s := now.Payment.Status(now.At); s != payment.StatusCaptured {
		t.Fatalf("after settling the payment is %s", s)
	}
	again, err := o.Apply(ctx, call, account, application(papers))
	must(t, err)
	if again.ID != applied.ID || again.Position != applied.Position || again.Permit.Status(again.At) != permit.StatusPending {
		t.Fatalf("the repeated application is answered with %+v", again)
	}
}

// The history of an erased person can still be opened: what was sealed is gone,
// the rest stands, and the reading is recorded.
func TestAnErasedPersonsHistoryIsOpened(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "ann")
	id := o.approved(t, "ann", account, papers)
	must(t, o.keys.Destroy(account))
	tale, err := o.Chronicle(ctx, by("aude", domain.RoleAuditor), id, "a complaint")
	must(t, err)
	last := tale[len(tale)-1].After
	if !last.Permit.Erased || last.Permit.Status(last.At) != permit.StatusActive {
		t.Fatalf("the history ends with %+v", last.Permit)
	}
	reads, err := o.ledger.History(ctx, access.Stream(account))
	must(t, err)
	if len(reads) != 1 {
		t.Fatalf("%d readings are recorded, want 1", len(reads))
	}
}
