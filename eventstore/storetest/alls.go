package storetest

import (
	"fmt"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

var allCases = []Case{
	{Number: "6.1", Name: "$all forwards", check: checkAllForwards,
		Rule: "Reading $all forwards begins with the event at the named position; from the end it returns nothing."},
	{Number: "6.2", Name: "$all backwards", check: checkAllBackwards,
		Rule: "Reading $all backwards begins before the named position; from the start it returns nothing, from the end the newest event."},
	{Number: "6.3", Name: "the order of $all", check: checkAllOrder,
		Rule: "$all has every event once, in the order of positions, which is the order in which they were acknowledged. Backwards is the same order turned round."},
	{Number: "6.4", Name: "what $all shows", check: checkAllShows,
		Rule: "$all shows metadata, deletions, and deleted and truncated events, until the server scavenges."},
	{Number: "6.5", Name: "reading $all with a filter", check: checkAllFilter, OtherPrograms: "The ledger filters subscriptions, and no reads.",
		Rule: "A read of $all accepts a filter on the stream's name or the event's type: prefixes, or a regular expression that may match anywhere. The count is of matching events."},
	{Number: "6.6", Name: "following $all with a filter", check: checkFollowFilter,
		Rule: "A subscription to $all accepts prefixes of streams' names as a filter, whatever the search window."},
	{Number: "6.7", Name: "following $all with other filters", check: checkFollowOtherFilters, OtherPrograms: "The ledger's subscription filters by prefixes of streams' names.",
		Rule: "A subscription to $all accepts the filters of a read, also without a search window."},
}

func checkAllForwards(r *room) {
	s := r.stream("s")
	a, b := r.put(s, "a"), r.put(s, "b")
	r.same("from the first", namesOf(r.readAll(esdb.Forwards, placed(a), 1)...), "a")
	r.same("from the second", namesOf(r.readAll(esdb.Forwards, placed(b), 1)...), "b")
	r.same("from the end", namesOf(r.readAll(esdb.Forwards, esdb.End{}, 5)...), "")
	r.same("one from the start", len(r.readAll(esdb.Forwards, esdb.Start{}, 1)), 1)
}

func checkAllBackwards(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	events := r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)
	if !r.same("events", len(events), 3) {
		return
	}
	r.same("before the second", namesOf(r.readAll(esdb.Backwards, events[1].Event.Position, 1)...), "a")
	r.same("before the third", namesOf(r.readAll(esdb.Backwards, events[2].Event.Position, 2)...), "b a")
	r.same("from the start", namesOf(r.readAll(esdb.Backwards, esdb.Start{}, 5)...), "")
	newest := r.readAll(esdb.Backwards, esdb.End{}, 1)
	r.check(len(newest) == 1 && newest[0].OriginalEvent().Position.Commit >= events[2].Event.Position.Commit,
		"from the end: expected one event, at %d or later, seen %s", events[2].Event.Position.Commit, quoted(namesOf(newest...)))
}

func checkAllOrder(r *room) {
	const rounds = 100
	streams := []string{r.stream("a"), r.stream("b"), r.stream("c")}
	begin := r.put(r.stream("begin"), "begin")
	last := begin.CommitPosition
	var want []string
	for i := range rounds {
		name := fmt.Sprint("e", i)
		at := r.put(streams[i%len(streams)], name).CommitPosition
		r.check(at > last, "%s: expected a position after %d, seen %d", name, last, at)
		last, want = at, append(want, name)
	}
	end := r.put(r.stream("end"), "end")
	r.same("forwards", strings.Join(r.mineBetween(placed(begin), placed(end)), " "), strings.Join(want, " "))

	forwards := r.readAll(esdb.Forwards, placed(begin), rounds)
	final := forwards[len(forwards)-1].OriginalEvent().Position
	backwards := r.readAll(esdb.Backwards, final, rounds-1)
	if !r.same("events read back", len(backwards), len(forwards)-1) {
		return
	}
	for i, e := range backwards {
		f := forwards[len(forwards)-2-i].OriginalEvent()
		if e.OriginalEvent().Position != f.Position || e.OriginalEvent().EventID != f.EventID {
			r.stop("backwards: expected position %d, seen %d", f.Position.Commit, e.OriginalEvent().Position.Commit)
		}
	}
}

