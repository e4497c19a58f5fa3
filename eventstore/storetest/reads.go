package storetest

import (
	"fmt"
	"math"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

var readCases = []Case{
	{Number: "3.1", Name: "a stream that is not there", check: checkMissing,
		Rule: "Reading a stream that was never written returns NotFound, in both directions and from anywhere."},
	{Number: "3.2", Name: "forwards", check: checkForwards,
		Rule: "Reading forwards begins with the named revision, and returns at most as many events as asked for, and none from beyond the end."},
	{Number: "3.3", Name: "backwards", check: checkBackwards,
		Rule: "Reading backwards begins with the named revision, from the end or from beyond it with the last event. From the start it returns the first event alone."},
	{Number: "3.4", Name: "numbers out of range", check: checkOutOfRange, OtherPrograms: "The ledger sends no such number.",
		Rule: "A revision or position of 2^63 or more that is not the one for the end is refused; so is a commit position before its prepare position."},
	{Number: "3.5", Name: "nothing asked for", check: checkCountZero, OtherPrograms: "The ledger makes no such read.",
		Rule: "A read of no events of a stream, or forwards from its end, returns none and ends, be it with an error."},
	{Number: "3.6", Name: "a long stream", check: checkLong,
		Rule: "A stream of many pages is read whole and in order, in both directions, also from its middle."},
	{Number: "3.7", Name: "positions", check: checkPositions,
		Rule: "A stream's events have their positions in $all: the same events are there, in the same order."},
	{Number: "3.8", Name: "where a stream begins and ends", check: checkEdges, OtherPrograms: "The ledger's client does not ask for it.",
		Rule: "A client that asks for it receives the stream's last revision after the events, and the next revision to read if the stream has no event where the read began."},
	{Number: "3.9", Name: "malformed reads", check: checkMalformedReads, OtherPrograms: "The ledger's client sends no such request.",
		Rule: "A read that does not say what it reads, how much, in which form it wants ids, or whether it has a filter, is refused and returns no event. So is a filter on a stream, an empty filter, a filter with checkpoints after no events, and a subscription backwards."},
}

func checkMissing(r *room) {
	s := r.stream("never")
	for _, direction := range []esdb.Direction{esdb.Forwards, esdb.Backwards} {
		for _, from := range []esdb.StreamPosition{esdb.Start{}, esdb.Revision(0), esdb.Revision(7)} {
			r.same(fmt.Sprintf("direction %d from %#v", direction, from), r.read(s, direction, from, 10), "not found")
		}
	}
	r.same("backwards from the end", r.read(s, esdb.Backwards, esdb.End{}, 10), "not found")
}

// bound is one read of a stream of five events, a to e.
type bound struct {
	from  esdb.StreamPosition
	count uint64
	want  string
}

func (r *room) bounds(direction esdb.Direction, bounds []bound) {
	s := r.stream("s")
	r.put(s, "a", "b", "c", "d", "e")
	for _, b := range bounds {
		r.same(fmt.Sprintf("%d from %#v", b.count, b.from), r.read(s, direction, b.from, b.count), b.want)
	}
}

func checkForwards(r *room) {
	r.bounds(esdb.Forwards, []bound{
		{esdb.Start{}, everything, "a b c d e"},
		{esdb.Start{}, math.MaxInt64, "a b c d e"},
		{esdb.Start{}, 1, "a"},
		{esdb.Start{}, 5, "a b c d e"},
		{esdb.Start{}, 4, "a b c d"},
		{esdb.Revision(0), everything, "a b c d e"},
		{esdb.Revision(1), everything, "b c d e"},
		{esdb.Revision(2), 2, "c d"},
		{esdb.Revision(4), everything, "e"},
		{esdb.Revision(4), 1, "e"},
		{esdb.Revision(5), everything, ""},
		{esdb.Revision(1000), everything, ""},
		{esdb.Revision(math.MaxInt64 - 1), 1, ""},
	})
}

func checkBackwards(r *room) {
	r.bounds(esdb.Backwards, []bound{
		{esdb.End{}, everything, "e d c b a"},
		{esdb.End{}, 1, "e"},
		{esdb.End{}, 4, "e d c b"},
		{esdb.Revision(4), everything, "e d c b a"},
		{esdb.Revision(3), 2, "d c"},
		{esdb.Revision(1), everything, "b a"},
		{esdb.Revision(0), everything, "a"},
		{esdb.Start{}, everything, "a"},
		{esdb.Revision(5), 2, "e d"},
		{esdb.Revision(1000), 2000, "e d c b a"},
	})
}

func checkOutOfRange(r *room) {
	s := r.stream("s")
	first := r.put(s, "a", "b")
	refused := func(what string, events []*esdb.ResolvedEvent, err error) {
		r.check(err != nil && len(events) == 0, "%s: expected a refusal, seen %s %s", what, codeOf(err), quoted(namesOf(events...)))
	}
	for _, revision := range []uint64{1 << 63, 1<<63 + 5, math.MaxUint64 - 1} {
		for _, direction := range []esdb.Direction{esdb.Forwards, esdb.Backwards} {
			events, err := r.readWith(s, esdb.ReadStreamOptions{Direction: direction, From: esdb.Revision(revision)}, 5)
			refused(fmt.Sprint("revision ", revision), events, err)
		}
		_, err := r.write(s, esdb.Revision(revision), r.events("x")...)
		refused(fmt.Sprint("expected revision ", revision), nil, err)
	}
	for _, position := range []esdb.Position{{Commit: 1 << 63, Prepare: 1 << 63}, {Commit: first.CommitPosition, Prepare: first.CommitPosition + 1}} {
		read, err := r.client.ReadAll(r.ctx, esdb.ReadAllOptions{From: position}, 1)
		var events []*esdb.ResolvedEvent
		if err == nil {
			events, err = drain(read)
		}
		refused(fmt.Sprint("position ", position), events, err)
	}
	r.same("the stream", r.whole(s), "a b")
}

func checkCountZero(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	// Never none of $all: a server may search for ever then.
	for what, o := range map[string]esdb.ReadStreamOptions{
		"forwards": {From: esdb.Start{}}, "backwards": {Direction: esdb.Backwards, From: esdb.End{}},
	} {
		events, _ := r.readWith(s, o, 0)
		r.same("none asked for, "+what, namesOf(events...), "")
	}
	events, _ := r.readWith(s, esdb.ReadStreamOptions{From: esdb.End{}}, 10)
	r.same("forwards from the end", namesOf(events...), "")
	r.check(r.ctx.Err() == nil, "expected an end, seen none within the case's time")
}

func checkLong(r *room) {
	const length = 400
	s := r.stream("s")
	names := numbered("n", 0, length)
	for i := 0; i < length; i += 50 {
		r.put(s, names[i:i+50]...)
	}
	backwards := make([]string, length)
	for i, name := range names {
		backwards[length-1-i] = name
	}
	line := func(names []string) string { return strings.Join(names, " ") }
	r.same("forwards", r.whole(s), line(names))
	r.same("backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), line(backwards))
	r.same("forwards from the middle", r.read(s, esdb.Forwards, esdb.Revision(123), 201), line(names[123:324]))
	r.same("backwards from the middle", r.read(s, esdb.Backwards, esdb.Revision(300), 201), line(backwards[99:300]))
}

func checkPositions(r *room) {
	a, b := r.stream("a"), r.stream("b")
	begin := r.put(a, "a0")
	for i := range 5 {
		r.put(b, fmt.Sprint("b", i))
		r.put(a, fmt.Sprint("a", i+1))
	}
	end := r.put(r.stream("end"), "end")
	r.same("in $all", strings.Join(r.mineBetween(placed(begin), placed(end)), " "), "b0 a1 b1 a2 b2 a3 b3 a4 b4 a5")
	for _, s := range []string{a, b} {
		for _, e := range r.mustRead(s, esdb.Forwards, esdb.Start{}, everything) {
			at := r.readAll(esdb.Forwards, e.Event.Position, 1)
			r.same("at the position of "+nameOf(e.Event), namesOf(at...), nameOf(e.Event))
			if len(at) == 1 {
				r.same("its revision there", at[0].Event.EventNumber, e.Event.EventNumber)
				r.same("its id there", at[0].Event.EventID, e.Event.EventID)
			}
		}
	}
}

func checkEdges(r *room) {
	s := r.stream("s")
	r.put(s, numbered("e", 0, 60)...)
	r.describe(s, `{"$tb":50}`)
	told := func(from uint64, count uint64) string {
		o := reading(s)
		o.ControlOption = &streamspb.ReadReq_Options_ControlOption{Compatibility: 1}
		o.GetStream().RevisionOption = &streamspb.ReadReq_Options_StreamOptions_Revision{Revision: from}
		o.CountOption = &streamspb.ReadReq_Options_Count{Count: count}
		messages, err := r.rawRead(o)
		r.must("read", err)
		var words []string
		for _, m := range messages {
			switch v := m.GetContent().(type) {
			case *streamspb.ReadResp_FirstStreamPosition:
				words = append(words, fmt.Sprint("from ", v.FirstStreamPosition))
			case *streamspb.ReadResp_LastStreamPosition:
				words = append(words, fmt.Sprint("last ", v.LastStreamPosition))
			default:
				words = append(words, fmt.Sprint(m.GetEvent().GetEvent().GetStreamRevision()))
			}
		}
		return strings.Join(words, ", ")
	}
	r.same("from the start, long hidden", told(0, 2), "from 50, 50, 51, last 59")
	r.same("from the middle", told(55, 2), "55, 56, last 59")
	r.same("after the end", told(60, 5), "last 59")
	r.same("far after the end", told(90, 5), "from 60, last 59")
}

func checkMalformedReads(r *room) {
	s := r.stream("s")
	at := r.put(s, "a")
	for what, spoil := range malformedReads(s, at.CommitPosition) {
		o := reading(s)
		spoil(o)
		messages, err := r.rawRead(o)
		switch what {
		case "no revision", "no form of ids": // versions differ in these
			r.oneOf(what, codeOf(err), "InvalidArgument", "Unknown")
		case "checkpoints after no events":
			r.check(err != nil, "%s: expected a refusal, seen none", what)
		default:
			r.same(what, codeOf(err), "InvalidArgument")
		}
		r.same(what+": messages", len(messages), 0)
	}
}

// malformedReads are ways to spoil a read of a stream, or to make one of $all
// from a position.
func malformedReads(stream string, position uint64) map[string]func(*streamspb.ReadReq_Options) {
	filtered := func(o *streamspb.ReadReq_Options, f *streamspb.ReadReq_Options_FilterOptions) {
		o.FilterOption = &streamspb.ReadReq_Options_Filter{Filter: f}
	}
	prefix := &streamspb.ReadReq_Options_FilterOptions_StreamIdentifier{
		StreamIdentifier: &streamspb.ReadReq_Options_FilterOptions_Expression{Prefix: []string{stream}},
	}
	window := &streamspb.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}}
	return map[string]func(*streamspb.ReadReq_Options){
		"no stream":           func(o *streamspb.ReadReq_Options) { o.StreamOption = nil },
		"no revision":         func(o *streamspb.ReadReq_Options) { o.GetStream().RevisionOption = nil },
		"no count":            func(o *streamspb.ReadReq_Options) { o.CountOption = nil },
		"no form of ids":      func(o *streamspb.ReadReq_Options) { o.UuidOption = nil },
		"no word on a filter": func(o *streamspb.ReadReq_Options) { o.FilterOption = nil },
		"a filter on a stream": func(o *streamspb.ReadReq_Options) {
			filtered(o, &streamspb.ReadReq_Options_FilterOptions{Filter: prefix, Window: window, CheckpointIntervalMultiplier: 1})
		},
		"a filter of nothing": func(o *streamspb.ReadReq_Options) {
			o.StreamOption = readingAll(position).StreamOption
			filtered(o, &streamspb.ReadReq_Options_FilterOptions{Window: window})
		},
		"checkpoints after no events": func(o *streamspb.ReadReq_Options) {
			o.StreamOption, o.CountOption = readingAll(position).StreamOption, subscribing
			filtered(o, &streamspb.ReadReq_Options_FilterOptions{Filter: prefix, Window: &streamspb.ReadReq_Options_FilterOptions_Max{Max: 5}})
		},
		"a subscription backwards": func(o *streamspb.ReadReq_Options) {
			o.CountOption, o.ReadDirection = subscribing, streamspb.ReadReq_Options_Backwards
		},
	}
}
