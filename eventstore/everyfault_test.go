package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// struck is a store behind a proxy in which a fault waits, and what is done
// with it.
type struck struct {
	faultproxy.Fault
	proxy  *faultproxy.Proxy
	store  *eventstore.Store
	direct *eventstore.Store
	stream string
	before []uuid.UUID         // what the stream holds
	at     eventstore.Position // of the last event before those
}

// calls is every kind of call that the store makes, and something that makes
// one: it gives what went wrong.
var calls = map[faultproxy.Kind]func(*struck, context.Context) error{
	faultproxy.Features:     (*struck).appends,
	faultproxy.Append:       (*struck).appends,
	faultproxy.ReadStream:   (*struck).reads,
	faultproxy.ReadAll:      (*struck).readsAll,
	faultproxy.SubscribeAll: (*struck).follows,
	faultproxy.GroupCreate:  (*struck).makesGroup,
	faultproxy.GroupInfo:    (*struck).asksGroup,
	faultproxy.GroupReplay:  (*struck).replaysGroup,
	faultproxy.GroupRead:    (*struck).consumes,
}

// TestEveryFaultAtEveryPointOfEveryCall: whatever happens to the connection,
// an append is written once and said to be, a read is whole and in order, a
// subscription gives each event once and a persistent one at least once. The
// call itself gets over it.
func TestEveryFaultAtEveryPointOfEveryCall(t *testing.T) {
	n := start(t)
	direct := connect(t, n.Addr())
	var all sync.WaitGroup
	defer all.Wait()
	for kind, call := range calls {
		for _, at := range faultproxy.Points() {
			for _, harm := range faultproxy.Harms() {
				f := faultproxy.Fault{Kind: kind, At: at, Harm: harm, For: 20 * time.Millisecond}
				if onlyPingsTell(f) {
					continue
				}
				s := strike(t, n.Addr(), direct, f)
				all.Go(func() {
					if err := s.outlive(t.Context(), call); err != nil {
						t.Errorf("%s: %s, %s: %v", s.Kind, s.At, s.Harm, err)
					}
				})
			}
		}
	}
}

// onlyPingsTell are the faults that nothing but the pings of the connection
// find out, after twenty seconds: a subscription to which nothing comes might
// as well be one in which nothing happens. They have their time where faults
// are asked for.
func onlyPingsTell(f faultproxy.Fault) bool {
	silent := f.Harm == faultproxy.LoseRequests || f.Harm == faultproxy.LoseAnswers || f.Harm == faultproxy.LoseBoth
	return (f.Kind == faultproxy.SubscribeAll || f.Kind == faultproxy.GroupRead) && silent && os.Getenv("PERMITLEDGER_FAULTS") == ""
}

func strike(t *testing.T, address string, direct *eventstore.Store, f faultproxy.Fault) *struck {
	t.Helper()
	s := &struck{Fault: f, proxy: faultproxy.New(t, address), direct: direct, stream: "permit-" + uuid.NewString()}
	s.store = connect(t, s.proxy.Addr(), func(c *eventstore.Config) {
		c.TryTimeout = 2 * time.Second
		c.ConnectionString += "&gossipTimeout=1&keepAliveTimeout=500"
	})
	var err error
	if s.at, err = direct.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := proposed(40)
	if _, err := direct.Append(t.Context(), s.stream, eventstore.NoStream(), batch); err != nil {
		t.Fatal(err)
	}
	for _, p := range batch {
		s.before = append(s.before, p.ID)
	}
	return s
}

