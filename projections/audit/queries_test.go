package audit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"permitledger/domain/access"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/audit"
	"permitledger/projections/projectiontest"
)

func TestIndex(t *testing.T) {
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
	w := projectiontest.NewTown(t, log, 1) // event 1: a policy
	w.Now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	p := w.Open()                     // 2
	l := w.Apply(p, 5500, 12, false)  // 3, 4: documents; 5: Applied
	w.Now = w.Now.Add(time.Hour)      //
	if err := w.Hold(l); err != nil { // 6, 7
		t.Fatal(err)
	}
	if err := w.Approve(l); err != nil { // 8
		t.Fatal(err)
	}
	// Recorded by another clock that is behind: known when it lies in the log.
	log.Append(t, property.Stream("hashed"), "", w.Now.Add(-time.Minute), property.SlotTaken{Permit: l.ID, Limit: 2}) // 9
	last := log.Append(t, access.Stream(p.ID), p.ID, w.Now.Add(time.Hour),
		access.RecordRead{Account: p.ID, Permit: l.ID, What: "history-opened"}).Position // 10

	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, audit.New())
	r.Wait(t, last)
	q := audit.NewReader(r.Projection(audit.Name))
	entries, err := q.ForPermit(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%d %s %d %s", e.Ledger, e.Stream, e.Revision, e.Type))
		if e.Account != p.ID || e.Permit != l.ID || e.Actor == "" || e.Role == "" || e.Position == 0 {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		"5 " + permit.Stream(l.ID) + " 0 Applied",
		"6 " + payment.Stream(l.ID, 1) + " 0 PaymentRequested",
		"7 " + payment.Stream(l.ID, 1) + " 1 PaymentAuthorised",
		"8 " + permit.Stream(l.ID) + " 1 Approved",
	}
	if !slices.Equal(got, want) {
		t.Errorf("history %q, want %q", got, want)
	}

	for _, c := range []struct {
		at   time.Time
		want uint64
	}{
		{w.Now.Add(-2 * time.Hour), 1}, {w.Now.Add(-time.Hour), 5}, {w.Now.Add(-time.Second), 5},
		{w.Now, 9}, {w.Now.Add(time.Hour), 10},
	} {
		e, ok, err := q.KnownAt(t.Context(), c.at)
		if err != nil || !ok || e.Ledger != c.want {
			t.Errorf("known at %s: %d, %v, %v; want %d", c.at, e.Ledger, ok, err, c.want)
		}
	}
	if _, ok, err := q.KnownAt(t.Context(), time.Unix(0, 0)); ok || err != nil {
		t.Errorf("known before the first event: %v, %v", ok, err)
	}
	number, ok, err := q.Ledger(t.Context(), entries[3].EventID)
	if err != nil || !ok || number != 8 {
		t.Errorf("ledger number %d, %v, %v", number, ok, err)
	}
	if _, ok, err := q.ByID(t.Context(), "nothing"); ok || err != nil {
		t.Errorf("an event that is not there: %v, %v", ok, err)
	}
	counts, err := q.Counts(t.Context())
	if err != nil || counts["Applied"] != 1 || counts["DocumentUploaded"] != 2 || counts["RecordRead"] != 1 {
		t.Errorf("counts %v, %v", counts, err)
	}
}
