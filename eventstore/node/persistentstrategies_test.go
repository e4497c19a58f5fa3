package node

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/google/uuid"
)

// createPinned makes a group by the name of its strategy, as the client for Go
// cannot.
func createPinned(t *testing.T, n *Node, stream, strategy string, links bool) {
	t.Helper()
	o := streamGroup(stream, wireSettingsOf(func(s *persistent.CreateReq_Settings) {
		s.ConsumerStrategy, s.ResolveLinks = strategy, links
	}))
	if _, err := groupStub(t, n).Create(timeout(t), &persistent.CreateReq{Options: o}); err != nil {
		t.Fatal(err)
	}
}

// The events of a stream go to one consumer, in order; while that is full they
// wait, and those of other streams pass them.
func TestPinnedGroupGivesEachStreamToOneConsumer(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createAllGroup(t, c, "g", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"p-"}},
		settings(func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = esdb.ConsumerStrategyPinned }))
	first, second := joinGroup(t, c, "", "g", 1), joinGroup(t, c, "", "g", 9)
	for _, name := range []string{"a1", "b1", "a2", "b2", "a3", "b3"} {
		mustAppend(t, c, "p-"+name[:1], name)
	}
	second.accept("b1 b2 b3")
	first.accept("a1")
	first.accept("a2")
	first.expect("a3")
	mustAppend(t, c, "p-b", "b4")
	second.accept("b4")
	if err := first.sub.Close(); err != nil {
		t.Fatal(err)
	}
	second.accept("a3'")
	if got := infoOf(t, c, "", "g").Settings.ConsumerStrategyName; got != esdb.ConsumerStrategyPinned {
		t.Errorf("the strategy is %q", got)
	}
}

// A link is pinned by the stream of its target, followed or not, and also where
// the target is gone.
func TestPinnedGroupPinsLinksByTheirTarget(t *testing.T) {
	for _, follow := range []bool{true, false} {
		t.Run(fmt.Sprintf("follow %t", follow), func(t *testing.T) {
			n := openNode(t, Options{})
			c := connect(t, n)
			createPinned(t, n, "links", strategyPinned, follow)
			first, second := joinGroup(t, c, "links", "g", 9), joinGroup(t, c, "links", "g", 9)
			mustAppend(t, c, "a", "a1", "a2")
			mustAppend(t, c, "b", "b1", "b2")
			appendLinks(t, c, "links", "0@a", "0@b", "1@a", "1@b", "9@b", "9@a")
			if follow {
				first.accept("$>>a1 $>>a2 $>>-")
				second.accept("$>>b1 $>>b2 $>>-")
				return
			}
			var got []string
			for _, m := range []member{first, second} {
				for _, e := range m.expect("$> $> $>") {
					got = append(got, string(e.Event.Data))
				}
			}
			if line, want := strings.Join(got, " "), "0@a 1@a 9@a 0@b 1@b 9@b"; line != want {
				t.Errorf("got %q, want %q", line, want)
			}
		})
	}
}

func appendWith(t *testing.T, c *esdb.Client, stream, name, metadata string) {
	t.Helper()
	e := named(name)[0]
	e.Metadata = []byte(metadata)
	if _, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{}, e); err != nil {
		t.Fatal(err)
	}
}

// Events of one correlation id go to one consumer, from whatever stream; those
// without one are pinned by their stream.
func TestPinnedByCorrelationGivesEachCorrelationToOneConsumer(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createPinned(t, n, "links", strategyByCorrelation, true)
	first, second := joinGroup(t, c, "links", "g", 9), joinGroup(t, c, "links", "g", 9)
	for i, metadata := range []string{
		`{"$correlationId":"x"}`, `{"$correlationId":"y"}`, `{"a":1,"$correlationId":"x"}`, `{"$correlationId":"y","$causationId":"x"}`,
	} {
		appendWith(t, c, fmt.Sprintf("s%d", i), fmt.Sprintf("e%d", i), metadata)
		appendLinks(t, c, "links", fmt.Sprintf("0@s%d", i))
	}
	first.accept("$>>e0 $>>e2")
	second.accept("$>>e1 $>>e3")
	for i, metadata := range []string{``, `{"$correlationId":7}`, `{"$correlationId":""}`, `no JSON`, `["$correlationId"]`} {
		appendWith(t, c, "same", fmt.Sprintf("f%d", i), metadata)
		appendLinks(t, c, "links", fmt.Sprintf("%d@same", i))
	}
	first.accept("$>>f0 $>>f1 $>>f2 $>>f3 $>>f4")
}

