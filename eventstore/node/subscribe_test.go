package node

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// next gives the subscription's next message in words: an event's name,
// "caught-up", "checkpoint" with its position, or why it was dropped.
func next(sub *esdb.Subscription) string {
	e := sub.Recv()
	switch {
	case e.EventAppeared != nil:
		return join([]*esdb.ResolvedEvent{e.EventAppeared})
	case e.CaughtUp != nil:
		return "caught-up"
	case e.CheckPointReached != nil:
		return fmt.Sprintf("checkpoint %d/%d", e.CheckPointReached.Commit, e.CheckPointReached.Prepare)
	case e.SubscriptionDropped != nil:
		return "dropped: " + codeOf(e.SubscriptionDropped.Error)
	}
	return fmt.Sprintf("%+v", e)
}

func take(sub *esdb.Subscription, n int) string {
	var got []string
	for range n {
		m := next(sub)
		got = append(got, m)
		if strings.HasPrefix(m, "dropped") {
			break
		}
	}
	return strings.Join(got, " ")
}

func expect(t *testing.T, sub *esdb.Subscription, want string) {
	t.Helper()
	if got := take(sub, len(strings.Fields(want))); got != want {
		t.Fatalf("received %q, want %q", got, want)
	}
}

func subscribeStream(t *testing.T, c *esdb.Client, stream string, from esdb.StreamPosition) *esdb.Subscription {
	t.Helper()
	sub, err := c.SubscribeToStream(timeout(t), stream, esdb.SubscribeToStreamOptions{From: from})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

func subscribeAll(t *testing.T, c *esdb.Client, o esdb.SubscribeToAllOptions) *esdb.Subscription {
	t.Helper()
	sub, err := c.SubscribeToAll(timeout(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

// TestSubscribeToStream subscribes to each kind of stream from each kind of
// place; "x" is appended once the subscription stands.
func TestSubscribeToStream(t *testing.T) {
	tests := []struct {
		name   string
		stream string
		from   esdb.StreamPosition
		want   string
	}{
		{"from the start", "s", esdb.Start{}, "a b c caught-up x"},
		{"after the first revision", "s", esdb.Revision(0), "b c caught-up x"},
		{"after the last revision", "s", esdb.Revision(2), "caught-up x"},
		{"from the end", "s", esdb.End{}, "caught-up x"},
		{"an unknown stream", "none", esdb.Start{}, "caught-up x"},
		{"an unknown stream from the end", "none2", esdb.End{}, "caught-up x"},
		{"a truncated stream", "truncated", esdb.Start{}, "c caught-up x"},
		{"a soft-deleted stream", "soft", esdb.Start{}, "caught-up x"},
		{"a soft-deleted stream from its last revision", "soft", esdb.Revision(2), "caught-up x"},
		{"a soft-deleted stream from the end", "soft", esdb.End{}, "caught-up x"},
		{"a stream truncated beyond its end", "beyond", esdb.Start{}, "caught-up x"},
		{"a stream truncated beyond its end, after a revision", "beyond", esdb.Revision(1), "caught-up x"},
		{"a stream truncated beyond its end, from the end", "beyond", esdb.End{}, "caught-up x"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, openNode(t, Options{}))
			for _, stream := range []string{"s", "truncated", "soft", "beyond"} {
				mustAppend(t, c, stream, "a", "b", "c")
			}
			setMetadata(t, c, "truncated", `{"$tb":2}`)
			setMetadata(t, c, "beyond", `{"$tb":9}`)
			prepare(t, c, "soft", "deleted")
			sub := subscribeStream(t, c, tc.stream, tc.from)
			expect(t, sub, strings.TrimSuffix(tc.want, " x"))
			mustAppend(t, c, "bystander", "y")
			mustAppend(t, c, tc.stream, "x")
			expect(t, sub, "x")
		})
	}
}

// TestSubscriptionFromBeyondTheEndWaitsForItsRevision subscribes after a
// revision that is still to come: the events up to it are passed over.
func TestSubscriptionFromBeyondTheEndWaitsForItsRevision(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	for _, tc := range []struct{ stream, state string }{
		{"kept", "two events"}, {"soft", "deleted"}, {"beyond", "two events"},
	} {
		t.Run(tc.stream, func(t *testing.T) {
			prepare(t, c, tc.stream, tc.state)
			if tc.stream == "beyond" {
				setMetadata(t, c, tc.stream, `{"$tb":9}`)
			}
			sub := subscribeStream(t, c, tc.stream, esdb.Revision(3)) // the last one is 1
			expect(t, sub, "caught-up")
			mustAppend(t, c, tc.stream, "c", "d")
			mustAppend(t, c, tc.stream, "e", "f")
			expect(t, sub, "e f")
		})
	}
}

// TestTombstonedStreamRefusesSubscription sees that the refusal comes instead
// of the confirmation, for the stream and for its metadata.
func TestTombstonedStreamRefusesSubscription(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)
	prepare(t, c, "s", "tombstoned")
	end := func(o *streams.ReadReq_Options) {
		o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}
	}
	for _, stream := range []string{"s", "$$s"} {
		for _, from := range []func(*streams.ReadReq_Options){fromRevision(0), fromRevision(7), end} {
			all, st := rawReadStatus(t, s, readOptions(ofStream(stream), from, asSubscription))
			if len(all) > 0 || st.Code() != codes.FailedPrecondition {
				t.Errorf("subscribing to %s: got %v and %v, want only the refusal", stream, all, st)
			}
		}
	}
}

