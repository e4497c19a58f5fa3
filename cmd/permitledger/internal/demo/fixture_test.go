package demo_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/desk/desktest"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// until is where the tests' histories end.
var until = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// still is a clock that stands where it was put.
type still struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func (c *still) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *still) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.at) {
		c.at = to
	}
}

// office is a desk over an in-memory node with the sample council, and a
// timekeeper of the test's own.
type office struct {
	*desk.Desk
	clock    *still
	provider *payments.Simulator
	keys     *vault.Vault
	keeper   *keeper
	// published is where the log ended before the history.
	published eventstore.Position
}

func newOffice(t *testing.T, until time.Time) *office {
	t.Helper()
	o := &office{clock: &still{at: demo.Start(until)}}
	opened := desktest.Open(t, o.clock)
	o.Desk, o.provider, o.keys = opened.Desk, opened.Provider, opened.Keys
	o.keeper = newKeeper(o)
	var err error
	o.published, err = o.Ledger.Store().Head(t.Context())
	must(t, err)
	return o
}

// config is a history of so many permits at this office.
func (o *office) config(permits int, seed uint64) demo.Config {
	return demo.Config{Desk: o.Desk, Walk: o.keeper.walk, Permits: permits, Seed: seed, Until: until,
		Instruct: func(ctx context.Context, account domain.AccountID, next []string) error {
			return o.provider.Instruct(ctx, uuid.NewString(), account, next)
		}}
}

// events is the whole ledger in log order.
func (o *office) events(t *testing.T) []eventstore.Event {
	t.Helper()
	var all []eventstore.Event
	for r, err := range o.Ledger.Store().ReadAll(t.Context(), 0) {
		must(t, err)
		e, err := o.Ledger.Codec().Decode(r)
		must(t, err)
		all = append(all, e)
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
