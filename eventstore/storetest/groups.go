package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

var groupCases = []Case{
	{Number: "8.1", Name: "making and unmaking groups", check: checkGroups, persistent: true, OtherPrograms: noGroups,
		Rule: "A group can be made for a stream that does not exist yet. Creating an existing group returns AlreadyExists. Changing, deleting, joining or describing an unknown group returns NotFound."},
	{Number: "8.2", Name: "where a group begins", check: checkGroupStarts, persistent: true, OtherPrograms: noGroups,
		Rule: "A group begins at the start, at the revision that is named (and with it), or at the end as it was when it was made, with or without a consumer."},
	{Number: "8.3", Name: "acknowledging", check: checkAck, persistent: true, OtherPrograms: noGroups,
		Rule: "An acknowledged event is not sent again. The next consumer receives the events that a consumer left unanswered, marked as retried."},
	{Number: "8.4", Name: "refusing", check: checkNack, persistent: true, OtherPrograms: noGroups,
		Rule: "A refused event is sent again, parked or skipped, as the consumer asks."},
	{Number: "8.5", Name: "taking too long", check: checkGroupTimeout, persistent: true, OtherPrograms: noGroups,
		Rule: "An event without an answer within the message timeout is sent again, marked as retried."},
	{Number: "8.6", Name: "refused too often", check: checkRetries, persistent: true, OtherPrograms: noGroups,
		Rule: "An event that was retried as often as the settings allow is parked, and the group goes on."},
	{Number: "8.7", Name: "parked events", check: checkParked, persistent: true, OtherPrograms: noGroups,
		Rule: "Parked events are stored and counted. A replay sends some or all of them again; an answered event is no longer parked."},
	{Number: "8.8", Name: "as many consumers as allowed", check: checkMaxSubscribers, persistent: true, OtherPrograms: noGroups,
		Rule: "A group takes as many consumers as its settings allow, and another when one has gone."},
	{Number: "8.9", Name: "strategies", check: checkStrategies, persistent: true, OtherPrograms: noGroups,
		Rule: "With RoundRobin consumers take turns. With DispatchToSingle one consumer receives all events that it has room for."},
	{Number: "8.10", Name: "room for unanswered events", check: checkBuffer, persistent: true, OtherPrograms: noGroups,
		Rule: "A consumer receives no more unanswered events than it asked for; other consumers receive the rest."},
	{Number: "8.11", Name: "where a group goes on", check: checkGroupCheckpoint, persistent: true, OtherPrograms: noGroups,
		Rule: "A group stores its checkpoint: changed and joined again, it goes on after that, and omits no event."},
	{Number: "8.12", Name: "a group of $all", check: checkGroupAll, persistent: true, OtherPrograms: noGroups,
		Rule: "A group of $all begins with the event at the position that is named, and sends every event that passes its filter, live too."},
	{Number: "8.13", Name: "a group's links", check: checkGroupLinks, persistent: true, OtherPrograms: noGroups,
		Rule: "A group follows links where its settings say so; they are answered like any event."},
	{Number: "8.14", Name: "information about a group", check: checkGroupInfo, persistent: true, OtherPrograms: noGroups,
		Rule: "The information about a group has its settings, its consumers and its checkpoint, alone and in the list of its stream's groups."},
	{Number: "8.15", Name: "the end of a group", check: checkGroupEnd, persistent: true, OtherPrograms: noGroups,
		Rule: "Changing or deleting a group drops its consumers, with an error that says so."},
}

