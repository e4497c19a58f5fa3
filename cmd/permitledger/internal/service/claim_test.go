package service_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
)

// A service whose claim is taken answers 503, and ends by itself with the reason.
func TestServiceEndsWhenItsClaimIsTaken(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	proxy := faultproxy.New(t, n.Addr())
	s := openOn(t, proxy.Addr())
	c := newClient(t, s)
	c.as("alex").post("/accounts", `{"name":"Alex Example"}`).want(http.StatusCreated)
	if metrics := string(c.as("").get("/metrics").want(200).raw); !strings.Contains(metrics, "\npermitledger_claim_held 1\n") {
		t.Error("the metrics do not name the claim")
	}
	proxy.Down()
	other, err := eventstore.Connect(eventstore.Config{ConnectionString: n.ConnectionString()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	claim, err := other.Claim(t.Context(), eventstore.ClaimConfig{Scale: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(claim.Release)
	proxy.Up()
	if err := s.Wait(); !errors.Is(err, eventstore.ErrClaimed) {
		t.Errorf("it ended with %v", err)
	}
	c.as("sam").post("/accounts", `{"name":"Sam Example"}`).want(http.StatusServiceUnavailable)
	if err := s.Close(); !errors.Is(err, eventstore.ErrClaimed) {
		t.Errorf("closed with %v", err)
	}
}

// openOn starts a service on an event store, which the test closes.
func openOn(t *testing.T, address string) *service.Service {
	t.Helper()
	return begun(t, func(cfg *service.Config) {
		cfg.EventStore, cfg.DemoClock, cfg.ClaimScale = "esdb://"+address+"?tls=false&discoveryInterval=10", time.Time{}, 0.05
	})
}