// outlive makes the call that meets the fault, and then sees that the store is
// well again.
func (s *struck) outlive(ctx context.Context, call func(*struck, context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.Kind != faultproxy.Features { // else connecting would meet what is meant for the call
		if err := s.store.Await(ctx); err != nil {
			return err
		}
	}
	armed := s.proxy.Arm(s.Fault)
	if err := call(s, ctx); err != nil {
		return err
	}
	select {
	case <-armed.Struck():
	default:
		return errors.New("the fault was not met")
	}
	if err := s.appends(ctx); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return s.reads(ctx)
}

func (s *struck) appends(ctx context.Context) error {
	batch := proposed(3)
	last := uint64(len(s.before) - 1)
	done, err := s.store.Append(ctx, s.stream, eventstore.At(last), batch)
	if err != nil {
		return err
	}
	if done.Revision != last+3 || done.Position == 0 {
		return fmt.Errorf("appended at %+v after revision %d", done, last)
	}
	for _, p := range batch {
		s.before = append(s.before, p.ID)
	}
	return s.holds(s.direct.Read(ctx, s.stream, 0))
}

func (s *struck) reads(ctx context.Context) error { return s.holds(s.store.Read(ctx, s.stream, 0)) }

func (s *struck) readsAll(ctx context.Context) error { return s.holds(s.store.ReadAll(ctx, s.at)) }

// holds compares a read with what the stream is known to hold.
func (s *struck) holds(events sequence) error {
	var got []uuid.UUID
	for r, err := range events {
		if err != nil {
			return err
		}
		if r.Stream == s.stream {
			got = append(got, r.ID)
		}
	}
	if !slices.Equal(got, s.before) {
		return fmt.Errorf("it holds %d events, not the %d that were written", len(got), len(s.before))
	}
	return nil
}

// follows subscribes, has more events written once the first have come, and
// waits for them all.
func (s *struck) follows(ctx context.Context) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var got []uuid.UUID
	written := false
	err := s.store.Subscribe(ctx, s.at, funcs{
		event: func(r eventstore.Recorded) error {
			if r.Stream != s.stream {
				return nil
			}
			if got = append(got, r.ID); len(got) < len(s.before) {
				return nil
			}
			if written {
				enough()
				return nil
			}
			written = true
			batch := proposed(5)
			for _, p := range batch {
				s.before = append(s.before, p.ID)
			}
			_, err := s.direct.Append(ctx, s.stream, eventstore.At(uint64(len(got)-1)), batch)
			return err
		},
	})
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("after %d events: %w", len(got), err)
	}
	if !slices.Equal(got, s.before) {
		return fmt.Errorf("%d events came, not the %d that were written", len(got), len(s.before))
	}
	return nil
}

func (s *struck) group() eventstore.Group {
	return eventstore.Group{Name: "group-of-" + s.stream, Types: []string{"Test"}, Pause: time.Millisecond}
}

func (s *struck) makesGroup(ctx context.Context) error {
	if _, err := s.store.MakeGroup(ctx, s.group()); err != nil {
		return err
	}
	_, err := s.direct.GroupStatus(ctx, s.group().Name)
	return err
}

func (s *struck) asksGroup(ctx context.Context) error {
	if _, err := s.direct.MakeGroup(ctx, s.group()); err != nil {
		return err
	}
	_, err := s.store.GroupStatus(ctx, s.group().Name)
	return err
}

func (s *struck) replaysGroup(ctx context.Context) error {
	if _, err := s.direct.MakeGroup(ctx, s.group()); err != nil {
		return err
	}
	return s.store.ReplayParked(ctx, s.group().Name)
}

// consumes takes part in a group, has events written, and waits until it was
// given each.
func (s *struck) consumes(ctx context.Context) error {
	if _, err := s.direct.MakeGroup(ctx, s.group()); err != nil {
		return err
	}
	batch := proposed(5)
	missing := map[uuid.UUID]bool{}
	for _, p := range batch {
		missing[p.ID] = true
	}
	if _, err := s.direct.Append(ctx, s.stream, eventstore.At(uint64(len(s.before)-1)), batch); err != nil {
		return err
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var mu sync.Mutex
	err := s.store.Consume(ctx, s.group(), crew{consume: func(_ context.Context, e eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		if delete(missing, e.ID); len(missing) == 0 {
			enough()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) || len(missing) > 0 {
		return fmt.Errorf("%d of %d events were not given: %w", len(missing), len(batch), err)
	}
	for _, p := range batch {
		s.before = append(s.before, p.ID)
	}
	return nil
}
