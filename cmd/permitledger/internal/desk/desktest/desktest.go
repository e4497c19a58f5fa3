// Package desktest opens a whole desk for tests: over an event store in
// memory, through the real client, with the sample council's rules, a vault, a
// documents' folder and a simulated payment provider of its own.
package desktest

import (
	"context"
	"path/filepath"
	"testing"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/cmd/permitledger/internal/outbox"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
)

// Office is a desk with what a test may want to reach behind it.
type Office struct {
	*desk.Desk
	Provider *payments.Simulator
	Keys     *vault.Vault
}

// Open opens an office whose commands are given by a clock. It is closed when
// the test ends.
func Open(t testing.TB, clock desk.Clock) *Office {
	t.Helper()
	ctx := context.Background() // the test's own ends before its cleanups
	n, err := node.Open(ctx, node.Options{Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { _ = n.Close() })
	keys, err := vault.Open(t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: n.ConnectionString()})
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	papers, err := documents.Open(t.TempDir(), keys)
	must(t, err)
	provider, err := payments.Open(filepath.Join(t.TempDir(), "provider.db"))
	must(t, err)
	t.Cleanup(func() { _ = provider.Close() })
	mail, err := outbox.Open(t.TempDir())
	must(t, err)
	o := &Office{Provider: provider, Keys: keys, Desk: desk.New(desk.Config{
		Ledger:  eventstore.NewLedger(store, eventstore.NewCodec(keys)),
		Gateway: provider, Documents: papers, Mailer: mail, Clock: clock, Pepper: keys.Pepper()})}
	folder, err := publish.Read(council.Sample())
	must(t, err)
	must(t, o.Publish(ctx, folder))
	return o
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
