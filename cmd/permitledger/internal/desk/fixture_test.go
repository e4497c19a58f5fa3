package desk_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/desk/desktest"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// office is a desk over an in-memory node, with the sample council's rules
// and a clock that the test moves.
type office struct {
	*desk.Desk
	t        *testing.T
	clock    *clock.Simulated
	provider *payments.Simulator
	ledger   *eventstore.Ledger
	keys     *vault.Vault
}

// opening is the instant at which a test's clock begins: a Monday morning.
var opening = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, clock: clock.NewSimulated(opening)}
	opened := desktest.Open(t, o.clock)
	o.Desk, o.provider, o.ledger, o.keys = opened.Desk, opened.Provider, opened.Ledger, opened.Keys
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// by makes a call of a new command by somebody.
func by(subject string, role domain.Role) desk.Call {
	return desk.Call{ID: domain.CommandID(uuid.NewString()), Subject: subject, Role: role, Channel: domain.ChannelAPI}
}

// resident opens an account with the papers of an application.
func (o *office) resident(ctx context.Context, name string) (domain.AccountID, []domain.Evidence) {
	o.t.Helper()
	acc, err := o.OpenAccount(ctx, by(name, domain.RoleResident), desk.Details{Name: &name})
	must(o.t, err)
	var papers []domain.Evidence
	for _, kind := range []domain.EvidenceKind{domain.EvidenceUtilityBill, domain.EvidenceV5C} {
		up, err := o.Upload(ctx, by(name, domain.RoleResident), acc.ID, "application/pdf", fmt.Appendf(nil, "%%PDF-1.7 %s of %s", kind, name))
		must(o.t, err)
		item := domain.Evidence{Kind: kind, SHA256: up.SHA256}
		if kind == domain.EvidenceUtilityBill {
			item.IssuedOn = domain.DateOf(o.Now()).AddDays(-10)
		}
		papers = append(papers, item)
	}
	return acc.ID, papers
}

// application is a good application for the sample's best known house.
func application(papers []domain.Evidence) desk.Application {
	return desk.Application{Kind: domain.KindResident, Months: 12, UPRN: "200000000017", Vehicle: "AB12 CDE",
		AutoRenewal: true, Evidence: papers}
}

// fine is a decision that considers the papers and finds nothing wrong.
func fine(papers []domain.Evidence) domain.Decision {
	d := domain.Decision{Basis: domain.BasisPolicy, Told: "Your permit was approved."}
	for _, p := range papers {
		d.Considered = append(d.Considered, domain.Considered{Evidence: p.SHA256, Result: "good"})
	}
	return d
}

// stopAfterSlot leaves an application where a crash after its slot leaves it.
func (o *office) stopAfterSlot(t *testing.T, c desk.Call, account domain.AccountID, _ []domain.Evidence) {
	t.Helper()
	must(t, o.TakeSlotOnly(t.Context(), c, desk.PermitOf(c), account, "200000000017"))
}

// stopMoveAfterSlot leaves a move where a crash after its slot leaves it.
func (o *office) stopMoveAfterSlot(t *testing.T, id domain.PermitID, account domain.AccountID, target domain.UPRN) {
	t.Helper()
	must(t, o.TakeSlotOnly(t.Context(), by("olga", domain.RoleOperator), id, account, target))
}
