package projections_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"permitledger/domain/account"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// startLog starts a server in memory for the length of a test.
func startLog(t testing.TB) *projectiontest.Log {
	t.Helper()
	return projectiontest.Start(t, startNode(t).ConnectionString())
}

func startNode(t testing.TB) *node.Node {
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
	return n
}

// tally is a read model for the runner's own tests: every event that it was
// given, once, and a count that shows an event applied twice.
type tally struct {
	name    string
	version int
	follows []string
	reject  string // an event type that it cannot fold
	panics  string // an event type that it trips over
}

func newTally(name string) tally {
	return tally{name: name, version: 1, follows: []string{"account-", "ledger-"}}
}

func (m tally) Name() string { return m.name }

func (m tally) Schema() (int, string) {
	return m.version, `CREATE TABLE seen (ledger INTEGER PRIMARY KEY, position INTEGER, stream TEXT, type TEXT, clock INTEGER);
		CREATE TABLE total (only INTEGER PRIMARY KEY, n INTEGER); INSERT INTO total VALUES (1, 0);`
}

func (m tally) Follows() []string { return m.follows }

func (m tally) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	if _, err := tx.ExecContext(ctx, `UPDATE total SET n = n + 1`); err != nil {
		return err
	}
	switch e.Type {
	case m.reject:
		return errors.New("cannot fold this")
	case m.panics:
		var none *account.DocumentUploaded
		_ = none.SHA256
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO seen VALUES (?, ?, ?, ?, ?)`, e.Ledger, e.Position, e.Stream, e.Type, e.Clock.UnixMicro())
	return err
}

func count(t testing.TB, p *projections.Projection, query string, args ...any) (n int64) {
	t.Helper()
	if err := p.DB().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
