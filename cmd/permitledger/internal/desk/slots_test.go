package desk_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/permit"
)

// refusedBy tells by which rule an error refuses, or "".
func refusedBy(err error) domain.Rule {
	var r *domain.Refusal
	if errors.As(err, &r) {
		return r.Rule
	}
	return ""
}

// house finds another house in the zone of the sample's best known one.
func (o *office) house(t *testing.T, n int) domain.UPRN {
	t.Helper()
	home, _ := o.Book().ByUPRN("200000000017", domain.DateOf(o.Now()))
	for _, row := range o.Book().Find(home.Postcode, "", domain.DateOf(o.Now())) {
		if row.Zone != home.Zone || row.UPRN == home.UPRN {
			continue
		}
		if n == 0 {
			return row.UPRN
		}
		n--
	}
	t.Fatalf("there are too few houses at %s", home.Postcode)
	return ""
}

func TestTwoHundredApplicationsForTheLastSlot(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	first, papers := o.resident(ctx, "first")
	_, err := o.Apply(ctx, by("first", domain.RoleResident), first, application(papers))
	must(t, err)
	const many = 200
	accounts := make([]domain.AccountID, many)
	evidence := make([][]domain.Evidence, many)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() { accounts[i], evidence[i] = o.resident(ctx, fmt.Sprintf("resident %d", i)) })
	}
	group.Wait()
	won := make([]desk.Case, many)
	errs := make([]error, many)
	for i := range many {
		group.Go(func() {
			won[i], errs[i] = o.Apply(ctx, by(fmt.Sprintf("resident %d", i), domain.RoleResident), accounts[i], application(evidence[i]))
		})
	}
	group.Wait()
	winners := 0
	for i, err := range errs {
		if err == nil {
			winners++
			continue
		}
		if refusedBy(err) != domain.RulePropertyLimit {
			t.Fatalf("loser %d was told: %v", i, err)
		}
	}
	if winners != 1 {
		t.Fatalf("%d applications won the last slot", winners)
	}
	offers, err := o.Offers(ctx, "LE11 1AA", "17")
	must(t, err)
	for _, offer := range offers {
		if offer.UPRN == "200000000017" && offer.SlotsFree != 0 {
			t.Fatalf("%d slots are free after the last one was taken", offer.SlotsFree)
		}
	}
}

// A permit that moved away moves back while a newcomer displaces it: one of
// the two gets the slot, and never both.
func TestMovingBackBesideANewcomer(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	movers, papers := o.resident(ctx, "mover")
	moved := o.approved(t, "mover", movers, papers)
	stayers, theirs := o.resident(ctx, "stayer")
	o.approved(t, "stayer", stayers, theirs)
	_, err := o.ChangeAddress(ctx, by("olga", domain.RoleOperator), moved, o.house(t, 0), papers)
	must(t, err)
	o.clock.Set(o.Now().Add(16 * time.Minute)) // the mover's old slot can be displaced now
	newcomers, news := o.resident(ctx, "newcomer")
	var group sync.WaitGroup
	var back, came error
	group.Go(func() {
		_, back = o.ChangeAddress(ctx, by("olga", domain.RoleOperator), moved, "200000000017", papers)
	})
	group.Go(func() {
		_, came = o.Apply(ctx, by("newcomer", domain.RoleResident), newcomers, application(news))
	})
	group.Wait()
	if (back == nil) == (came == nil) {
		t.Fatalf("moving back: %v; the newcomer: %v", back, came)
	}
	if loser := errors.Join(back, came); refusedBy(loser) != domain.RulePropertyLimit {
		t.Fatalf("the loser was told: %v", loser)
	}
}

// An application that stopped after it had taken its slot is repeated an hour
// later: it gets a slot again, unless others have filled the house.
func TestAnApplicationThatStoppedAfterItsSlot(t *testing.T) {
	for _, filled := range []bool{false, true} {
		t.Run(fmt.Sprintf("filled=%v", filled), func(t *testing.T) {
			o, ctx := newOffice(t), t.Context()
			account, papers := o.resident(ctx, "ann")
			call := by("ann", domain.RoleResident)
			o.stopAfterSlot(t, call, account, papers)
			others := 1
			if filled {
				others = 2
			}
			o.clock.Set(o.Now().Add(time.Hour))
			for i := range others {
				name := fmt.Sprintf("other %d", i)
				other, theirs := o.resident(ctx, name)
				_, err := o.Apply(ctx, by(name, domain.RoleResident), other, application(theirs))
				must(t, err)
			}
			_, err := o.Apply(ctx, call, account, application(papers))
			if filled && refusedBy(err) != domain.RulePropertyLimit || !filled && err != nil {
				t.Fatalf("the repeated application: %v", err)
			}
		})
	}
}

// A permit that is renewed in the last moment of its last day keeps its place
// against a newcomer in the first moment of the next.
func TestRenewalAtMidnightBesideANewcomer(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "ann")
	id := o.approved(t, "ann", account, papers)
	second, theirs := o.resident(ctx, "bob")
	o.approved(t, "bob", second, theirs)
	cs, err := o.Case(ctx, id)
	must(t, err)
	midnight := cs.Permit.LastDay().AddDays(1).Midnight()
	o.clock.Set(midnight.Add(-time.Minute))
	newcomers, news := o.resident(ctx, "newcomer")
	renewal, apply := by("ann", domain.RoleResident), by("newcomer", domain.RoleResident)
	renewal.At, apply.At = midnight.Add(-100*time.Millisecond), midnight.Add(100*time.Millisecond)
	var group sync.WaitGroup
	var renewed, came error
	group.Go(func() { _, renewed = o.Renew(ctx, renewal, id, 0, nil) })
	group.Go(func() { _, came = o.Apply(ctx, apply, newcomers, application(news)) })
	group.Wait()
	must(t, renewed)
	if refusedBy(came) != domain.RulePropertyLimit {
		t.Fatalf("the newcomer: %v", came)
	}
}

// A permit that has taken its slot at a new property and is not written as
// moved yet cannot be displaced there.
func TestAMoveBetweenItsSlotAndItsEvent(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, papers := o.resident(ctx, "mover")
	id := o.approved(t, "mover", account, papers)
	target := o.house(t, 1)
	o.stopMoveAfterSlot(t, id, account, target)
	for i := range 2 {
		name := fmt.Sprintf("newcomer %d", i)
		other, theirs := o.resident(ctx, name)
		wish := application(theirs)
		wish.UPRN = target
		_, err := o.Apply(ctx, by(name, domain.RoleResident), other, wish)
		if i == 0 && err != nil || i == 1 && refusedBy(err) != domain.RulePropertyLimit {
			t.Fatalf("newcomer %d: %v", i, err)
		}
	}
}

// approved takes an application to an approved permit.
func (o *office) approved(t *testing.T, name string, account domain.AccountID, papers []domain.Evidence) domain.PermitID {
	t.Helper()
	cs, err := o.Apply(t.Context(), by(name, domain.RoleResident), account, application(papers))
	must(t, err)
	cs, err = o.Approve(t.Context(), by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(t, err)
	if s := cs.Permit.Status(cs.At); s != permit.StatusActive {
		t.Fatalf("the approved permit is %s", s)
	}
	return cs.ID
}
