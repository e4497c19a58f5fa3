package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// funcs is a Handler made of functions; those left out do nothing.
type funcs struct {
	event    func(eventstore.Recorded) error
	caughtUp func() error
	progress func(eventstore.Position) error
}

func (f funcs) Event(r eventstore.Recorded) error {
	if f.event == nil {
		return nil
	}
	return f.event(r)
}

func (f funcs) CaughtUp() error {
	if f.caughtUp == nil {
		return nil
	}
	return f.caughtUp()
}

func (f funcs) Progress(p eventstore.Position) error {
	if f.progress == nil {
		return nil
	}
	return f.progress(p)
}

var errEnough = errors.New("enough")

func TestASubscriptionBeginsAtTheBeginning(t *testing.T) {
	n, s := fresh(t)
	other := foreign(t, n)
	first := appendOne(t, s, "permit-1", eventstore.NoStream())
	write(t, other, "orders-1")
	second := appendOne(t, s, "account-1", eventstore.NoStream())

	var got []eventstore.Position
	caught := 0
	live := eventstore.Position(0)
	err := s.Subscribe(t.Context(), 0, funcs{
		event: func(r eventstore.Recorded) error {
			if got = append(got, r.Position); len(got) == 3 {
				return errEnough
			}
			return nil
		},
		caughtUp: func() error {
			if caught++; caught == 1 {
				write(t, other, "orders-1")
				live = appendOne(t, s, "payment-1", eventstore.NoStream()).Position
			}
			return nil
		},
	})
	if !errors.Is(err, errEnough) || caught != 1 || !slices.Equal(got, []eventstore.Position{first.Position, second.Position, live}) {
		t.Errorf("%v, caught up %d times, got %v", err, caught, got)
	}

	got = nil
	err = s.Subscribe(t.Context(), first.Position, funcs{
		event:    func(r eventstore.Recorded) error { got = append(got, r.Position); return nil },
		caughtUp: func() error { return errEnough },
	})
	if !errors.Is(err, errEnough) || !slices.Equal(got, []eventstore.Position{second.Position, live}) {
		t.Errorf("after the first: %v, %v", got, err)
	}
}

func TestProgressPassesOverWhatIsNotOurs(t *testing.T) {
	n, s := fresh(t)
	other := foreign(t, n)
	ours := appendOne(t, s, "permit-1", eventstore.NoStream())
	for range 600 {
		write(t, other, "orders-1")
	}
	var reached eventstore.Position
	err := s.Subscribe(t.Context(), 0, funcs{
		progress: func(p eventstore.Position) error { reached = p; return nil },
		caughtUp: func() error { return errEnough },
	})
	if !errors.Is(err, errEnough) || reached <= ours.Position {
		t.Errorf("reached %d, our last event at %d, %v", reached, ours.Position, err)
	}
}

// A server that reads what is stored sends checkpoints where its pages began.
// The first is at 0 when the log begins with a page of foreign events.
func TestCheckpointAtZeroIsNotCaughtUp(t *testing.T) {
	c := newCluster(t)
	c.lead(0)
	c.behind = func(m *streams.ReadResp) []*streams.ReadResp {
		if m.GetConfirmation() == nil {
			return nil
		}
		return []*streams.ReadResp{{Content: &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{}}}}
	}
	ours := appendOne(t, c.direct, "permit-1", eventstore.NoStream())
	s := connect(t, "", c.seeds(0))
	var seen []string
	note := func(format string, args ...any) { seen = append(seen, fmt.Sprintf(format, args...)) }
	err := s.Subscribe(t.Context(), 0, funcs{
		event: func(r eventstore.Recorded) error { note("event at %s", r.Position); return nil },
		progress: func(p eventstore.Position) error {
			if p == 0 {
				note("progress to 0")
			}
			return nil
		},
		caughtUp: func() error { note("caught up"); return errEnough },
	})
	want := []string{"progress to 0", "event at " + ours.Position.String(), "caught up"}
	if !errors.Is(err, errEnough) || !slices.Equal(seen, want) {
		t.Errorf("%v, saw %q, want %q", err, seen, want)
	}
}

// A server that is restarting a part of itself may never confirm a subscription.
func TestSubscriptionWithoutConfirmationIsOpenedAgain(t *testing.T) {
	c := newCluster(t)
	c.lead(0)
	c.mu.Lock()
	c.mute = 2
	c.mu.Unlock()
	log := &lines{}
	s := connect(t, "", c.seeds(0), func(cfg *eventstore.Config) {
		cfg.TryTimeout, cfg.Logger = 100*time.Millisecond, log.logger()
	})
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	err := s.Subscribe(ctx, 0, funcs{caughtUp: func() error { return errEnough }})
	if !errors.Is(err, errEnough) || log.count("event store connection lost") != 1 {
		t.Errorf("%v\n%s", err, log.text.String())
	}
}