func checkGroups(r *room) {
	s := r.stream("s")
	g := r.persistently(s, "g", esdb.Start{})
	o := esdb.PersistentStreamSubscriptionOptions{Settings: quickSettings(), StartFrom: esdb.Start{}}
	r.same("making it again", codeOf(r.client.CreatePersistentSubscription(r.ctx, s, g, o)), "exists")
	r.same("changing it", codeOf(r.client.UpdatePersistentSubscription(r.ctx, s, g, o)), "ok")
	r.same("deleting it", codeOf(r.client.DeletePersistentSubscription(r.ctx, s, g, esdb.DeletePersistentSubscriptionOptions{})), "ok")
	r.same("deleting it again", codeOf(r.client.DeletePersistentSubscription(r.ctx, s, g, esdb.DeletePersistentSubscriptionOptions{})), "not found")
	r.same("changing it after that", codeOf(r.client.UpdatePersistentSubscription(r.ctx, s, g, o)), "not found")
	_, err := r.tryJoin(s, g, 1)
	r.same("joining it", codeOf(err), "not found")
	_, err = r.client.GetPersistentSubscriptionInfo(r.ctx, s, g, esdb.GetPersistentSubscriptionOptions{})
	r.same("asking about it", codeOf(err), "not found")
	r.same("replaying for it", codeOf(r.client.ReplayParkedMessages(r.ctx, s, g, esdb.ReplayParkedMessagesOptions{})), "not found")
	o.Settings = quickSettings(func(s *esdb.PersistentSubscriptionSettings) { s.ReadBatchSize, s.HistoryBufferSize = 20, 20 })
	err = r.client.CreatePersistentSubscription(r.ctx, s, r.group(s, "odd"), o)
	r.check(err != nil, "batches as large as the buffer: expected a refusal, seen none")
}

func checkGroupStarts(r *room) {
	for i, tc := range []struct {
		from esdb.StreamPosition
		want string
	}{{esdb.Start{}, "a b c x"}, {esdb.Revision(1), "b c x"}, {esdb.Revision(2), "c x"}, {esdb.Revision(3), "x"}, {esdb.End{}, "x"}} {
		s := r.stream(fmt.Sprint("s", i))
		r.put(s, "a", "b", "c")
		g := r.persistently(s, "g", tc.from)
		r.put(s, "x")
		m := r.join(s, g, 10)
		m.accept(fmt.Sprintf("from %#v", tc.from), tc.want)
		r.put(s, "y")
		m.accept(fmt.Sprintf("from %#v, live", tc.from), "y")
		m.leave()
	}
}

func checkAck(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c", "d")
	g := r.persistently(s, "g", esdb.Start{})
	m := r.join(s, g, 10)
	events := m.take("the first consumer", "a b c d")
	r.must("acknowledge", m.sub.Ack(events[0], events[2]))
	// Answers and leaving are two things: seen to have arrived, not assumed.
	r.until("the answers did not arrive", func() bool { return r.info(s, g).Stats.TotalInFlightMessages == 2 })
	m.leave()
	next := r.join(s, g, 10)
	next.accept("the next consumer", "b' d'")
	r.put(s, "e")
	next.accept("the next consumer, live", "e")
}

func checkNack(r *room) {
	s := r.stream("s")
	g := r.persistently(s, "g", esdb.Start{})
	m := r.join(s, g, 10)
	r.put(s, "a")
	m.refuse("to be given again", "a", esdb.NackActionRetry)
	m.refuse("given again", "a'", esdb.NackActionUnknown)
	m.accept("given once more", "a''")
	r.put(s, "b")
	m.refuse("to be passed over", "b", esdb.NackActionSkip)
	r.put(s, "c")
	m.refuse("to be parked", "c", esdb.NackActionPark)
	r.put(s, "d")
	m.accept("what comes next", "d")
	r.parked(s, g, 1)
}

func checkGroupTimeout(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	g := r.persistently(s, "g", esdb.Start{}, func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout = 1000 })
	m := r.join(s, g, 10)
	events := m.take("at first", "a b")
	r.must("acknowledge", m.sub.Ack(events[1]))
	m.accept("when it took too long", "a'")
	r.put(s, "c")
	m.accept("then", "c")
}