// A replayed event goes to the consumer that its stream is pinned to.
func TestPinnedGroupReplaysToTheSameConsumer(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createAllGroup(t, c, "g", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"p-"}},
		settings(func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = esdb.ConsumerStrategyPinned }))
	first, second := joinGroup(t, c, "", "g", 9), joinGroup(t, c, "", "g", 9)
	parked := watch(t, c, parkedStream(groupKey(streamAll, "g")))
	mustAppend(t, c, "p-a", "a")
	mustAppend(t, c, "p-b", "b")
	second.refuse("b", esdb.NackActionPark)
	parked()
	first.refuse("a", esdb.NackActionPark)
	parked()
	if err := c.ReplayParkedMessagesToAll(timeout(t), "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	first.accept("$>>a")
	second.accept("$>>b")
}

func tombstone(t *testing.T, c *esdb.Client, stream string) {
	t.Helper()
	if _, err := c.TombstoneStream(timeout(t), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
}

// A stream that is tombstoned under a group gives the tombstone as an event, and
// the group goes on: with its consumers, with new ones, and after a restart.
func TestGroupReceivesTombstoneOfItsStreamAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	createGroup(t, c, "s", "idle", esdb.Start{}, settings())
	createGroup(t, c, "s", "end", esdb.End{}, settings())
	m := joinGroup(t, c, "s", "g", 9)
	m.expect("a")
	tombstone(t, c, "s")
	events := m.expect("$streamDeleted")
	if e := events[0].Event; e.EventNumber != math.MaxInt64 || e.StreamID != "s" {
		t.Errorf("the tombstone is %d of %s", e.EventNumber, e.StreamID)
	}
	late := joinGroup(t, c, "s", "g", 9)
	if err := m.sub.Nack("again", esdb.NackActionRetry, events[0]); err != nil {
		t.Fatal(err)
	}
	m.expect("$streamDeleted'")
	info := infoOf(t, c, "s", "g")
	if info.Status != "Live" || len(info.Connections) != 2 {
		t.Errorf("the group is %s, with %d consumers", info.Status, len(info.Connections))
	}
	// Events that a consumer had when the tombstone came are not lost.
	if err := m.sub.Close(); err != nil {
		t.Fatal(err)
	}
	late.expect("a' $streamDeleted''")
	joinGroup(t, c, "s", "end", 9).accept("$streamDeleted")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, Options{Dir: dir})
	c = connect(t, n)
	saved := watchCheckpoints(t, c, "s", "g")
	joinGroup(t, c, "s", "g", 9).accept("$streamDeleted")
	joinGroup(t, c, "s", "idle", 9).accept("$streamDeleted")
	saved(fmt.Sprint(math.MaxInt64))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, Options{Dir: dir})
	c = connect(t, n)
	m = joinGroup(t, c, "s", "g", 9)
	info = infoOf(t, c, "s", "g")
	if info.Status != "Live" || len(info.Connections) != 1 || info.Stats.TotalItems != 0 {
		t.Errorf("after the checkpoint the group is %s, with %d consumers and %d events", info.Status, len(info.Connections), info.Stats.TotalItems)
	}
}