func checkAllShows(r *room) {
	begin := r.put(r.stream("begin"), "begin")
	s, t := r.stream("s"), r.stream("t")
	r.put(s, "a", "b")
	r.describe(s, `{"$maxCount":1}`)
	r.put(t, "c")
	r.mustDelete(t)
	_, err := r.client.TombstoneStream(r.ctx, s, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	// A scavenge that runs just now would make this fail; it may be run again.
	end := r.put(r.stream("end"), "end")
	r.same("in $all", strings.Join(r.mineBetween(placed(begin), placed(end)), " "), "a b $metadata c $metadata $streamDeleted")
}

// filtering is a filter in the words of both clients, and what it lets
// through of a fixed set of events.
type filtering struct {
	what   string
	filter *esdb.SubscriptionFilter
	want   string
}

// filterings writes events and gives the filters to try on what lies after the
// position.
func (r *room) filterings() (esdb.Position, []filtering) {
	begin := r.put(r.stream("begin"), "begin")
	r.put(r.stream("x-1"), "a", "b")
	r.put(r.stream("y-1"), "c")
	r.put(r.stream("x-2"), "d", "a2")
	r.describe(r.prefix+"x-1", `{"n":1}`)
	p := r.prefix
	on := func(t esdb.FilterType, regex string, prefixes ...string) *esdb.SubscriptionFilter {
		return &esdb.SubscriptionFilter{Type: t, Regex: regex, Prefixes: prefixes}
	}
	return placed(begin), []filtering{
		{"one prefix of streams", on(esdb.StreamFilterType, "", p+"x-"), "a b d a2"},
		{"two prefixes of streams", on(esdb.StreamFilterType, "", p+"y-", p+"x-2"), "c d a2"},
		{"a prefix of metadata", on(esdb.StreamFilterType, "", "$$"+p), "$metadata"},
		{"an expression on streams", on(esdb.StreamFilterType, "^"+p+".-2$"), "d a2"},
		{"an expression anywhere in streams", on(esdb.StreamFilterType, p+"[xy]-1"), "a b c $metadata"},
		{"nothing", on(esdb.StreamFilterType, "", p+"z-"), ""},
	}
}

func checkAllFilter(r *room) {
	begin, list := r.filterings()
	end := placed(r.put(r.stream("end"), "end"))
	for _, f := range list {
		names, _ := r.filteredNames(begin, end, f.filter, everything)
		r.same(f.what, strings.Join(names, " "), f.want)
	}
	names, _ := r.filteredNames(begin, end, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"storetest-a", "storetest-d"}}, everything)
	r.same("prefixes of types", strings.Join(names, " "), "a d a2")
	names, _ = r.filteredNames(begin, end, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^storetest-[bc]$"}, everything)
	r.same("an expression on types", strings.Join(names, " "), "b c")
	names, _ = r.filteredNames(begin, end, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^storetest-[bc]$", Prefixes: []string{"storetest-a"}}, everything)
	r.same("an expression and a prefix", strings.Join(names, " "), "b c")
	_, n := r.filteredNames(begin, end, list[0].filter, 3)
	r.same("three of a prefix", n, 3)
}

// filteredNames reads $all with a filter, which the official client cannot,
// and gives the case's events between two positions and how many came at all.
func (r *room) filteredNames(after, before esdb.Position, filter *esdb.SubscriptionFilter, count uint64) (names []string, total int) {
	o := readingAll(after.Commit)
	o.CountOption = &streamspb.ReadReq_Options_Count{Count: count}
	expression := &streamspb.ReadReq_Options_FilterOptions_Expression{Regex: filter.Regex, Prefix: filter.Prefixes}
	options := &streamspb.ReadReq_Options_FilterOptions{
		Filter: &streamspb.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: expression},
		Window: &streamspb.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}}, CheckpointIntervalMultiplier: 1,
	}
	if filter.Type == esdb.EventFilterType {
		options.Filter = &streamspb.ReadReq_Options_FilterOptions_EventType{EventType: expression}
	}
	o.FilterOption = &streamspb.ReadReq_Options_Filter{Filter: options}
	messages, err := r.rawRead(o)
	r.must("read $all with a filter", err)
	for _, m := range messages {
		e := m.GetEvent().GetEvent()
		if e == nil {
			continue // a checkpoint
		}
		total++
		stream := string(e.GetStreamIdentifier().GetStreamName())
		if strings.Contains(stream, r.prefix) && e.GetCommitPosition() > after.Commit && e.GetCommitPosition() < before.Commit {
			names = append(names, nameOf(&esdb.RecordedEvent{EventType: e.GetMetadata()["type"], Data: e.GetData()}))
		}
	}
	return names, total
}

func checkFollowFilter(r *room) {
	begin, list := r.filterings()
	for _, f := range list {
		if f.filter.Regex == "" {
			r.followFiltered(begin, f, 0, 1, 5, 512)
		}
	}
}

func checkFollowOtherFilters(r *room) {
	begin, list := r.filterings()
	for _, f := range list {
		if f.filter.Regex == "" {
			r.followFiltered(begin, f, esdb.NoMaxSearchWindow)
		} else {
			r.followFiltered(begin, f, 0, 1, 5, esdb.NoMaxSearchWindow)
		}
	}
	types := r.followAll(esdb.SubscribeToAllOptions{From: begin, Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^[^\$].*`}})
	defer types.close()
	for _, e := range types.events(5) {
		r.check(!strings.HasPrefix(e.OriginalEvent().EventType, "$"), "no system events: seen a %s", e.OriginalEvent().EventType)
	}
}

// followFiltered sees what a filter lets through of history.
func (r *room) followFiltered(begin esdb.Position, f filtering, windows ...int) {
	for _, window := range windows {
		sub := r.followAll(esdb.SubscribeToAllOptions{From: begin, Filter: f.filter, MaxSearchWindow: window})
		r.same(fmt.Sprintf("%s, window %d", f.what, window), sub.history(), f.want)
		sub.close()
	}
}
