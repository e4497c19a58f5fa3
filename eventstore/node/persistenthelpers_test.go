package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/grpc/status"
)

// hands hold the time of a node's persistent subscriptions.
type hands struct {
	*clock
	beats chan time.Time
}

// openTimed runs a node whose persistent subscriptions only know the time that
// the test gives them.
func openTimed(t testing.TB, o Options) (*Node, hands) {
	t.Helper()
	h := hands{clock: newClock(), beats: make(chan time.Time)}
	o.wall, o.beats = h.now, h.beats
	return openNode(t, o), h
}

// pass lets time pass, and the node notice. Two beats, as the second is taken
// only when all that the first brings is decided.
func (h hands) pass(d time.Duration) {
	h.advance(d)
	h.beats <- time.Time{}
	h.beats <- time.Time{}
}

// settings are those of a group that writes a checkpoint after each event.
func settings(change ...func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.CheckpointLowerBound, s.CheckpointUpperBound = 1, 1
	for _, f := range change {
		f(&s)
	}
	return &s
}

func createGroup(t testing.TB, c *esdb.Client, stream, name string, from esdb.StreamPosition, s *esdb.PersistentSubscriptionSettings) {
	t.Helper()
	err := c.CreatePersistentSubscription(timeout(t), stream, name, esdb.PersistentStreamSubscriptionOptions{StartFrom: from, Settings: s})
	if err != nil {
		t.Fatalf("create %s::%s: %v", stream, name, err)
	}
}

func createAllGroup(t testing.TB, c *esdb.Client, name string, from esdb.AllPosition, filter *esdb.SubscriptionFilter, s *esdb.PersistentSubscriptionSettings) {
	t.Helper()
	o := esdb.PersistentAllSubscriptionOptions{StartFrom: from, Filter: filter, Settings: s}
	if err := c.CreatePersistentSubscriptionToAll(timeout(t), name, o); err != nil {
		t.Fatalf("create $all::%s: %v", name, err)
	}
}

// member is one consumer of a group.
type member struct {
	t   testing.TB
	sub *esdb.PersistentSubscription
}

// joinGroup connects to a group; to one of $all for the stream "".
func joinGroup(t testing.TB, c *esdb.Client, stream, name string, buffer uint32) member {
	t.Helper()
	sub, err := c.SubscribeToPersistentSubscription(timeout(t), stream, name, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer})
	if err != nil {
		t.Fatalf("join %s::%s: %v", stream, name, err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return member{t: t, sub: sub}
}

// next receives one event; nil with a word why the connection ended.
func (m member) next() (*esdb.ResolvedEvent, string) {
	e := m.sub.Recv()
	if e.SubscriptionDropped != nil {
		return nil, "dropped: " + status.Code(e.SubscriptionDropped.Error).String()
	}
	name := join([]*esdb.ResolvedEvent{e.EventAppeared.Event})
	if e.EventAppeared.Event.Event != nil && e.EventAppeared.Event.Link == nil && !strings.HasPrefix(string(e.EventAppeared.Event.Event.Data), `"`) {
		name = e.EventAppeared.Event.Event.EventType
	}
	return e.EventAppeared.Event, name + strings.Repeat("'", e.EventAppeared.RetryCount)
}

// expect receives events by their names, each with a stroke for every retry.
func (m member) expect(want string) []*esdb.ResolvedEvent {
	m.t.Helper()
	var events []*esdb.ResolvedEvent
	var got []string
	for range strings.Fields(want) {
		e, name := m.next()
		got = append(got, name)
		if e == nil {
			break
		}
		events = append(events, e)
	}
	if line := strings.Join(got, " "); line != want {
		m.t.Fatalf("received %q, want %q", line, want)
	}
	return events
}

// accept receives events and acknowledges them.
func (m member) accept(want string) {
	m.t.Helper()
	if err := m.sub.Ack(m.expect(want)...); err != nil {
		m.t.Fatal(err)
	}
}

// refuse receives events and has them dealt with.
func (m member) refuse(want string, action esdb.NackAction) {
	m.t.Helper()
	if err := m.sub.Nack("because", action, m.expect(want)...); err != nil {
		m.t.Fatal(err)
	}
}

func infoOf(t testing.TB, c *esdb.Client, stream, name string) *esdb.PersistentSubscriptionInfo {
	t.Helper()
	get := func() (*esdb.PersistentSubscriptionInfo, error) {
		if stream == "" {
			return c.GetPersistentSubscriptionInfoToAll(timeout(t), name, esdb.GetPersistentSubscriptionOptions{})
		}
		return c.GetPersistentSubscriptionInfo(timeout(t), stream, name, esdb.GetPersistentSubscriptionOptions{})
	}
	info, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// watch follows a stream that the node writes to.
func watch(t testing.TB, c *esdb.Client, stream string) func() *esdb.RecordedEvent {
	t.Helper()
	sub, err := c.SubscribeToStream(timeout(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return func() *esdb.RecordedEvent {
		t.Helper()
		for {
			e := sub.Recv()
			if e.SubscriptionDropped != nil {
				t.Fatalf("%s: %v", stream, e.SubscriptionDropped.Error)
			}
			if e.EventAppeared != nil {
				return e.EventAppeared.OriginalEvent()
			}
		}
	}
}

func watchCheckpoints(t testing.TB, c *esdb.Client, stream, name string) func(want string) {
	t.Helper()
	next := watch(t, c, checkpointStream(groupKey(stream, name)))
	return func(want string) {
		t.Helper()
		for {
			if got := string(next().Data); got == fmt.Sprintf("%q", want) {
				return
			}
		}
	}
}

func groupStub(t testing.TB, n *Node) persistent.PersistentSubscriptionsClient {
	t.Helper()
	return persistent.NewPersistentSubscriptionsClient(dial(t, n))
}
