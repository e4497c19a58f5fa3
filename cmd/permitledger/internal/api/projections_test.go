package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/api"
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
