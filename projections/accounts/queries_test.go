package accounts_test

import (
	"errors"
	"slices"
	"testing"

	"permitledger/domain"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/accounts"
	"permitledger/projections/projectiontest"
)

func hash(subject string) string { return "hashed " + subject }

func start(t *testing.T) (*projectiontest.Town, func() accounts.Reader) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	log := projectiontest.Start(t, n.ConnectionString())
	w := projectiontest.NewTown(t, log, 1)
	running := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, accounts.New(hash))
	return w, func() accounts.Reader {
		running.Wait(t, w.Last)
		return accounts.NewReader(running.Projection(accounts.Name), hash)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAccountsOfAnOwner(t *testing.T) {
	w, reader := start(t)
	mine, _, unowned := w.Open(), w.Open(), w.Open()
	q := reader()
	found, err := q.ByOwner(t.Context(), mine.Subject)
	must(t, err)
	if len(found) != 1 || found[0].ID != mine.ID || !found[0].State.Owns(mine.Subject) || found[0].State.Name == "" || found[0].Revision != 0 {
		t.Errorf("%+v", found)
	}
	for _, nobody := range []string{"", unowned.Subject, hash(mine.Subject)} {
		if found, err := q.ByOwner(t.Context(), nobody); err != nil || len(found) != 0 {
			t.Errorf("%q owns %+v, %v", nobody, found, err)
		}
	}
	a, ok, err := q.Account(t.Context(), unowned.ID)
	if must(t, err); !ok || a.State.Subject != "" {
		t.Errorf("%+v", a)
	}
	if _, ok, err := q.Account(t.Context(), "nobody"); ok || err != nil {
		t.Errorf("an account that is not there: %v, %v", ok, err)
	}
	w.Erase(mine)
	q = reader()
	if found, err := q.ByOwner(t.Context(), mine.Subject); err != nil || len(found) != 0 {
		t.Errorf("an erased owner owns %+v, %v", found, err)
	}
	if a, ok, err := q.Account(t.Context(), mine.ID); err != nil || !ok || !a.State.Erased || a.Revision != 1 {
		t.Errorf("erased: %+v, %v, %v", a, ok, err)
	}
}

func TestPermitsOfAnAccount(t *testing.T) {
	w, reader := start(t)
	p := w.Open()
	var want []domain.PermitID
	for range 5 {
		want = append(want, w.Apply(p, 5500, 12, true).ID)
		w.Apply(w.Open(), 0, 12, false)
	}
	l := w.Permits[0]
	must(t, w.Hold(l))
	events, err := notice.RequestInformation(l.Notice, notice.Ask{Permit: l.ID, Pending: true, What: "a bill", By: domain.DateOf(w.Now), At: w.Now})
	must(t, w.Correspond(l, events, err))
	must(t, w.Approve(l))

	q := reader()
	var got []domain.PermitID
	var rows []accounts.Row
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := q.Permits(t.Context(), p.ID, cursor, 2)
		must(t, err)
		for _, r := range page {
			got = append(got, r.PermitID)
		}
		rows, cursor = append(rows, page...), next
	}
	if !slices.Equal(got, want) {
		t.Errorf("permits %v, want %v", got, want)
	}
	r := rows[0]
	if r.AccountID != p.ID || r.Revision != 1 || r.Position == 0 || r.Applied == 0 || len(r.Permit.Terms) != 1 ||
		r.Payment().Status(w.Now) != payment.StatusAuthorised || !r.Referral.Referred() {
		t.Errorf("%+v", r)
	}
	if s := rows[1].Payment().Status(w.Now); s != payment.StatusNone || rows[1].Referral.Referred() {
		t.Errorf("the second: payment %s", s)
	}
	one, ok, err := q.Permit(t.Context(), l.ID)
	if must(t, err); !ok || one.Permit.Vehicle != l.Permit.Vehicle {
		t.Errorf("%+v", one)
	}
	if _, ok, err := q.Permit(t.Context(), "nothing"); ok || err != nil {
		t.Errorf("a permit that is not there: %v, %v", ok, err)
	}
	if _, _, err := q.Permits(t.Context(), p.ID, "?", 2); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("a made-up cursor: %v", err)
	}
}

func TestPermitsByMark(t *testing.T) {
	w, reader := start(t)
	l := w.Apply(w.Open(), 0, 12, false)
	before := l.Permit.Vehicle.Mark
	must(t, w.Approve(l))
	must(t, w.Do(l, permit.ChangeVehicle{Vehicle: "XY99 ZZZ", Rules: w.Rules}))
	for _, c := range []struct {
		zone domain.Zone
		mark domain.VRM
		want int
	}{{"LB2", "XY99ZZZ", 1}, {"", "XY99ZZZ", 1}, {"LB3", "XY99ZZZ", 0}, {"LB2", before, 0}, {"", "", 0}} {
		rows, err := reader().PermitsByMark(t.Context(), c.zone, c.mark)
		if must(t, err); len(rows) != c.want {
			t.Errorf("%+v: %d rows", c, len(rows))
		}
	}
	w.Erase(l.Owner)
	if rows, err := reader().PermitsByMark(t.Context(), "", "XY99ZZZ"); err != nil || len(rows) != 0 {
		t.Errorf("erased: %+v, %v", rows, err)
	}
}
