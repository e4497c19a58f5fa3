package access_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/eventstore/node"
	"permitledger/projections"
	model "permitledger/projections/access"
	"permitledger/projections/projectiontest"
)

func TestWhoLooked(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	log := projectiontest.Start(t, n.ConnectionString())
	running := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, model.New())

	log.Append(t, access.Stream("ann"), "ann", time.Time{}, access.RecordRead{Account: "ann", Permit: "p", What: access.ReadPermit})
	log.Append(t, access.Stream("bob"), "bob", time.Time{}, access.RecordRead{Account: "bob", What: access.ReadAccount})
	last := log.Append(t, access.SearchStream("one"), "", time.Time{},
		access.PeopleSearched{By: []string{"name"}, Shown: []domain.AccountID{"bob", "ann", "ann"}})
	running.Wait(t, last.Position)
	reader := model.NewReader(running.Projection(model.Name))

	var told []string
	for cursor, more := "", true; more; more = cursor != "" {
		var page []model.Read
		if page, cursor, err = reader.Of(t.Context(), "ann", cursor, 1); err != nil || len(page) != 1 {
			t.Fatalf("a page of %v: %v", page, err)
		}
		told = append(told, fmt.Sprintf("%s %s %q", page[0].Role, page[0].What, page[0].Permit))
	}
	if want := []string{`system search ""`, `system permit "p"`}; !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
	if reads, next, err := reader.Of(t.Context(), "nobody", "", 10); err != nil || next != "" || reads != nil {
		t.Errorf("%v %q %v", reads, next, err)
	}
	if _, _, err := reader.Of(t.Context(), "ann", "no cursor", 10); !errors.Is(err, projections.ErrCursor) {
		t.Error(err)
	}
}
