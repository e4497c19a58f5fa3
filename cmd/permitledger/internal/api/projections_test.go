package api_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/eventstore"
	"permitledger/projections"
)

func TestRebuildingAReadModel(t *testing.T) {
	var runner *projections.Runner
	h := newHouse(t, func(c *api.Config) { runner = c.Runner })
	h.permit("alex")
	send := func() answer {
		return h.do(context.Background(), "POST", "/api/v1/admin/projections/accounts/rebuild", "ada", strings.NewReader(`{}`),
			with{"Content-Type": "application/json", "Idempotency-Key": "again"}).want(202)
	}
	begun := send()
	if begun.text("name") != "accounts" || begun.text("rebuild.state") != "running" {
		t.Errorf("%s", begun.raw)
	}
	rebuild := runner.Projection("accounts").Status().Rebuild
	select {
	case <-rebuild.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("it never ends")
	}
	// The same key begins nothing, and is answered as the first time.
	if again := send(); string(again.raw) != string(begun.raw) || runner.Projection("accounts").Status().Rebuild != rebuild {
		t.Errorf("%s and then %s", begun.raw, again.raw)
	}
	list := h.get("ada", "/api/v1/admin/projections").want(200)
	if list.at("items.0.name") != "accounts" || list.at("items.0.rebuild.state") != "done" || list.at("items.0.stopped") != nil || list.at("items.1.rebuild") != nil {
		t.Errorf("%s", list.raw)
	}
	h.post("ada", "/api/v1/admin/projections/nothing/rebuild", map[string]any{}).want(404)
	h.get("alex", "/api/v1/accounts").want(200)
}

// An event that cannot be read stops the read models that meet it, and no
// other; what is stopped, by what and since when is told wherever one looks.
func TestAStoppedReadModelIsTold(t *testing.T) {
	var runner *projections.Runner
	h := newHouse(t, func(c *api.Config) { runner = c.Runner })
	garbage := eventstore.Proposed{ID: uuid.New(), Type: "InformationRequested", Data: []byte("{"), Metadata: []byte("garbage")}
	if _, err := h.desk.Ledger.Store().Append(t.Context(), "notice-"+uuid.NewString(), eventstore.NoStream(), []eventstore.Proposed{garbage}); err != nil {
		t.Fatal(err)
	}
	p := runner.Projection("accounts")
	for changed := p.Changed(); p.Status().State != projections.Stopped; changed = p.Changed() {
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatal("it is not stopped")
		}
	}
	e := p.Status().Error
	number := strconv.FormatUint(e.Ledger, 10)
	ready := h.get("", "/readyz").want(200)
	for _, part := range []string{`"degraded"`, "accounts is stopped since " + e.Since.UTC().Format(time.RFC3339), garbage.ID.String(), "ledger number " + number} {
		if !strings.Contains(string(ready.raw), part) {
			t.Errorf("/readyz does not say %s: %s", part, ready.raw)
		}
	}
	list := h.get("ada", "/api/v1/admin/projections").want(200)
	if list.at("items.0.state") != "stopped" || list.text("items.0.stopped.eventId") != garbage.ID.String() || list.at("items.0.stopped.ledger") != float64(e.Ledger) {
		t.Errorf("%s", list.raw)
	}
	h.get("alex", "/api/v1/accounts").want(503)
	h.get("alex", "/api/v1/properties?postcode=LE11+1AA").want(200)

	// A rebuild meets the same event: it fails, and the old file is as it was.
	h.post("ada", "/api/v1/admin/projections/accounts/rebuild", map[string]any{}).want(202)
	<-p.Status().Rebuild.Done()
	list = h.get("ada", "/api/v1/admin/projections").want(200)
	if list.at("items.0.rebuild.state") != "failed" || !strings.Contains(list.text("items.0.rebuild.error"), garbage.ID.String()) || list.at("items.0.state") != "stopped" {
		t.Errorf("%s", list.raw)
	}
}
