package storetest

import (
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// feed is a catch-up subscription of a case. Every wait on it is bounded.
type feed struct {
	*room
	what string
	sub  *esdb.Subscription
	told func(esdb.Position) // of checkpoints; nil for nobody
}

// follow subscribes to a stream.
func (r *room) follow(stream string, o esdb.SubscribeToStreamOptions) *feed {
	sub, err := r.client.SubscribeToStream(r.ctx, stream, o)
	r.must("subscribe to "+stream, err)
	return &feed{room: r, what: "subscribed to the stream", sub: sub}
}

// followAll subscribes to $all.
func (r *room) followAll(o esdb.SubscribeToAllOptions) *feed {
	sub, err := r.client.SubscribeToAll(r.ctx, o)
	r.must("subscribe to $all", err)
	return &feed{room: r, what: "subscribed to $all", sub: sub}
}

// mine follows what the case writes, in $all, after a position.
func (r *room) mine(after esdb.AllPosition) *feed {
	return r.followAll(esdb.SubscribeToAllOptions{From: after, Filter: r.mineOnly()})
}

func (r *room) mineOnly() *esdb.SubscriptionFilter {
	return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{r.prefix}}
}

// next waits for the next message; it is nil, and why recorded, when none came.
func (f *feed) next() *esdb.SubscriptionEvent {
	late := time.AfterFunc(f.patience, func() { _ = f.sub.Close() })
	e := f.sub.Recv()
	if e.SubscriptionDropped != nil && !late.Stop() && f.ctx.Err() == nil {
		f.fail("%s: expected something more, seen nothing for %s", f.what, f.patience)
		return nil
	}
	late.Stop()
	if e.CheckPointReached != nil && f.told != nil {
		f.told(*e.CheckPointReached)
	}
	return e
}

// word is the next message that is an event, being caught up, or the end.
func (f *feed) word() (word string, event *esdb.ResolvedEvent) {
	for {
		switch e := f.next(); {
		case e == nil:
			return "(nothing)", nil
		case e.EventAppeared != nil:
			return namesOf(e.EventAppeared), e.EventAppeared
		case e.CaughtUp != nil:
			return "(caught up)", nil
		case e.SubscriptionDropped != nil:
			return "(dropped: " + codeOf(e.SubscriptionDropped.Error) + ")", nil
		}
	}
}

// events gives the next n events, passing over being caught up.
func (f *feed) events(n int) (list []*esdb.ResolvedEvent) {
	for len(list) < n {
		word, event := f.word()
		if event != nil {
			list = append(list, event)
		} else if word != "(caught up)" {
			f.stop("%s: expected event %d of %d, seen %s", f.what, len(list)+1, n, word)
		}
	}
	return list
}

// take names the next n events.
func (f *feed) take(n int) string { return namesOf(f.events(n)...) }

// history names the events until the feed is caught up for the first time.
func (f *feed) history() string {
	var names []string
	for {
		word, event := f.word()
		switch {
		case event != nil:
			names = append(names, word)
		case word == "(caught up)":
			return strings.Join(names, " ")
		default:
			return strings.Join(append(names, word), " ")
		}
	}
}

// caughtUp waits until the feed is, and sees that nothing came before.
func (f *feed) caughtUp() { f.same(f.what+", until caught up", f.history(), "") }

// close ends the subscription.
func (f *feed) close() { _ = f.sub.Close() }