// TestTombstoneWhileSubscribed gets the record that ends the stream, and then
// the end.
func TestTombstoneWhileSubscribed(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a")
	sub := subscribeStream(t, c, "s", esdb.Start{})
	expect(t, sub, "a caught-up")
	if _, err := c.DeleteStream(timeout(t), "s", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, "s", "b")
	expect(t, sub, "b")
	if _, err := c.TombstoneStream(timeout(t), "s", esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := next(sub); got != "$streamDeleted" {
		t.Errorf("got %q", got)
	}
	if got := next(sub); got != "dropped: deleted" {
		t.Errorf("got %q", got)
	}
}

// TestSubscribeToAll subscribes to the whole log from each kind of place,
// exclusively.
func TestSubscribeToAll(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a", "b")
	mustAppend(t, c, "$persistentsubscription-$all::g-checkpoint", "hidden")
	mustAppend(t, c, "t", "c")
	second := readAll(t, c, esdb.ReadAllOptions{}, 2)[1].Event.Position
	last := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)[0].Event.Position
	tests := []struct {
		name string
		from esdb.AllPosition
		want string
	}{
		{"from the start", esdb.Start{}, "a b c caught-up"},
		{"after an event", second, "c caught-up"},
		{"after the last", last, "caught-up"},
		{"from zero", esdb.Position{}, "a b c caught-up"},
		{"from the end", esdb.End{}, "caught-up"},
	}
	subs := make([]*esdb.Subscription, len(tests))
	for i, tc := range tests {
		subs[i] = subscribeAll(t, c, esdb.SubscribeToAllOptions{From: tc.from})
		if got := take(subs[i], len(strings.Fields(tc.want))); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	mustAppend(t, c, "s", "x", "y")
	for i, tc := range tests {
		if got := take(subs[i], 2); got != "x y" {
			t.Errorf("%s: then got %q", tc.name, got)
		}
	}
}

// TestSubscribeResolvesLinks follows links in both kinds of subscription.
func TestSubscribeResolvesLinks(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a")
	link := esdb.EventData{EventType: "$>", Data: []byte("0@s")}
	if _, err := c.AppendToStream(timeout(t), "links", esdb.AppendToStreamOptions{}, link); err != nil {
		t.Fatal(err)
	}
	sub, err := c.SubscribeToStream(timeout(t), "links", esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	expect(t, sub, "$>>a caught-up")
	all := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, ResolveLinkTos: true, Filter: &esdb.SubscriptionFilter{
		Type: esdb.StreamFilterType, Prefixes: []string{"links"},
	}})
	if got := next(all); got != "$>>a" {
		t.Errorf("filtered by the link's own stream: %q", got)
	}
}

// TestFilters subscribes with each kind of filter.
func TestFilters(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "permit-1", "a")
	mustAppend(t, c, "account-1", "b")
	mustAppend(t, c, "$sys", "c")
	setMetadata(t, c, "permit-1", `"d"`)
	tests := []struct {
		name   string
		filter *esdb.SubscriptionFilter
		want   string
	}{
		{"stream prefixes", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"permit-", "account-"}}, "a b"},
		{"a stream expression", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `-1$`}, "a b d"},
		{"type prefixes", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"type-b", "$meta"}}, "b d"},
		{"a type expression", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `e-[ac]`}, "a c"},
		{"no system events", esdb.ExcludeSystemEventsFilter(), "a b c"},
		{"nothing fits", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"none"}}, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			for _, window := range []int{0, 1, esdb.NoMaxSearchWindow} {
				sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: tc.filter, MaxSearchWindow: window})
				var got []string
				for m := next(sub); m != "caught-up"; m = next(sub) {
					if !strings.HasPrefix(m, "checkpoint") {
						got = append(got, m)
					}
				}
				if strings.Join(got, " ") != tc.want {
					t.Errorf("window %d: got %q, want %q", window, got, tc.want)
				}
			}
		})
	}
}

