package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
)

// broken is a node with a store whose connection goes through a proxy, and
// another store that sees what really happens.
type broken struct {
	*faultproxy.Proxy
	store  *eventstore.Store
	direct *eventstore.Store
	reg    *prometheus.Registry
}

func breakable(t *testing.T, change ...func(*eventstore.Config)) broken {
	t.Helper()
	n := start(t)
	b := broken{Proxy: faultproxy.New(t, n.Addr()), direct: connect(t, n.Addr()), reg: prometheus.NewRegistry()}
	change = append(change, func(c *eventstore.Config) { c.Registerer = b.reg })
	b.store = connect(t, b.Addr(), change...)
	return b
}

// appending is an append under way.
type appending struct {
	done eventstore.Appended
	err  error
}

func (b broken) begin(ctx context.Context, stream string, expected eventstore.Expected, batch []eventstore.Proposed) <-chan appending {
	out := make(chan appending, 1)
	go func() {
		done, err := b.store.Append(ctx, stream, expected, batch)
		out <- appending{done, err}
	}()
	return out
}

// awaitDirectly waits until the log holds an event with this id.
func (b broken) awaitDirectly(t *testing.T, id uuid.UUID) {
	t.Helper()
	ctx, found := context.WithCancel(t.Context())
	defer found()
	err := b.direct.Subscribe(ctx, 0, funcs{event: func(r eventstore.Recorded) error {
		if r.ID == id {
			found()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func (b broken) wantLog(t *testing.T, want ...uuid.UUID) {
	t.Helper()
	if got := ids(collect(t, b.direct.ReadAll(t.Context(), 0))); !slices.Equal(got, want) {
		t.Errorf("the log holds %v, want %v", got, want)
	}
}

func TestAnAnswerThatWasLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		later bool // somebody else appends in between
		cut   bool // otherwise only the time runs out
	}{
		{"connection cut", false, true},
		{"connection cut, stream moved on", true, true},
		{"silence", false, false},
		{"silence, stream moved on", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := breakable(t, func(cfg *eventstore.Config) {
				if !c.cut {
					cfg.TryTimeout = 300 * time.Millisecond
				}
			})
			first := proposed(1)
			if _, err := b.store.Append(t.Context(), "permit-1", eventstore.NoStream(), first); err != nil {
				t.Fatal(err)
			}
			b.Do(faultproxy.LoseAnswers)
			batch := proposed(2)
			under := b.begin(t.Context(), "permit-1", eventstore.At(0), batch)
			b.awaitDirectly(t, batch[1].ID)
			want := []uuid.UUID{first[0].ID, batch[0].ID, batch[1].ID}
			if c.later {
				later := proposed(1)
				if _, err := b.direct.Append(t.Context(), "permit-1", eventstore.At(2), later); err != nil {
					t.Fatal(err)
				}
				want = append(want, later[0].ID)
			}
			if c.cut {
				b.Do(faultproxy.Cut)
			}
			got := <-under
			if got.err != nil || got.done.Revision != 2 || got.done.Position == 0 {
				t.Errorf("appended %+v", got)
			}
			b.wantLog(t, want...)
			if n := outcomes(t, b.reg)["unknown-resent"]; n < 1 {
				t.Errorf("sent again %v times", n)
			}
		})
	}
}

func TestARequestThatWasLost(t *testing.T) {
	for _, stolen := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream taken by another %v", stolen), func(t *testing.T) {
			b := breakable(t, func(cfg *eventstore.Config) { cfg.TryTimeout = 300 * time.Millisecond })
			first := proposed(1)
			if _, err := b.store.Append(t.Context(), "permit-1", eventstore.NoStream(), first); err != nil {
				t.Fatal(err)
			}
			b.Do(faultproxy.LoseRequests)
			other, batch := proposed(1), proposed(1)
			if stolen {
				if _, err := b.direct.Append(t.Context(), "permit-1", eventstore.At(0), other); err != nil {
					t.Fatal(err)
				}
			}
			_, err := b.store.Append(t.Context(), "permit-1", eventstore.At(0), batch)
			if !stolen {
				if err != nil {
					t.Error(err)
				}
				b.wantLog(t, first[0].ID, batch[0].ID)
				return
			}
			if c, ok := errors.AsType[*eventstore.ConflictError](err); !ok || c.Actual != 1 {
				t.Errorf("got %v", err)
			}
			b.wantLog(t, first[0].ID, other[0].ID)
		})
	}
}