func checkRetries(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	g := r.persistently(s, "g", esdb.Start{}, func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 2 })
	m := r.join(s, g, 1)
	for _, want := range []string{"a", "a'", "a''"} {
		m.refuse("refused again and again", want, esdb.NackActionRetry)
	}
	m.accept("the next", "b")
	r.parked(s, g, 1)
}

func checkParked(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	g := r.persistently(s, "g", esdb.Start{})
	m := r.join(s, g, 10)
	m.refuse("to be parked", "a b c", esdb.NackActionPark)
	r.parked(s, g, 3)
	r.must("replay", r.client.ReplayParkedMessages(r.ctx, s, g, esdb.ReplayParkedMessagesOptions{StopAt: 2}))
	m.accept("two of the parked", "$>>a $>>b")
	r.parked(s, g, 1) // a replay that is asked for before the last one is over is passed over
	r.must("replay", r.client.ReplayParkedMessages(r.ctx, s, g, esdb.ReplayParkedMessagesOptions{}))
	m.accept("the rest of the parked", "$>>c")
	r.parked(s, g, 0)
	r.put(s, "d")
	m.accept("what comes next", "d")
}

func checkMaxSubscribers(r *room) {
	s := r.stream("s")
	g := r.persistently(s, "g", esdb.Start{}, func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 1 })
	first := r.join(s, g, 1)
	_, err := r.tryJoin(s, g, 1)
	r.same("a second one", codeOf(err), "FailedPrecondition")
	first.leave()
	r.until("nobody else may join, though the first has left", func() bool {
		m, err := r.tryJoin(s, g, 1)
		if err == nil {
			m.leave()
		}
		return err == nil
	})
}

func checkStrategies(r *room) {
	const events = 6
	for _, tc := range []struct {
		strategy esdb.ConsumerStrategy
		want     string
	}{{esdb.ConsumerStrategyRoundRobin, "[3 3]"}, {esdb.ConsumerStrategyDispatchToSingle, "[0 6]"}} {
		s := r.stream(string(tc.strategy))
		g := r.persistently(s, "g", esdb.Start{}, func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = tc.strategy })
		got := make(chan int, events)
		for i := range 2 {
			m := r.join(s, g, 10)
			go func() {
				for e, _ := m.next(); e != nil; e, _ = m.next() {
					got <- i
				}
			}()
			defer m.leave()
		}
		r.put(s, numbered("e", 0, events)...)
		counts := make([]int, 2)
		for range events {
			select {
			case i := <-got:
				counts[i]++
			case <-time.After(r.patience):
				r.stop("%s: expected %d events, seen %v", tc.strategy, events, counts)
			}
		}
		slices.Sort(counts)
		r.same(string(tc.strategy), counts, tc.want)
	}
}

func checkBuffer(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c", "d", "e")
	g := r.persistently(s, "g", esdb.Start{})
	small := r.join(s, g, 2)
	held := small.take("one with room for two", "a b")
	large := r.join(s, g, 10)
	large.accept("one with room for ten", "c d e")
	r.until("the answers did not arrive", func() bool { return r.info(s, g).Stats.TotalInFlightMessages == 2 })
	r.must("acknowledge", small.sub.Ack(held...))
	large.leave()
	r.until("a consumer that left is still counted", func() bool { return len(r.info(s, g).Connections) == 1 })
	r.put(s, "f")
	small.accept("with room again", "f")
}

func checkGroupCheckpoint(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c", "d", "e")
	g := r.persistently(s, "g", esdb.Start{})
	m := r.join(s, g, 3)
	m.accept("at first", "a b")
	r.until("no checkpoint after two answers", func() bool { return r.checkpoint(s, g) == "1" })
	r.must("change the group", r.client.UpdatePersistentSubscription(r.ctx, s, g, esdb.PersistentStreamSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: quickSettings(),
	}))
	m.leave()
	m = r.join(s, g, 10)
	m.accept("joined again", "c d e")
	r.put(s, "f")
	m.accept("joined again, live", "f")
}

