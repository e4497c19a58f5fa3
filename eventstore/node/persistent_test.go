package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// TestPersistentStart begins groups at each kind of place; "x" is appended
// once the group stands.
func TestPersistentStart(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	tests := []struct {
		name string
		from esdb.StreamPosition
		want string
	}{
		{"start", esdb.Start{}, "a b c x"},
		{"end", esdb.End{}, "x"},
		{"zero", esdb.Revision(0), "a b c x"},
		{"inside", esdb.Revision(1), "b c x"},
		{"the next", esdb.Revision(3), "x"},
		{"beyond", esdb.Revision(4), "y"},
	}
	for _, test := range tests {
		mustAppend(t, c, test.name, "a", "b", "c")
		createGroup(t, c, test.name, "g", test.from, settings())
		mustAppend(t, c, test.name, "x", "y")
		joinGroup(t, c, test.name, "g", 10).expect(test.want)
	}
}

// TestPersistentEnd collects from a group's creation on, with nobody there.
func TestPersistentEnd(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.End{}, nil)
	for i := range 30 {
		mustAppend(t, c, "s", numbered("e", i*100, 100)...)
	}
	m := joinGroup(t, c, "s", "g", 10)
	for _, name := range numbered("e", 0, 3000) {
		m.accept(name)
	}
}

func TestPersistentToAll(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "car-1", "a")
	at := mustAppend(t, c, "bus-1", "b")
	mustAppend(t, c, "car-2", "c")
	position := esdb.Position{Commit: at.CommitPosition, Prepare: at.PreparePosition}
	byStream := func(f esdb.SubscriptionFilter) *esdb.SubscriptionFilter {
		f.Type = esdb.StreamFilterType
		return &f
	}
	tests := []struct {
		name   string
		from   esdb.AllPosition
		filter *esdb.SubscriptionFilter
		want   string
	}{
		{"prefix", esdb.Start{}, byStream(esdb.SubscriptionFilter{Prefixes: []string{"car-", "tram-"}}), "a c x"},
		{"regex", esdb.Start{}, byStream(esdb.SubscriptionFilter{Regex: "r-[0-9]$"}), "a c x"},
		{"type prefix", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"type-b", "type-x"}}, "b x"},
		{"type regex", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^type-[bc]"}, "b c"},
		{"no system", position, esdb.ExcludeSystemEventsFilter(), "b c x"},
		{"end", esdb.End{}, byStream(esdb.SubscriptionFilter{Prefixes: []string{"car-", "bus-"}}), "x"},
	}
	for _, test := range tests {
		createAllGroup(t, c, test.name, test.from, test.filter, settings())
	}
	mustAppend(t, c, "car-3", "x")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { joinGroup(t, c, "", test.name, 10).accept(test.want) })
	}
	t.Run("unfiltered", func(t *testing.T) {
		createAllGroup(t, c, "all", position, nil, settings())
		m := joinGroup(t, c, "", "all", 1)
		m.accept("b")
		m.accept("c")
	})
}

// TestPersistentAllCheckpoints has a group of $all not see what it causes
// itself, and go on after what it has confirmed.
func TestPersistentAllCheckpoints(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createAllGroup(t, c, "g", esdb.End{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"s", "$persistentsubscription-"}}, settings())
	next := watch(t, c, checkpointStream("$all::g"))
	m := joinGroup(t, c, "", "g", 10)
	for i := range 5 {
		at := mustAppend(t, c, "s", fmt.Sprint("e", i))
		m.accept(fmt.Sprint("e", i))
		// It may be further on: metadata of the node's own was passed over.
		for commit, prepare := uint64(0), uint64(0); commit < at.CommitPosition; {
			if _, err := fmt.Sscanf(string(next().Data), `"C:%d/P:%d"`, &commit, &prepare); err != nil || commit != prepare {
				t.Fatalf("a checkpoint at %d and %d, %v", commit, prepare, err)
			}
		}
	}
	if err := c.RestartPersistentSubscriptionSubsystem(timeout(t), esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	m.expect("dropped: Canceled")
	mustAppend(t, c, "s", "after")
	joinGroup(t, c, "", "g", 10).expect("after")
}

// TestPersistentTimeout takes an event from a consumer that keeps it too long,
// gives it to another, and parks it when nobody answers.
func TestPersistentTimeout(t *testing.T) {
	n, h := openTimed(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.MaxRetryCount, s.MessageTimeout = 2, 10_000
	}))
	a, b := joinGroup(t, c, "s", "g", 1), joinGroup(t, c, "s", "g", 1)
	mustAppend(t, c, "s", "x")
	a.expect("x")
	h.pass(9 * time.Second)
	h.pass(time.Second)
	b.expect("x'")
	h.pass(10 * time.Second)
	a.expect("x''")
	parked := watch(t, c, parkedStream("s::g"))
	h.pass(10 * time.Second)
	link := parked()
	var meta struct {
		Reason string `json:"reason"`
		Number uint64 `json:"subscriptionEventNumber"`
		Added  time.Time
	}
	if err := json.Unmarshal(link.UserMetadata, &meta); err != nil {
		t.Fatal(err)
	}
	if link.EventType != "$>" || string(link.Data) != "0@s" || meta.Reason != "Reached retry count of 2" || meta.Number != 0 || meta.Added.IsZero() {
		t.Errorf("parked %s %q with %s", link.EventType, link.Data, link.UserMetadata)
	}
}

// TestPersistentDisconnect gives what a consumer held to another when it goes,
// and parks nothing for it.
func TestPersistentDisconnect(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 0 }))
	mustAppend(t, c, "s", "a", "b", "c", "d")
	first := joinGroup(t, c, "s", "g", 3)
	first.expect("a b c")
	second := joinGroup(t, c, "s", "g", 10)
	second.expect("d")
	_ = first.sub.Close()
	second.expect("a' b' c'")
}

