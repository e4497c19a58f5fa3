package demo_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
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
	keeper   *keeper
}

func newOffice(t *testing.T, until time.Time) *office {
	t.Helper()
	ctx := t.Context()
	n, err := node.Open(ctx, node.Options{Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { _ = n.Close() })
	keep, err := vault.Open(t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = keep.Close() })
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: n.ConnectionString()})
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	papers, err := documents.Open(t.TempDir(), keep)
	must(t, err)
	provider, err := payments.Open(filepath.Join(t.TempDir(), "provider.db"))
	must(t, err)
	t.Cleanup(func() { _ = provider.Close() })
	o := &office{clock: &still{at: demo.Start(until)}, provider: provider}
	ledger := eventstore.NewLedger(store, eventstore.NewCodec(keep))
	o.Desk = desk.New(desk.Config{Ledger: ledger, Gateway: provider, Documents: papers, Clock: o.clock, Pepper: keep.Pepper()})
	folder, err := publish.Read(council.Sample())
	must(t, err)
	must(t, o.Publish(ctx, folder))
	o.keeper = newKeeper(o)
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
