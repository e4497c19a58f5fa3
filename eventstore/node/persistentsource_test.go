package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/node/internal/competing"
)

func appendLinks(t *testing.T, c *esdb.Client, stream string, targets ...string) {
	t.Helper()
	for _, target := range targets {
		_, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{}, esdb.EventData{
			EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(target),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPersistentLinks follows links where the group is to; the answer names
// the link. A link whose target is gone comes alone.
func TestPersistentLinks(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	appendLinks(t, c, "links", "0@s", "9@s", "1@s", "0@nowhere", "no link")
	createGroup(t, c, "links", "plain", esdb.Start{}, settings())
	createGroup(t, c, "links", "followed", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true }))
	joinGroup(t, c, "links", "plain", 1).accept("$>")
	parked := watch(t, c, parkedStream("links::followed"))
	m := joinGroup(t, c, "links", "followed", 1)
	for _, name := range []string{"$>>a", "$>>-", "$>>b", "$>>-", "$>"} {
		m.refuse(name, esdb.NackActionPark)
	}
	for _, want := range []string{"0@s", "9@s", "1@s", "0@nowhere", "4@links"} {
		if got := string(parked().Data); got != want {
			t.Errorf("parked %q, want %q", got, want)
		}
	}
}

// TestPersistentRetention keeps from a group what the stream's metadata hides
// in its past, but nothing that comes while it listens.
func TestPersistentRetention(t *testing.T) {
	clock := newClock()
	n := openNode(t, Options{Now: clock.now})
	c := connect(t, n)
	tests := []struct{ stream, metadata, want string }{
		{"count", `{"$maxCount":2}`, "d e x"},
		{"tb", `{"$tb":3}`, "d e x"},
		{"age", `{"$maxAge":60}`, "e x"},
		{"deleted", `{"$tb":9223372036854775807}`, "x"},
	}
	for _, test := range tests {
		mustAppend(t, c, test.stream, "a", "b", "c", "d")
	}
	clock.advance(2 * time.Minute)
	for _, test := range tests {
		mustAppend(t, c, test.stream, "e")
		setMetadata(t, c, test.stream, test.metadata)
		createGroup(t, c, test.stream, "g", esdb.Start{}, settings())
	}
	for _, test := range tests {
		mustAppend(t, c, test.stream, "x")
		joinGroup(t, c, test.stream, "g", 9).expect(test.want)
	}
	createGroup(t, c, "burst", "g", esdb.Start{}, settings())
	setMetadata(t, c, "burst", `{"$maxCount":1}`)
	m := joinGroup(t, c, "burst", "g", 9)
	mustAppend(t, c, "burst", "first")
	m.accept("first")
	if got := infoOf(t, c, "burst", "g").Status; got != "Live" {
		t.Errorf("the group is %s", got)
	}
	mustAppend(t, c, "burst", "a", "b", "c")
	m.expect("a b c")
}

// TestPersistentSupplyDeliversBelowTruncation sees that events that come while a
// group listens are delivered although $tb reaches further than the stream.
func TestPersistentSupplyDeliversBelowTruncation(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	setMetadata(t, c, "s", `{"$tb":9}`)
	s := supply{Node: n, stream: "s"}
	read := func() []competing.Event {
		limit, _ := n.tail.get()
		events, _, err := s.read(limit, 10)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	if got := read(); len(got) != 0 {
		t.Fatalf("history holds %v", got)
	}
	mustAppend(t, c, "s", "c")
	if got := read(); len(got) != 1 || got[0].Place != 2 {
		t.Errorf("then came %v, want the event at revision 2", got)
	}
}

// TestPersistentTombstone ends the service of a group whose stream ends.
func TestPersistentTombstone(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	m := joinGroup(t, c, "s", "g", 1)
	m.expect("a")
	if _, err := c.TombstoneStream(timeout(t), "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	m.expect("dropped: Canceled")
	_, err := c.SubscribeToPersistentSubscription(timeout(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err == nil || !strings.Contains(err.Error(), "was dropped") {
		t.Errorf("a new consumer is told %v", err)
	}
	if got := infoOf(t, c, "s", "g").Status; got != "NotReady" {
		t.Errorf("the group is %s", got)
	}
	if err := c.DeletePersistentSubscription(timeout(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Error(err)
	}
}

// TestPersistentSlowConsumer has one consumer not read what it is sent: it
// holds no more than it asked for, and nobody has to wait for it.
func TestPersistentSlowConsumer(t *testing.T) {
	n, h := openTimed(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.HistoryBufferSize, s.ReadBatchSize, s.MaxRetryCount = 50, 10, 100
	}))
	ctx, giveUp := context.WithCancel(timeout(t))
	defer giveUp()
	slow, err := groupStub(t, n).Read(ctx)
	if err == nil {
		err = slow.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: "g", BufferSize: 5,
		}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 200_000)
	for i := range 40 {
		_, err := c.AppendToStream(timeout(t), "s", esdb.AppendToStreamOptions{}, esdb.EventData{
			EventType: fmt.Sprint("e", i), ContentType: esdb.ContentTypeBinary, Data: []byte(big),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		h.pass(31 * time.Second) // what it was given comes back to it
	}
	g, err := n.groups.find("s", "g")
	if err != nil {
		t.Fatal(err)
	}
	g.do(func() {
		for _, member := range g.consumers {
			member.mu.Lock()
			defer member.mu.Unlock()
			if len(member.queue) > 5 {
				t.Errorf("%d events wait for a consumer that holds at most 5", len(member.queue))
			}
		}
	})
	quick := joinGroup(t, c, "s", "g", 10)
	seen := map[string]bool{}
	receive := func(want int) {
		t.Helper()
		for len(seen) < want {
			e, name := quick.next()
			if e == nil {
				t.Fatal(name)
			}
			seen[e.Event.EventType] = true
			_ = quick.sub.Ack(e)
		}
	}
	receive(35)
	for _, conn := range infoOf(t, c, "s", "g").Connections {
		if slots := conn.InFlightMessages + conn.AvailableSlots; slots != 5 && slots != 10 {
			t.Errorf("a connection has %d slots", slots)
		}
		if conn.Username != "system" {
			t.Errorf("a connection is of %q", conn.Username)
		}
	}
	giveUp()
	receive(40)
}

// TestPersistentCrowd has many consumers come and go while much is written.
// Each event is acknowledged by somebody.
func TestPersistentCrowd(t *testing.T) {
	const writers, each, workers = 4, 150, 6
	n := openNode(t, Options{})
	c := connect(t, n)
	createAllGroup(t, c, "g", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"w"}},
		settings(func(s *esdb.PersistentSubscriptionSettings) { s.HistoryBufferSize, s.ReadBatchSize = 64, 16 }))
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	var busy, writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				mustAppend(t, c, fmt.Sprint("w", w), fmt.Sprintf("%d-%d", w, i))
			}
		})
	}
	acked := &tally{seen: make(map[string]bool)}
	for range workers {
		busy.Go(func() {
			for ctx.Err() == nil {
				sub, err := c.SubscribeToPersistentSubscriptionToAll(ctx, "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 5})
				if err != nil {
					return
				}
				for range 40 {
					e := sub.Recv()
					if e.EventAppeared == nil {
						break
					}
					if sub.Ack(e.EventAppeared.Event) == nil && acked.note(nameOf(e.EventAppeared.Event.Event)) == writers*each {
						cancel()
					}
				}
				_ = sub.Close()
			}
		})
	}
	writing.Wait()
	busy.Wait()
	if got := acked.size(); got != writers*each {
		t.Errorf("%d events were acknowledged of %d", got, writers*each)
	}
}