func TestAServerThatIsAway(t *testing.T) {
	n := start(t)
	p := faultproxy.New(t, n.Addr())
	p.Down()
	s := connect(t, p.Addr(), func(c *eventstore.Config) { c.Bound = 200 * time.Millisecond })
	calls := map[string]func(context.Context) error{
		"append": func(ctx context.Context) error {
			_, err := s.Append(ctx, "permit-1", eventstore.NoStream(), proposed(1))
			return err
		},
		"read": func(ctx context.Context) error {
			for _, err := range s.Read(ctx, "permit-1", 0) {
				return err
			}
			return nil
		},
		"read all": func(ctx context.Context) error {
			for _, err := range s.ReadAll(ctx, 0) {
				return err
			}
			return nil
		},
		"head": func(ctx context.Context) error {
			_, err := s.Head(ctx)
			return err
		},
	}
	for name, f := range calls {
		if err := f(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		// A context that ends is honoured although the client is searching.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: %v", name, err)
		}
	}
	p.Up()
	// It is found again by itself, within the patience of one call.
	patient := connect(t, p.Addr())
	appendOne(t, patient, "permit-1", eventstore.NoStream())
	for eventually := true; eventually; {
		_, err := s.Append(t.Context(), "permit-2", eventstore.NoStream(), proposed(1))
		if eventually = errors.Is(err, eventstore.ErrUnavailable); !eventually && err != nil && !errors.Is(err, eventstore.ErrConflict) {
			t.Fatal(err)
		}
	}
}

func TestTheBoundAppliesToASilentServer(t *testing.T) {
	b := breakable(t, func(c *eventstore.Config) {
		c.TryTimeout, c.Bound = 50*time.Millisecond, 300*time.Millisecond
	})
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	b.Do(faultproxy.LoseRequests)
	b.Refuse() // nothing new gets through either
	_, err := b.store.Append(t.Context(), "permit-1", eventstore.At(0), proposed(1))
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Error(err)
	}
	if n := outcomes(t, b.reg)["failed"]; n != 1 {
		t.Errorf("%v counted as failed", n)
	}
}

func TestAServerThatRestarts(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	open := func() *node.Node {
		n, err := node.Open(t.Context(), node.Options{Dir: filepath.Join(dir, "log"), Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	s := connect(t, "localhost", func(c *eventstore.Config) { c.Socket = socket })

	// Writers go on over the restarts; each acknowledged event is there once.
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan struct{}, 1000)
	type result struct {
		acknowledged []uuid.UUID
		pending      uuid.UUID // of the append that was stopped
	}
	results := make([]result, 8)
	for w := range results {
		all.Go(func() {
			stream, expected := fmt.Sprintf("permit-%d", w), eventstore.NoStream()
			for ctx.Err() == nil {
				batch := proposed(1)
				done, err := s.Append(ctx, stream, expected, batch)
				if ctx.Err() != nil {
					results[w].pending = batch[0].ID
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				results[w].acknowledged = append(results[w].acknowledged, batch[0].ID)
				expected = eventstore.At(done.Revision)
				select {
				case wrote <- struct{}{}:
				default:
				}
			}
		})
	}
	some := func() {
		for range 40 {
			<-wrote
		}
		for len(wrote) > 0 {
			<-wrote
		}
	}
	for range 3 {
		some()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		n = open()
	}
	some()
	stop()
	all.Wait()
	for w, r := range results {
		got := ids(collect(t, s.Read(t.Context(), fmt.Sprintf("permit-%d", w), 0)))
		if len(got) == len(r.acknowledged)+1 && got[len(got)-1] == r.pending {
			got = got[:len(got)-1]
		}
		if !slices.Equal(got, r.acknowledged) {
			t.Errorf("writer %d: %d acknowledged, %d in the log", w, len(r.acknowledged), len(got))
		}
	}
	_ = s.Close()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestAReadGoesOnWhereItBroke(t *testing.T) {
	b := breakable(t)
	batch := proposed(2000)
	for i := 0; i < len(batch); i += 100 {
		expected := eventstore.After(int64(i) - 1)
		if _, err := b.direct.Append(t.Context(), "permit-1", expected, batch[i:i+100]); err != nil {
			t.Fatal(err)
		}
	}
	var want []uuid.UUID
	for _, p := range batch {
		want = append(want, p.ID)
	}
	for name, seq := range map[string]sequence{
		"stream": b.store.Read(t.Context(), "permit-1", 0),
		"all":    b.store.ReadAll(t.Context(), 0),
	} {
		var got []uuid.UUID
		for r, err := range seq {
			if err != nil {
				t.Fatal(name, err)
			}
			if got = append(got, r.ID); len(got)%300 == 0 {
				b.Do(faultproxy.Cut)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d events, want %d", name, len(got), len(want))
		}
	}
}

func TestAClosedStore(t *testing.T) {
	b := breakable(t)
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	ended := make(chan error, 1)
	caught := make(chan struct{}, 1)
	go func() {
		ended <- b.store.Subscribe(t.Context(), 0, funcs{caughtUp: func() error { caught <- struct{}{}; return nil }})
	}()
	<-caught
	for range 2 {
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("the subscription ended with %v", err)
	}
	if _, err := b.store.Append(t.Context(), "permit-1", eventstore.At(0), proposed(1)); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := b.store.Head(t.Context()); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("head: %v", err)
	}
}
