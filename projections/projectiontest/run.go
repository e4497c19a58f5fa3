package projectiontest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"testing"

	"permitledger/eventstore"
	"permitledger/projections"
)

// Running is a runner that follows a log.
type Running struct {
	*projections.Runner
	stop context.CancelFunc
	done chan error
}

// Run opens the models over a folder and follows the ledger until Stop, or to
// the end of the test.
func Run(t testing.TB, cfg projections.Config, models ...projections.Model) *Running {
	t.Helper()
	r, err := projections.Open(t.Context(), cfg, models...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	running := &Running{Runner: r, stop: stop, done: make(chan error, 1)}
	go func() { running.done <- r.Run(ctx) }()
	t.Cleanup(func() { running.Stop(t) })
	return running
}

// Stop ends the following and closes the files. Stopping twice is nothing.
func (r *Running) Stop(t testing.TB) {
	t.Helper()
	if r.done == nil {
		return
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done = nil
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Wait waits until every model has applied the event at a position.
func (r *Running) Wait(t testing.TB, pos eventstore.Position) {
	t.Helper()
	ctx := Soon(t)
	for _, p := range r.Projections() {
		if err := p.WaitFor(ctx, pos); err != nil {
			t.Fatalf("waiting for %s: %v (%+v)", p.Name(), err, p.Status())
		}
	}
}

// WaitState waits until a model is in a state.
func WaitState(t testing.TB, p *projections.Projection, want projections.State) projections.Status {
	t.Helper()
	return waitUntil(t, p, func(s projections.Status) bool { return s.State == want })
}

// WaitTrouble waits until a model is in trouble, or no more in any.
func WaitTrouble(t testing.TB, p *projections.Projection, in bool) projections.Status {
	t.Helper()
	return waitUntil(t, p, func(s projections.Status) bool { return (s.Trouble != "") == in })
}

// WaitForgotten waits until what was erased has left a model's file.
func WaitForgotten(t testing.TB, p *projections.Projection) {
	t.Helper()
	waitUntil(t, p, func(s projections.Status) bool { return !s.Erasing })
}

func waitUntil(t testing.TB, p *projections.Projection, wanted func(projections.Status) bool) projections.Status {
	t.Helper()
	ctx := Soon(t)
	for {
		changed := p.Changed()
		if s := p.Status(); wanted(s) {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s never got there: %+v", p.Name(), p.Status())
		}
	}
}

// Build folds the whole ledger into a new folder and gives a dump of each
// model's rows.
func Build(t testing.TB, ledger *eventstore.Ledger, models ...projections.Model) map[string]string {
	t.Helper()
	head, err := ledger.Store().Head(Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	r := Run(t, projections.Config{Ledger: ledger}, models...)
	defer r.Stop(t)
	r.Wait(t, head)
	return r.Dumps(t)
}

// Dumps gives a dump of every model by its name.
func (r *Running) Dumps(t testing.TB) map[string]string {
	t.Helper()
	dumps := make(map[string]string)
	for _, p := range r.Projections() {
		dumps[p.Name()] = Dump(t, p)
	}
	return dumps
}

// Dump writes all rows of all tables of a model as text, in an order that only
// the rows decide. The shadows in which a full-text index keeps its segments
// are left out: how it lays them out depends on where transactions end.
func Dump(t testing.TB, p *projections.Projection) string {
	t.Helper()
	var b strings.Builder
	err := p.View(t.Context(), func(tx *sql.Tx) error {
		tables, err := texts(tx, `SELECT name FROM pragma_table_list
			WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite_%' ORDER BY name`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			lines, err := texts(tx, `SELECT * FROM "`+table+`"`)
			if err != nil {
				return err
			}
			sort.Strings(lines)
			fmt.Fprintf(&b, "%s\n  %s\n", table, strings.Join(lines, "\n  "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// texts gives every row as one line of text.
func texts(tx *sql.Tx, query string) ([]string, error) {
	rows, err := tx.Query(query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		parts := make([]string, len(columns))
		for i, v := range values {
			parts[i] = fmt.Sprint(*v.(*any))
		}
		lines = append(lines, strings.Join(parts, " | "))
	}
	return lines, rows.Err()
}

// Cut wraps a model so that a callback runs when it is given its n-th event,
// counted over the life of the wrapper, before that is applied.
type Cut struct {
	projections.Model
	N    int64
	Then func()

	seen atomic.Int64
}

// Apply counts and hands on.
func (c *Cut) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	if c.seen.Add(1) == c.N {
		c.Then()
	}
	return c.Model.Apply(ctx, tx, e)
}

// AsStored is the model's own answer.
func (c *Cut) AsStored() bool {
	s, ok := c.Model.(interface{ AsStored() bool })
	return ok && s.AsStored()
}

// CutOnce follows the ledger over a folder until the model was given n events,
// or has reached the end, and cuts it off there.
func CutOnce(t testing.TB, ledger *eventstore.Ledger, dir string, n int64, m projections.Model) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := projections.Open(ctx, projections.Config{Dir: dir, Ledger: ledger}, &Cut{Model: m, N: n, Then: cancel})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		p := r.Projection(m.Name())
		for changed := p.Changed(); p.Status().State != projections.Running && ctx.Err() == nil; changed = p.Changed() {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		cancel()
	}()
	if err := errors.Join(r.Run(ctx), r.Close()); err != nil {
		t.Fatal(err)
	}
}
