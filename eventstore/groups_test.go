package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
)

// crew is a Consumer made of functions; those left out do nothing.
type crew struct {
	consume   func(context.Context, eventstore.Recorded) error
	listening func()
}

func (c crew) Consume(ctx context.Context, e eventstore.Recorded) error { return c.consume(ctx, e) }

func (c crew) Listening() {
	if c.listening != nil {
		c.listening()
	}
}

var testGroup = eventstore.Group{Name: "test-group", Types: []string{"Test"}, Pause: time.Millisecond}

// made makes the group of the tests.
func made(t *testing.T, s *eventstore.Store) {
	t.Helper()
	if fresh, err := s.MakeGroup(t.Context(), testGroup); err != nil || !fresh {
		t.Fatalf("the group was made: %v, %v", fresh, err)
	}
}

// consuming takes part in the group until the test ends, and gives what ends
// it sooner and tells how it ended.
func consuming(t *testing.T, s *eventstore.Store, c crew) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Consume(ctx, testGroup, c) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestAGroupIsMadeOnce(t *testing.T) {
	_, s := fresh(t)
	if _, err := s.GroupStatus(t.Context(), testGroup.Name); !errors.Is(err, eventstore.ErrNoGroup) {
		t.Errorf("before it was made: %v", err)
	}
	if err := s.Consume(t.Context(), testGroup, crew{}); !errors.Is(err, eventstore.ErrNoGroup) {
		t.Errorf("consuming before it was made: %v", err)
	}
	if err := s.ReplayParked(t.Context(), testGroup.Name); !errors.Is(err, eventstore.ErrNoGroup) {
		t.Errorf("replaying before it was made: %v", err)
	}
	made(t, s)
	if fresh, err := s.MakeGroup(t.Context(), testGroup); err != nil || fresh {
		t.Errorf("made again: %v, %v", fresh, err)
	}
	if status, err := s.GroupStatus(t.Context(), testGroup.Name); err != nil || status != (eventstore.GroupStatus{}) {
		t.Errorf("made, it is %+v, %v", status, err)
	}
}

// A group gives what is written after it was made, of the types that it is
// about, of the ledger only, and each event once when all goes well.
func TestAGroupGivesItsEvents(t *testing.T) {
	n, s := fresh(t)
	appendOne(t, s, "permit-0", eventstore.NoStream())
	made(t, s)
	other := foreign(t, n)
	var want []uuid.UUID
	for i := range 40 {
		batch := proposed(3)
		batch[1].Type = "Other"
		if _, err := s.Append(t.Context(), fmt.Sprintf("permit-%d", i+1), eventstore.NoStream(), batch); err != nil {
			t.Fatal(err)
		}
		want = append(want, batch[0].ID, batch[2].ID)
		_, err := other.AppendToStream(t.Context(), "orders-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			esdb.EventData{EventType: "Test", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[uuid.UUID]int{}
	all := make(chan struct{})
	stop := consuming(t, s, crew{consume: func(_ context.Context, e eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[e.ID]++; len(seen) == len(want) {
			close(all)
		}
		return nil
	}})
	<-all
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	for _, id := range want {
		if seen[id] != 1 {
			t.Errorf("event %s was given %d times", id, seen[id])
		}
	}
}

// What fails is given again, and parked in the end; nothing of the error stands
// in the log. Replayed, it is given again.
func TestWhatFailsIsParked(t *testing.T) {
	n, s := fresh(t)
	made(t, s)
	bad := proposed(1)[0]
	if _, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), []eventstore.Proposed{bad}); err != nil {
		t.Fatal(err)
	}
	good, last := proposed(1)[0], proposed(1)[0]
	tries, passed, ended := make(chan struct{}, 100), make(chan struct{}), make(chan struct{})
	failing := true
	var mu sync.Mutex
	consuming(t, s, crew{consume: func(_ context.Context, e eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.ID == good.ID:
			close(passed)
		case e.ID == last.ID:
			close(ended)
		case failing:
			tries <- struct{}{}
			return errors.New("Alex Example lives at 17 Tallowmere Road")
		default:
			tries <- struct{}{}
		}
		return nil
	}})
	for range 11 { // once, and again as often as the group allows
		<-tries
	}
	if _, err := s.Append(t.Context(), "permit-2", eventstore.NoStream(), []eventstore.Proposed{good}); err != nil {
		t.Fatal(err)
	}
	<-passed // it goes on beside and after what fails
	parked := parkedStream(t, n, 1)
	if text := string(parked[0].UserMetadata); strings.Contains(text, "Alex") || strings.Contains(text, "Tallowmere") {
		t.Errorf("the reason of parking tells %s", text)
	}
	if status, err := s.GroupStatus(t.Context(), testGroup.Name); err != nil || status.Parked != 1 || status.Consumers != 1 {
		t.Errorf("with a parked event the group is %+v, %v", status, err)
	}
	mu.Lock()
	failing = false
	mu.Unlock()
	if err := s.ReplayParked(t.Context(), testGroup.Name); err != nil {
		t.Fatal(err)
	}
	<-tries
	if _, err := s.Append(t.Context(), "permit-3", eventstore.NoStream(), []eventstore.Proposed{last}); err != nil {
		t.Fatal(err)
	}
	<-ended
	if len(tries) > 0 {
		t.Error("it was given once more although it was done")
	}
}

// An event that was given and never answered, because the consumer or its
// connection went away, is given again.
func TestWhatIsLeftUnansweredComesAgain(t *testing.T) {
	b := breakable(t)
	made(t, b.direct)
	const events = 30
	done := map[uuid.UUID]bool{}
	var mu sync.Mutex
	all, held := make(chan struct{}), make(chan struct{}, 1)
	given := 0
	stop := consuming(t, b.store, crew{consume: func(ctx context.Context, e eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		switch given++; {
		case given%7 == 3:
			b.Do(faultproxy.Cut) // its answer is lost, whatever it is
			return nil
		case given == 20:
			held <- struct{}{}
			return nil
		}
		if done[e.ID] = true; len(done) == events {
			close(all)
		}
		return nil
	}})
	for i := range events {
		appendOne(t, b.direct, fmt.Sprintf("permit-%d", i), eventstore.NoStream())
	}
	<-held
	_ = stop() // and another goes on
	consuming(t, b.direct, crew{consume: func(_ context.Context, e eventstore.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		before := len(done)
		if done[e.ID] = true; len(done) == events && before < events {
			close(all)
		}
		return nil
	}})
	<-all
}

// A group that is deleted while somebody consumes says so.
func TestAGroupThatGoesAway(t *testing.T) {
	n, s := fresh(t)
	made(t, s)
	listening := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- s.Consume(t.Context(), testGroup, crew{listening: func() { close(listening) }})
	}()
	<-listening
	if err := foreign(t, n).DeletePersistentSubscriptionToAll(t.Context(), testGroup.Name, esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, eventstore.ErrNoGroup) {
		t.Errorf("it ended with %v", err)
	}
}

// parkedStream waits until the group of the tests has parked so many events,
// and gives the links to them.
func parkedStream(t *testing.T, n *node.Node, count int) []*esdb.RecordedEvent {
	t.Helper()
	sub, err := foreign(t, n).SubscribeToStream(t.Context(), "$persistentsubscription-$all::"+testGroup.Name+"-parked", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	var links []*esdb.RecordedEvent
	for len(links) < count {
		got := sub.Recv()
		if got.SubscriptionDropped != nil {
			t.Fatal(got.SubscriptionDropped.Error)
		}
		if got.EventAppeared != nil {
			links = append(links, got.EventAppeared.OriginalEvent())
		}
	}
	return links
}
