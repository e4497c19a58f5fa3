package permit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

func names(actions []Action) []string {
	var names []string
	for _, a := range actions {
		names = append(names, a.Action)
	}
	return names
}

func TestActionsOfAPendingApplication(t *testing.T) {
	at := noon("2026-03-01")
	s := begin(t).do(at, application(at)).state
	paid := ActionContext{Rules: rules(), Payment: held(at)}
	own, lapsed, referred := paid, paid, paid
	own.Own, lapsed.PayAgain, referred.Referred = true, true, true
	for name, c := range map[string]struct {
		role domain.Role
		ctx  ActionContext
		want []string
	}{
		"reviewer":             {domain.RoleReviewer, paid, []string{ActionApprove, ActionReject, ActionRequestInformation}},
		"reviewer of own":      {domain.RoleReviewer, own, []string{ActionRequestInformation}},
		"resident":             {domain.RoleResident, paid, []string{ActionCancel, ActionCancelAutoRenewal}},
		"resident, hold gone":  {domain.RoleResident, lapsed, []string{ActionPay, ActionCancel, ActionCancelAutoRenewal}},
		"operator, referred":   {domain.RoleOperator, referred, []string{ActionSupplyInformation, ActionCancel, ActionCancelAutoRenewal}},
		"enforcement":          {domain.RoleEnforcement, paid, nil},
		"admin is no operator": {domain.RoleAdmin, paid, nil},
	} {
		if diff := cmp.Diff(c.want, names(s.Actions(at, c.role, c.ctx))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Without a hold the reviewer is told why there can be no approval yet.
	approve := s.Actions(at.Add(121*time.Hour), domain.RoleReviewer, paid)[0]
	if approve.Action != ActionApprove || approve.Why == "" {
		t.Errorf("approve without a hold: %+v", approve)
	}
}

func TestRenewalIsOfferedWithItsDay(t *testing.T) {
	s := approved(t, "2026-12-01", 12).state
	ctx := ActionContext{Rules: rules()}
	early := s.Actions(noon("2027-01-01"), domain.RoleResident, ctx)[0]
	if early.Action != ActionRenew || early.OpensOn == nil || *early.OpensOn != day("2027-10-31") || early.Why == "" {
		t.Errorf("early: %+v", early)
	}
	open := s.Actions(instant("2027-10-30T23:00:00Z"), domain.RoleResident, ctx)[0]
	if open.Action != ActionRenew || open.OpensOn != nil || open.Why != "" {
		t.Errorf("open: %+v", open)
	}
	if late := s.Actions(day("2027-12-01").Midnight(), domain.RoleResident, ctx); len(late) > 0 {
		t.Errorf("ended: %+v", late)
	}
}