// TestPersistentNack deals with events in each of the ways there are.
func TestPersistentNack(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 1 }))
	saved := watchCheckpoints(t, c, "s", "g")
	m := joinGroup(t, c, "s", "g", 1)
	mustAppend(t, c, "s", "a", "b", "c", "d", "e", "f")
	m.refuse("a", esdb.NackActionRetry)
	m.refuse("a'", esdb.NackActionRetry) // once too often
	m.refuse("b", esdb.NackActionUnknown)
	m.accept("b'")
	m.refuse("c", esdb.NackActionPark)
	m.refuse("d", esdb.NackActionSkip)
	m.refuse("e", esdb.NackActionStop)
	m.accept("f")
	saved("5")
	if got := readNames(t, c, parkedStream("s::g"), esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, 9); got != "$>>a $>>c" {
		t.Errorf("parked: %s", got)
	}
	if got := infoOf(t, c, "s", "g").Stats.ParkedMessagesCount; got != 2 {
		t.Errorf("%d events count as parked", got)
	}
}

// TestPersistentParkedCount counts what is parked as soon as anybody can see it.
func TestPersistentParkedCount(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	m := joinGroup(t, c, "s", "g", 10)
	parked := watch(t, c, parkedStream("s::g"))
	for i := range 50 {
		name := fmt.Sprint("e", i)
		mustAppend(t, c, "s", name)
		m.refuse(name, esdb.NackActionPark)
		parked()
		if got := infoOf(t, c, "s", "g").Stats.ParkedMessagesCount; got != int64(i+1) {
			t.Fatalf("%d events count as parked, want %d", got, i+1)
		}
	}
}

// TestPersistentReplay gives parked events out again, up to a revision and
// then all, and keeps them until they are settled.
func TestPersistentReplay(t *testing.T) {
	n, h := openTimed(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	m := joinGroup(t, c, "s", "g", 10)
	mustAppend(t, c, "s", "a", "b", "c")
	parked := watch(t, c, parkedStream("s::g"))
	m.refuse("a b c", esdb.NackActionPark)
	for range 3 {
		parked()
	}
	replay := func(stop int) {
		t.Helper()
		if err := c.ReplayParkedMessages(timeout(t), "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: stop}); err != nil {
			t.Fatal(err)
		}
	}
	replay(1)
	events := m.expect("$>>a")
	if e := events[0]; e.Link.StreamID != parkedStream("s::g") || e.Event.StreamID != "s" || *e.Commit != e.Link.Position.Commit || e.Event.Position != e.Link.Position {
		t.Errorf("replayed %+v, a link %+v", e.Event, e.Link)
	}
	truncated := watch(t, c, "$$"+parkedStream("s::g"))
	if got := infoOf(t, c, "s", "g").Stats.ParkedMessagesCount; got != 2 {
		t.Errorf("%d events count as parked while one is replayed", got)
	}
	_ = m.sub.Ack(events...)
	if got := string(truncated().Data); got != `{"$tb":1}` {
		t.Errorf("the metadata of the parked events is %s", got)
	}
	replay(0)
	events = m.expect("$>>b $>>c")
	if got := readNames(t, c, parkedStream("s::g"), esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, 9); got != "$>>b $>>c" {
		t.Errorf("still parked: %s", got)
	}
	_ = m.sub.Nack("again", esdb.NackActionPark, events[0])
	_ = m.sub.Ack(events[1])
	if got := string(truncated().Data); got != `{"$tb":3}` {
		t.Errorf("the metadata of the parked events is %s", got)
	}
	h.pass(time.Minute)
	replay(0)
	m.accept("$>>b")
}

// TestPersistentDrop tells consumers why their connection ends.
func TestPersistentDrop(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	one := func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 1 }
	createGroup(t, c, "s", "g", esdb.Start{}, settings(one))
	m := joinGroup(t, c, "s", "g", 10)
	m.expect("a")
	_, err := c.SubscribeToPersistentSubscription(timeout(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err == nil || !strings.Contains(err.Error(), "Maximum subscriptions reached") {
		t.Errorf("a second consumer is told %v", err)
	}
	o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: settings()}
	if err := c.UpdatePersistentSubscription(timeout(t), "s", "g", o); err != nil {
		t.Fatal(err)
	}
	m.expect("dropped: Canceled")
	m, other := joinGroup(t, c, "s", "g", 10), joinGroup(t, c, "s", "g", 10)
	m.expect("a")
	if err := c.DeletePersistentSubscription(timeout(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	m.expect("dropped: Canceled")
	other.expect("dropped: Canceled")
}

// TestPersistentClose has a node tell its consumers that it closes, and close
// although one of them does not read.
func TestPersistentClose(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, settings())
	m := joinGroup(t, c, "s", "g", 10)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	m.expect("dropped: Canceled")
}

// TestPersistentDelete deletes a group and makes it anew: nothing is left of
// the first.
func TestPersistentDelete(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	for range 3 {
		createGroup(t, c, "s", "g", esdb.Start{}, settings())
		saved := watchCheckpoints(t, c, "s", "g")
		mustAppend(t, c, "s", "a", "b")
		m := joinGroup(t, c, "s", "g", 10)
		m.refuse("a", esdb.NackActionPark)
		m.accept("b")
		saved("1")
		if err := c.DeletePersistentSubscription(timeout(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, stream := range []string{parkedStream("s::g"), checkpointStream("s::g")} {
			if got := readNames(t, c, stream, esdb.ReadStreamOptions{From: esdb.Start{}}, 9); got != "not found" {
				t.Errorf("%s holds %s", stream, got)
			}
		}
	}
}