// A group that is made on a tombstoned stream serves its consumers, with
// nothing.
func TestGroupOfTombstonedStreamHasNothing(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	tombstone(t, c, "s")
	starts := map[string]esdb.StreamPosition{"start": esdb.Start{}, "end": esdb.End{}, "revision": esdb.Revision(0)}
	for name, from := range starts {
		createGroup(t, c, "s", name, from, settings())
	}
	for range 2 {
		for name := range starts {
			joinGroup(t, c, "s", name, 9)
			info := infoOf(t, c, "s", name)
			if info.Status != "Live" || len(info.Connections) != 1 || info.Stats.TotalItems != 0 || info.Stats.ReadBufferCount != 0 {
				t.Errorf("%s: %s, %d consumers, %d events", name, info.Status, len(info.Connections), info.Stats.TotalItems)
			}
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = openNode(t, Options{Dir: dir})
		c = connect(t, n)
	}
}

// Two events with one id are with a consumer at the same time, and each of them
// is answered.
func TestGroupSendsEventsWithOneIDTogether(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	saved := watchCheckpoints(t, c, "s", "g")
	twins := named("a", "b", "c")
	twins[0].EventID, twins[1].EventID = uuid.New(), uuid.New()
	twins[2].EventID = twins[0].EventID
	if _, err := c.AppendToStream(timeout(t), "s", esdb.AppendToStreamOptions{}, twins...); err != nil {
		t.Fatal(err)
	}
	m := joinGroup(t, c, "s", "g", 9)
	events := m.expect("a b c")
	if err := m.sub.Nack("again", esdb.NackActionRetry, events[0]); err != nil {
		t.Fatal(err)
	}
	events = append(events[1:], m.expect("a'")...)
	if err := m.sub.Ack(events...); err != nil {
		t.Fatal(err)
	}
	saved("2")
	if got := infoOf(t, c, "s", "g").Stats.OutstandingMessagesCount; got != 0 {
		t.Errorf("%d are outstanding", got)
	}
}

// The live buffer's count is that of the events that came since the group caught
// up, as far as the buffer goes.
func TestGroupInfoHasCountOfLiveBuffer(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.LiveBufferSize = 5 }))
	m := joinGroup(t, c, "s", "g", 9)
	m.accept("a b")
	count := func(want int64) {
		t.Helper()
		if got := infoOf(t, c, "s", "g").Stats.LiveBufferCount; got != want {
			t.Errorf("the live buffer has %d events, want %d", got, want)
		}
	}
	count(0)
	mustAppend(t, c, "s", "c", "d", "e")
	m.accept("c d e")
	count(3)
	mustAppend(t, c, "s", "f", "g", "h")
	m.accept("f g h")
	count(5)
}

// Extra statistics are measured where they were asked for, and only there.
func TestGroupInfoHasExtraStatisticsWhereAskedFor(t *testing.T) {
	n, hands := openTimed(t, Options{})
	c := connect(t, n)
	measure := func(name string, extra bool) []*persistent.SubscriptionInfo_Measurement {
		createGroup(t, c, "s", name, esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ExtraStatistics = extra }))
		m := joinGroup(t, c, "s", name, 9)
		info := func() *persistent.SubscriptionInfo_ConnectionInfo {
			resp, err := groupStub(t, n).GetInfo(timeout(t), &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{
				StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: name,
			}})
			if err != nil {
				t.Fatal(err)
			}
			return resp.SubscriptionInfo.Connections[0]
		}
		events := m.expect("e0 e1 e2 e3 e4")
		if got := info().ObservedMeasurements; len(got) != 0 {
			t.Errorf("measured before any answer: %v", got)
		}
		saved := watchCheckpoints(t, c, "s", name)
		for i, e := range events {
			hands.pass(time.Second) // the n-th answer takes n seconds
			if err := m.sub.Ack(e); err != nil {
				t.Fatal(err)
			}
			saved(fmt.Sprint(i))
		}
		return info().ObservedMeasurements
	}
	mustAppend(t, c, "s", numbered("e", 0, 5)...)
	var got []string
	for _, m := range measure("extra", true) {
		got = append(got, fmt.Sprintf("%s=%d", m.Key, m.Value))
	}
	want := "Mean=3000 Median=3000 Fastest=1000 Quintile 1=1000 Quintile 2=2000 Quintile 3=3000 Quintile 4=4000 Quintile 5=5000 " +
		"90%=5000 95%=5000 99%=5000 99.5%=5000 99.9%=5000 Highest=5000"
	if line := strings.Join(got, " "); line != want {
		t.Errorf("measured %s\n    want %s", line, want)
	}
	if got := measure("plain", false); len(got) != 0 {
		t.Errorf("measured without being asked: %v", got)
	}
}