// TestSubscriptionsMissNothing subscribes while several writers write, so that
// history runs into the present somewhere, and counts.
func TestSubscriptionsMissNothing(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	const writers, each = 4, 60
	mustAppend(t, c, "s", "before")
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				_, err := c.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{}, named(fmt.Sprintf("w%d-%d", w, i), "again")...)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	check := func(sub *esdb.Subscription, what string) {
		revision := uint64(0)
		for revision < 2*writers*each {
			e := sub.Recv()
			if e.SubscriptionDropped != nil {
				t.Errorf("%s: dropped at %d: %v", what, revision, e.SubscriptionDropped.Error)
				return
			}
			if e.EventAppeared == nil {
				continue
			}
			if got := e.EventAppeared.Event.EventNumber; got != revision && revision != 0 {
				t.Errorf("%s: revision %d came after %d", what, got, revision-1)
				return
			}
			revision++
		}
	}
	var reading sync.WaitGroup
	for i := range 4 {
		reading.Go(func() {
			check(subscribeStream(t, c, "s", esdb.Start{}), fmt.Sprintf("stream %d", i))
			check(subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}}), fmt.Sprintf("$all %d", i))
		})
	}
	writing.Wait()
	reading.Wait()
}

// TestSlowConsumer leaves a subscription unread until its transport is full
// many times over. Nobody else waits for it, and it misses nothing.
func TestSlowConsumer(t *testing.T) {
	n := openNode(t, Options{})
	c, s := connect(t, n), stub(t, n)
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	slow, err := s.Read(ctx, readOptions(ofStream("s"), asSubscription))
	if err != nil {
		t.Fatal(err)
	}
	const events = 100
	data := make([]byte, 50_000)
	for range events {
		if _, err := c.AppendToStream(timeout(t), "s", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "t", Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	quick := subscribeStream(t, c, "s", esdb.Start{})
	for i := range events {
		if got := next(quick); got != "t" {
			t.Fatalf("the quick one got %q as number %d", got, i)
		}
	}
	for seen := uint64(0); seen < events; {
		m, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e := m.GetEvent(); e != nil {
			if e.GetEvent().GetStreamRevision() != seen {
				t.Fatalf("the slow one got %d instead of %d", e.GetEvent().GetStreamRevision(), seen)
			}
			seen++
		}
	}
}

// TestCaughtUpAgain sees that a subscription that fell behind says so once it
// is back: when more came at once than a live buffer holds.
func TestCaughtUpAgain(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	sub := subscribeStream(t, c, "s", esdb.Start{})
	expect(t, sub, "caught-up")
	names := numbered("n", 0, liveBuffer+1)
	mustAppend(t, c, "s", names...)
	expect(t, sub, strings.Join(names, " ")+" caught-up")
	mustAppend(t, c, "s", "x")
	expect(t, sub, "x")
}

// TestConfirmationComesFirst looks at the raw beginning of a subscription.
func TestConfirmationComesFirst(t *testing.T) {
	n := openNode(t, Options{})
	s := stub(t, n)
	mustAppend(t, connect(t, n), "s", "a")
	for _, req := range []*streams.ReadReq{
		readOptions(asSubscription), readOptions(asSubscription, ofStream("s")),
		readOptions(asSubscription, fromPosition(math.MaxUint64, math.MaxUint64)),
		readOptions(asSubscription, filtered(prefixes("s"))),
	} {
		call, err := s.Read(timeout(t), req)
		if err != nil {
			t.Fatal(err)
		}
		m, err := call.Recv()
		if err != nil || len(m.GetConfirmation().GetSubscriptionId()) != 36 {
			t.Errorf("first came %v, %v", m, err)
		}
	}
}

// TestCloseEndsSubscriptions sees Close end what would never end by itself,
// with a status that tells the client to come back.
func TestCloseEndsSubscriptions(t *testing.T) {
	n := openNode(t, Options{})
	call, err := stub(t, n).Read(timeout(t), readOptions(asSubscription))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the confirmation, and caught up
		if _, err := call.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}