func TestASubscriptionEnds(t *testing.T) {
	_, s := fresh(t)
	appendOne(t, s, "permit-1", eventstore.NoStream())
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Subscribe(ctx, 0, funcs{caughtUp: func() error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("with its context: %v", err)
	}
	for name, h := range map[string]funcs{
		"event":     {event: func(eventstore.Recorded) error { return errEnough }},
		"caught up": {caughtUp: func() error { return errEnough }},
	} {
		if err := s.Subscribe(t.Context(), 0, h); err != errEnough {
			t.Errorf("with an error at %s: %v", name, err)
		}
	}
}

// A subscription sees each event once and in order, however often its
// connection breaks while it catches up and while it is live.
func TestASubscriptionSurvives(t *testing.T) {
	b := breakable(t)
	const before, after = 700, 60
	batch := proposed(before)
	for i := 0; i < before; i += 100 {
		if _, err := b.direct.Append(t.Context(), "permit-1", eventstore.After(int64(i)-1), batch[i:i+100]); err != nil {
			t.Fatal(err)
		}
	}
	want := make([]uuid.UUID, 0, before+after)
	for _, p := range batch {
		want = append(want, p.ID)
	}
	var got []uuid.UUID
	next := make(chan struct{}, after+1)
	ended := make(chan error, 1)
	go func() {
		ended <- b.store.Subscribe(t.Context(), 0, funcs{event: func(r eventstore.Recorded) error {
			switch got = append(got, r.ID); {
			case len(got) == before+after:
				return errEnough
			case len(got) >= before:
				next <- struct{}{}
			case len(got)%150 == 0:
				b.Do(faultproxy.Cut)
			}
			return nil
		}})
	}()
	for i := range after {
		<-next
		switch i % 12 {
		case 3:
			b.Do(faultproxy.Cut)
		case 7:
			b.Down()
		}
		p := proposed(1)
		want = append(want, p[0].ID)
		if _, err := b.direct.Append(t.Context(), fmt.Sprintf("account-%d", i), eventstore.NoStream(), p); err != nil {
			t.Fatal(err)
		}
		if i%12 == 7 {
			b.Up()
		}
	}
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("saw %d events, want %d, in order", len(got), len(want))
	}
}

// Each event comes once and in order wherever the connection breaks: at any kind
// of message that the subscription gives, and at any point of opening another.
func TestASubscriptionCutAnywhere(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(6) {
		cutAnywhere(t, rand.New(rand.NewPCG(seed, 2)), met)
	}
	for _, kind := range []string{"event", "caught up", "progress", "opening"} {
		if met[kind] == 0 {
			t.Errorf("nothing was cut at: %s (%v)", kind, met)
		}
	}
}

func cutAnywhere(t *testing.T, random *rand.Rand, met map[string]int) {
	const before, after, most = 300, 60, 40
	n := start(t)
	b := broken{Proxy: faultproxy.New(t, n.Addr()), direct: connect(t, n.Addr())}
	b.store = connect(t, b.Addr())
	other := foreign(t, n)
	var want, got []uuid.UUID
	more := func(i int) {
		p := proposed(1)
		want = append(want, p[0].ID)
		if _, err := b.direct.Append(t.Context(), fmt.Sprintf("permit-%d", i), eventstore.NoStream(), p); err != nil {
			t.Error(err)
		}
	}
	for i := range before {
		more(i)
		for range random.IntN(5) {
			write(t, other, "orders-1") // what is passed over makes the server tell its progress
		}
	}
	cuts := 0
	var waiting *faultproxy.Armed
	cut := func(kind string, one int) error {
		if random.IntN(one) > 0 || cuts >= most {
			return nil
		}
		cuts++
		met[kind]++
		if waiting != nil {
			select {
			case <-waiting.Struck():
				met["opening"]++
			default:
				b.Disarm(waiting)
			}
		}
		waiting = nil
		if random.IntN(2) == 0 {
			waiting = b.Arm(faultproxy.Fault{Kind: faultproxy.SubscribeAll, At: pick(random, faultproxy.Points()...),
				Harm: pick(random, faultproxy.Cut, faultproxy.Reset)})
		}
		b.Do(pick(random, faultproxy.Cut, faultproxy.Reset))
		return nil
	}
	err := b.store.Subscribe(t.Context(), 0, funcs{
		event: func(r eventstore.Recorded) error {
			switch got = append(got, r.ID); {
			case len(got) == before+after:
				return errEnough
			case len(got) >= before && len(got) == len(want):
				more(len(got))
			}
			return cut("event", 20)
		},
		caughtUp: func() error {
			if len(got) == len(want) {
				more(len(got))
			}
			return cut("caught up", 2)
		},
		progress: func(eventstore.Position) error { return cut("progress", 2) },
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("saw %d events, want %d, in order", len(got), len(want))
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }
