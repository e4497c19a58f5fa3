package storetest

import (
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

var linkCases = []Case{
	{Number: "5.1", Name: "links followed", check: checkLinks, OtherPrograms: noLinks,
		Rule: "A read that resolves links returns each link with the event that it points at; any other read returns the link alone. Revisions and counts are those of the links."},
	{Number: "5.2", Name: "broken links", check: checkBroken, OtherPrograms: noLinks,
		Rule: "A link whose event is gone, hidden or never existed is returned alone, and the read goes on. Any other event is returned as it is."},
	{Number: "5.3", Name: "links into odd streams", check: checkOddLinks, OtherPrograms: noLinks,
		Rule: "The stream of a link is the text after the first @, whatever that name has in it."},
	{Number: "5.4", Name: "links in $all and subscriptions", check: checkLinksElsewhere, OtherPrograms: noLinks,
		Rule: "Links are followed in reads of $all and in subscriptions as in a stream, in history and live."},
}

// link writes a link into a stream.
func (r *room) link(stream, target string) *esdb.WriteResult {
	result, err := r.write(stream, esdb.Any{}, esdb.EventData{
		EventID: uuid.New(), EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(target),
	})
	r.must("append a link", err)
	return result
}

func (r *room) resolved(stream string, direction esdb.Direction, from esdb.StreamPosition, count uint64) string {
	events, err := r.readWith(stream, esdb.ReadStreamOptions{Direction: direction, From: from, ResolveLinkTos: true}, count)
	if err != nil {
		return codeOf(err)
	}
	return namesOf(events...)
}

func checkLinks(r *room) {
	s, links := r.stream("s"), r.stream("links")
	r.put(s, "a", "b")
	r.link(links, "1@"+s)
	r.put(links, "own")
	r.link(links, "0@"+s)
	r.same("forwards", r.resolved(links, esdb.Forwards, esdb.Start{}, everything), "$>>b own $>>a")
	r.same("backwards", r.resolved(links, esdb.Backwards, esdb.End{}, everything), "$>>a own $>>b")
	r.same("the second", r.resolved(links, esdb.Forwards, esdb.Revision(1), 1), "own")
	r.same("not asked for", r.whole(links), "$> own $>")
	events, err := r.readWith(links, esdb.ReadStreamOptions{ResolveLinkTos: true}, 1)
	r.must("read", err)
	if len(events) == 1 && events[0].Link != nil && events[0].Event != nil {
		r.same("the link's place", fmt.Sprint(events[0].Link.EventNumber, "@", events[0].Link.StreamID), fmt.Sprint(0, "@", links))
		r.same("the event's place", fmt.Sprint(events[0].Event.EventNumber, "@", events[0].Event.StreamID), fmt.Sprint(1, "@", s))
	}
}

func checkBroken(r *room) {
	s, truncated, deleted, gone := r.stream("s"), r.stream("truncated"), r.stream("deleted"), r.stream("gone")
	for _, stream := range []string{s, truncated, deleted, gone} {
		r.put(stream, "a", "b")
	}
	r.describe(truncated, `{"$tb":1}`)
	r.mustDelete(deleted)
	_, err := r.client.TombstoneStream(r.ctx, gone, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	for what, target := range map[string]string{
		"a revision that is not there": "7@" + s, "a stream that is not there": "0@" + r.stream("never"),
		"a hidden event": "0@" + truncated, "a deleted stream": "0@" + deleted, "a tombstoned stream": "0@" + gone,
	} {
		links := r.stream("to " + what)
		r.link(links, target)
		r.put(links, "next")
		r.same("to "+what, r.resolved(links, esdb.Forwards, esdb.Start{}, everything), "$>>- next")
	}
	malformed := r.stream("malformed")
	r.link(malformed, "no link")
	r.put(malformed, "next")
	r.same("no link at all", r.resolved(malformed, esdb.Forwards, esdb.Start{}, everything), "$> next")
}

func checkOddLinks(r *room) {
	links := r.stream("links")
	want := ""
	for i, name := range []string{"with@sign", "@", "with space", "ü漢字", "0@0"} {
		s := r.stream(name)
		event := fmt.Sprint("e", i)
		r.put(s, event)
		r.link(links, "0@"+s)
		want += " $>>" + event
	}
	r.same("followed", r.resolved(links, esdb.Forwards, esdb.Start{}, everything), want[1:])
}

func checkLinksElsewhere(r *room) {
	s, links := r.stream("s"), r.stream("links")
	before := placed(r.put(s, "a", "b"))
	at := r.link(links, "0@"+s)
	read, err := r.client.ReadAll(r.ctx, esdb.ReadAllOptions{From: placed(at), ResolveLinkTos: true}, 1)
	r.must("read $all", err)
	events, err := drain(read)
	r.must("read $all", err)
	r.same("in $all", namesOf(events...), "$>>a")
	stream := r.follow(links, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
	all := r.followAll(esdb.SubscribeToAllOptions{From: before, ResolveLinkTos: true, Filter: &esdb.SubscriptionFilter{
		Type: esdb.StreamFilterType, Prefixes: []string{links},
	}})
	for _, f := range []*feed{stream, all} {
		r.same(f.what+", in history", f.take(1), "$>>a")
		f.caughtUp()
	}
	r.link(links, "1@"+s)
	r.link(links, "9@"+s)
	for _, f := range []*feed{stream, all} {
		r.same(f.what+", live", f.take(2), "$>>b $>>-")
	}
}