func checkGroupAll(r *room) {
	wanted, other := r.stream("wanted"), r.stream("other")
	r.put(wanted, "a")
	at := r.put(wanted, "b")
	r.put(other, "x")
	r.put(wanted, "c")
	for what, tc := range map[string]struct {
		from esdb.AllPosition
		want string
	}{"from an event": {placed(at), "b c d"}, "from the end": {esdb.End{}, "d"}} {
		g := r.group("", what)
		r.must("create a group of $all", r.client.CreatePersistentSubscriptionToAll(r.ctx, g, esdb.PersistentAllSubscriptionOptions{
			StartFrom: tc.from, Settings: quickSettings(), Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{wanted}},
		}))
		defer r.join("", g, 10).accept(what, tc.want)
	}
	r.put(other, "y")
	r.put(wanted, "d")
}

func checkGroupLinks(r *room) {
	s, links := r.stream("s"), r.stream("links")
	r.put(s, "a", "b")
	r.link(links, "1@"+s)
	follow := func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true }
	m := r.join(links, r.persistently(links, "following", esdb.Start{}, follow), 10)
	m.refuse("followed", "$>>b", esdb.NackActionRetry)
	m.accept("followed, again", "$>>b'")
	r.link(links, "0@"+s)
	m.accept("followed, live", "$>>a")
	r.join(links, r.persistently(links, "plain", esdb.Start{}), 10).accept("not followed", "$> $>")
}

func checkGroupInfo(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	g := r.persistently(s, "g", esdb.Revision(1), func(s *esdb.PersistentSubscriptionSettings) {
		s.MaxRetryCount, s.MessageTimeout, s.MaxSubscriberCount, s.ResolveLinkTos = 7, 12_000, 5, true
	})
	info := r.info(s, g)
	r.same("stream and group", info.EventSource+" "+info.GroupName, s+" "+g)
	r.same("consumers", len(info.Connections), 0)
	if set := info.Settings; r.check(set != nil, "expected the settings, seen none") {
		r.same("settings", fmt.Sprint(set.MaxRetryCount, set.MessageTimeout, set.MaxSubscriberCount, set.ResolveLinkTos, set.ConsumerStrategyName),
			fmt.Sprint(7, 12_000, 5, true, esdb.ConsumerStrategyRoundRobin))
	}
	m := r.join(s, g, 10)
	m.take("joined", "b c")
	info = r.info(s, g)
	r.same("consumers, joined", len(info.Connections), 1)
	r.same("unanswered", info.Stats.TotalInFlightMessages, 2)
	list, err := r.client.ListPersistentSubscriptionsForStream(r.ctx, s, esdb.ListPersistentSubscriptionsOptions{})
	r.must("list the stream's groups", err)
	var names []string
	for _, i := range list {
		names = append(names, i.GroupName)
	}
	r.same("the stream's groups", strings.Join(names, " "), g)
	_, err = r.client.ListPersistentSubscriptionsForStream(r.ctx, r.stream("none"), esdb.ListPersistentSubscriptionsOptions{})
	r.same("groups of a stream that has none", codeOf(err), "not found")
}

func checkGroupEnd(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	g := r.persistently(s, "g", esdb.Start{})
	m := r.join(s, g, 10)
	m.accept("joined", "a")
	r.must("change the group", r.client.UpdatePersistentSubscription(r.ctx, s, g, esdb.PersistentStreamSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: quickSettings(),
	}))
	_, name := m.next()
	r.same("changed", name, "(dropped: Canceled)")
	m = r.join(s, g, 10)
	r.must("delete the group", r.client.DeletePersistentSubscription(r.ctx, s, g, esdb.DeletePersistentSubscriptionOptions{}))
	e, name := m.next()
	if e != nil { // given again when the answer came after the change
		_, name = m.next()
	}
	r.same("deleted", name, "(dropped: Canceled)")
}