// TestPersistentBatches acknowledges more events at once than a page holds.
func TestPersistentBatches(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.CheckpointUpperBound, s.ConsumerStrategyName = 1000, esdb.ConsumerStrategyDispatchToSingle
	}))
	saved := watchCheckpoints(t, c, "s", "g")
	m := joinGroup(t, c, "s", "g", 1000)
	idle := joinGroup(t, c, "s", "g", 1)
	for i := range 10 {
		mustAppend(t, c, "s", numbered("e", i*100, 100)...)
	}
	m.accept(strings.Join(numbered("e", 0, 1000), " "))
	saved("999")
	mustAppend(t, c, "s", "last")
	m.expect("last")
	_ = m.sub.Close()
	idle.expect("last'")
}

// TestPersistentFeatures advertises what is there.
func TestPersistentFeatures(t *testing.T) {
	methods, err := featureService{}.GetSupportedMethods(t.Context(), &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, m := range methods.GetMethods() {
		served[m.GetServiceName()+"/"+m.GetMethodName()] = true
	}
	d := persistent.PersistentSubscriptions_ServiceDesc
	for _, m := range d.Methods {
		if !served[strings.ToLower(d.ServiceName+"/"+m.MethodName)] {
			t.Errorf("%s is not advertised", m.MethodName)
		}
	}
	for _, s := range d.Streams {
		if !served[strings.ToLower(d.ServiceName+"/"+s.StreamName)] {
			t.Errorf("%s is not advertised", s.StreamName)
		}
	}
}

// TestPersistentDamage serves no group whose configuration or checkpoint cannot
// be read, and everything else.
func TestPersistentDamage(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	createGroup(t, c, "s", "sound", esdb.Start{}, nil)
	for stream, typ := range map[string]string{checkpointStream("s::g"): typeCheckpoint, "t": "x"} {
		_, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{}, esdb.EventData{
			EventType: typ, ContentType: esdb.ContentTypeJson, Data: []byte(`{"no":"place"}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	restart := func() error {
		return c.RestartPersistentSubscriptionSubsystem(timeout(t), esdb.RestartPersistentSubscriptionSubsystemOptions{})
	}
	if err := restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubscribeToPersistentSubscription(timeout(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{}); err == nil {
		t.Error("a group is served although its checkpoint cannot be read")
	}
	mustAppend(t, c, "s", "a")
	joinGroup(t, c, "s", "sound", 1).expect("a")
	mustAppend(t, c, configStream, "nonsense")
	if err := restart(); err == nil {
		t.Error("restarted with a configuration that cannot be read")
	}
	_, err := groupStub(t, n).List(timeout(t), &persistent.ListReq{Options: &persistent.ListReq_Options{
		ListOption: &persistent.ListReq_Options_ListAllSubscriptions{},
	}})
	if status.Code(err) != codes.Internal {
		t.Errorf("the list is answered with %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	c = connect(t, openNode(t, Options{Dir: dir}))
	if got := readNames(t, c, "s", esdb.ReadStreamOptions{From: esdb.Start{}}, 9); got != "a" {
		t.Errorf("the stream holds %s", got)
	}
}
