package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

var followCases = []Case{
	{Number: "7.1", Name: "the first message", check: checkConfirmation,
		Rule: "A subscription begins with its confirmation and its id, before any event."},
	{Number: "7.2", Name: "where a stream is followed from", check: checkStreamStarts,
		Rule: "Following a stream from a revision gives the events after it, from the start all, from the end only later ones. Once history is told it says that it is caught up, also where there is none or no stream yet; what is written then follows."},
	{Number: "7.3", Name: "where $all is followed from", check: checkAllStarts,
		Rule: "Following $all from a position gives the events after it, from the end only later ones; it says when it is caught up, with and without a filter."},
	{Number: "7.4", Name: "following what is hidden", check: checkFollowHidden,
		Rule: "History leaves out what metadata and deletions hide. Deleting a stream does not end its subscription: what is written afterwards arrives."},
	{Number: "7.5", Name: "following into a tombstone", check: checkFollowTombstone,
		Rule: "Who follows a stream that is tombstoned gets the tombstone and then the end of the subscription; later subscribers get the end at once."},
	{Number: "7.6", Name: "from history into the present", check: checkSeam,
		Rule: "Whoever subscribes while others write gets every event once and in order, in a stream and in $all, wherever history goes over into the present."},
	{Number: "7.7", Name: "a slow reader", check: checkSlow,
		Rule: "A subscriber who does not read for a while is not dropped, holds up nobody, and misses nothing."},
	{Number: "7.8", Name: "ending a subscription", check: checkEnding,
		Rule: "A subscription that is closed, or whose context ends, ends; others on the same connection go on."},
	{Number: "7.9", Name: "checkpoints", check: checkCheckpoints,
		Rule: "Who follows $all with a filter is told how far it was searched, about every so many events as were asked for. Checkpoints only go forwards, never past an event that is still to come; without a filter there are none. To be told of them after no events is refused."},
	{Number: "7.10", Name: "going on", check: checkGoingOn,
		Rule: "Who ends a subscription and begins another at the last event received, or at the last checkpoint, gets every later event once."},
	{Number: "7.11", Name: "the same for everybody", check: checkSameForAll,
		Rule: "All who follow $all get the same events in the same order."},
}

func checkConfirmation(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	o := reading(s)
	o.CountOption = &streamspb.ReadReq_Options_Subscription{Subscription: &streamspb.ReadReq_Options_SubscriptionOptions{}}
	call, err := r.Server.streams.Read(ctx, &streamspb.ReadReq{Options: o})
	r.must("subscribe", err)
	first, err := call.Recv()
	r.must("receive the first message", err)
	r.check(first.GetConfirmation().GetSubscriptionId() != "", "expected a confirmation with an id, seen %v", first)
	second, err := call.Recv()
	r.must("receive the second message", err)
	r.same("stream of the second message", string(second.GetEvent().GetEvent().GetStreamIdentifier().GetStreamName()), s)
	o.ReadDirection = streamspb.ReadReq_Options_Backwards
	_, err = r.rawRead(o)
	r.same("a subscription backwards", codeOf(err), "InvalidArgument")
}

func checkStreamStarts(r *room) {
	for _, tc := range []struct {
		what, stream, history string
		from                  esdb.StreamPosition
	}{
		{"from the start", "s1", "a b c", esdb.Start{}},
		{"after revision 0", "s2", "b c", esdb.Revision(0)},
		{"after the last", "s3", "", esdb.Revision(2)},
		{"from the end", "s4", "", esdb.End{}},
		{"a stream that is not there", "never1", "", esdb.Start{}},
		{"the end of one that is not there", "never2", "", esdb.End{}},
	} {
		s := r.stream(tc.stream)
		if !strings.HasPrefix(tc.stream, "never") {
			r.put(s, "a", "b", "c")
		}
		f := r.follow(s, esdb.SubscribeToStreamOptions{From: tc.from})
		r.same(tc.what, f.history(), tc.history)
		r.put(r.stream("bystander "+tc.stream), "bystander")
		r.put(s, "x", "y")
		r.put(s, "z")
		r.same(tc.what+", live", f.take(3), "x y z")
		f.close()
	}
}

func checkAllStarts(r *room) {
	s := r.stream("s")
	begin, a := r.put(r.stream("begin"), "begin"), r.put(s, "a")
	last := r.put(s, "b", "c")
	filter := r.mineOnly()
	feeds := map[string]*feed{}
	for what, tc := range map[string]struct {
		from    esdb.AllPosition
		filter  *esdb.SubscriptionFilter
		history string
	}{
		"after the beginning":          {placed(begin), filter, "a b c"},
		"after an event":               {placed(a), filter, "b c"},
		"after the last event":         {placed(last), filter, ""},
		"from the end":                 {esdb.End{}, filter, ""},
		"from the end, with no filter": {esdb.End{}, nil, ""},
	} {
		f := r.followAll(esdb.SubscribeToAllOptions{From: tc.from, Filter: tc.filter})
		if tc.filter != nil {
			r.same(what, f.history(), tc.history)
		}
		feeds[what] = f
	}
	r.put(s, "x", "y")
	r.put(s, "z")
	for what, f := range feeds {
		var names []string
		for len(names) < 3 {
			if e := f.events(1)[0]; r.under(e.OriginalEvent()) {
				names = append(names, namesOf(e))
			}
		}
		r.same(what+", live", strings.Join(names, " "), "x y z")
		f.close()
	}
}

func checkFollowHidden(r *room) {
	truncated, deleted := r.stream("truncated"), r.stream("deleted")
	r.put(truncated, "a", "b", "c", "d")
	r.describe(truncated, `{"$tb":1,"$maxCount":2}`)
	f := r.follow(truncated, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("a truncated stream", f.history(), "c d")
	r.put(deleted, "a")
	g := r.follow(deleted, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("before deleting", g.history(), "a")
	r.mustDelete(deleted)
	h := r.follow(deleted, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("a deleted stream", h.history(), "")
	r.put(deleted, "b")
	r.same("written again, followed before", g.take(1), "b")
	r.same("written again, followed since", h.take(1), "b")
}

func checkFollowTombstone(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	f := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("history", f.history(), "a")
	_, err := r.client.TombstoneStream(r.ctx, s, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	for _, want := range []string{"$streamDeleted", "(dropped: deleted)"} {
		word, _ := f.word()
		r.same("live", word, want)
	}
	sub, err := r.client.SubscribeToStream(r.ctx, s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		r.same("subscribing later", codeOf(err), "deleted")
		return
	}
	later := &feed{room: r, what: "subscribing later", sub: sub}
	word, _ := later.word()
	r.same("subscribing later", word, "(dropped: deleted)")
}

func checkSeam(r *room) {
	const writers, each, batch, readers = 4, 40, 3, 3
	s := r.stream("s")
	begin := r.put(s, "begin")
	var busy sync.WaitGroup
	half := make(chan struct{}, 2*writers)
	for w := range writers {
		busy.Go(func() {
			for i := range each {
				if said := r.append(s, esdb.Any{}, numbered(fmt.Sprintf("w%d-%d-", w, i), 0, batch)...); !strings.HasPrefix(said, "ok") {
					r.fail("append: %s", said)
				}
				if i == each/2 {
					half <- struct{}{}
				}
			}
			half <- struct{}{}
		})
	}
	defer busy.Wait()
	for range readers {
		select {
		case <-half:
		case <-r.ctx.Done():
			r.stop("the case's time was over while writing")
		}
		r.inOrder(r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Revision(0)}), writers*each*batch)
		r.inOrder(r.mine(placed(begin)), writers*each*batch)
	}
}

// inOrder receives so many events of one stream from revision 1 on, and ends
// the case where one is missing or doubled.
func (r *room) inOrder(f *feed, n int) {
	defer f.close()
	position := uint64(0)
	for i := range n {
		e := f.events(1)[0].OriginalEvent()
		if e.EventNumber != uint64(i+1) || e.Position.Commit <= position {
			r.stop("%s: expected revision %d after position %d, seen revision %d at %d", f.what, i+1, position, e.EventNumber, e.Position.Commit)
		}
		position = e.Position.Commit
	}
}

func checkSlow(r *room) {
	const events, size = 60, 50_000
	s := r.stream("s")
	begin := r.put(s, "begin")
	slow := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	slowAll := r.mine(placed(begin))
	for range events {
		_, err := r.write(s, esdb.Any{}, esdb.EventData{
			EventID: uuid.New(), EventType: "storetest-slow", ContentType: esdb.ContentTypeBinary, Data: make([]byte, size),
		})
		r.must("append while a subscriber does not read", err)
	}
	r.inOrder(r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Revision(0)}), events)
	r.same("the slow one's first event", slow.take(1), "begin")
	r.inOrder(slow, events)
	r.inOrder(slowAll, events)
}

func checkEnding(r *room) {
	s := r.stream("s")
	stays := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	closed := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	sub, err := r.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{})
	r.must("subscribe", err)
	ended := &feed{room: r, what: "whose context ended", sub: sub}
	stays.caughtUp()
	closed.caughtUp()
	closed.close()
	cancel()
	for what, f := range map[string]*feed{"closed": closed, "context ended": ended} {
		for {
			word, event := f.word()
			if event == nil && word != "(caught up)" {
				r.check(strings.HasPrefix(word, "(dropped"), "%s: expected its end, seen %s", what, word)
				break
			}
		}
	}
	r.put(s, "a")
	r.same("the other", stays.take(1), "a")
}

func checkCheckpoints(r *room) {
	const window, multiplier, others = 5, 2, 60
	wanted, other := r.stream("wanted"), r.stream("other")
	begin := placed(r.put(r.stream("begin"), "begin"))
	r.put(other, numbered("h", 0, others)...)
	r.put(wanted, "w0")
	f := r.followAll(esdb.SubscribeToAllOptions{
		From: begin, MaxSearchWindow: window, CheckpointInterval: multiplier,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{wanted}},
	})
	defer f.close()
	var told []esdb.Position
	last := begin
	f.told = func(p esdb.Position) {
		r.check(p.Commit > last.Commit, "expected a checkpoint after %d, seen %d", last.Commit, p.Commit)
		told, last = append(told, p), p
	}
	r.same("history", f.history(), "w0")
	r.check(len(told) > 0, "expected checkpoints in a history of %d events, seen none", others)
	told = nil
	for i := range others {
		r.put(other, fmt.Sprint("l", i))
	}
	r.put(wanted, "w1")
	e := f.events(1)[0].OriginalEvent()
	r.same("live", nameOf(e), "w1")
	r.check(last.Commit < e.Position.Commit, "a checkpoint at %d went past the event at %d, which came after it", last.Commit, e.Position.Commit)
	r.check(len(told) >= 2, "expected a checkpoint about every %d of %d live events, seen %d", window*multiplier, others, len(told))
	for i := 2; i < len(told); i++ {
		n := r.between(told[i-1], told[i])
		r.check(n >= window*multiplier/2 && n <= window*multiplier*2, "expected about %d events between two checkpoints, seen %d", window*multiplier, n)
	}
	o := readingAll(begin.Commit)
	o.CountOption = &streamspb.ReadReq_Options_Subscription{Subscription: &streamspb.ReadReq_Options_SubscriptionOptions{}}
	o.FilterOption = &streamspb.ReadReq_Options_Filter{Filter: &streamspb.ReadReq_Options_FilterOptions{
		Filter: &streamspb.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streamspb.ReadReq_Options_FilterOptions_Expression{Prefix: []string{wanted}},
		},
		Window: &streamspb.ReadReq_Options_FilterOptions_Max{Max: window},
	}}
	call, err := r.Server.streams.Read(r.ctx, &streamspb.ReadReq{Options: o})
	r.must("subscribe", err)
	first, err := call.Recv()
	r.check(err != nil, "checkpoints after no events: expected a refusal, seen %v", first)
	plain := r.followAll(esdb.SubscribeToAllOptions{From: begin})
	defer plain.close()
	plain.told = func(p esdb.Position) { r.fail("expected no checkpoints without a filter, seen %d", p.Commit) }
	plain.events(2 * others)
}

// between counts the events of $all after one position up to another.
func (r *room) between(a, b esdb.Position) (n int) {
	for _, e := range r.readAll(esdb.Forwards, a, 100) {
		if at := e.OriginalEvent().Position; at.Commit > a.Commit && at.Commit <= b.Commit {
			n++
		}
	}
	return n
}

func checkGoingOn(r *room) {
	const events = 30
	s := r.stream("s")
	begin := placed(r.put(s, "begin"))
	names := numbered("e", 0, events)
	for _, name := range names[:events/2] {
		r.put(s, name)
	}
	stream, all := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Revision(0)}), r.mine(begin)
	first, firstAll := stream.events(10), all.events(10)
	stream.close()
	all.close()
	for _, name := range names[events/2:] {
		r.put(s, name)
	}
	stream = r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Revision(first[9].Event.EventNumber)})
	all = r.mine(firstAll[9].Event.Position)
	rest := strings.Join(names[10:], " ")
	r.same("the stream, going on", stream.take(events-10), rest)
	r.same("$all, going on", all.take(events-10), rest)
	stream.close()
	all.close()

	begin = placed(r.put(r.stream("begin"), "begin"))
	for i := range 20 {
		r.put(r.stream(fmt.Sprint("other", i)), "o")
	}
	searched := esdb.SubscribeToAllOptions{From: begin, MaxSearchWindow: 4, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{r.prefix + "later"}}}
	quiet := r.followAll(searched)
	quiet.told = func(p esdb.Position) { searched.From = p }
	quiet.caughtUp()
	quiet.close()
	r.check(searched.From != esdb.AllPosition(begin), "expected a checkpoint, seen none")
	r.put(r.stream("later"), "x", "y")
	r.same("going on at a checkpoint", r.followAll(searched).history(), "x y")
}

func checkSameForAll(r *room) {
	const followers, writers, each = 4, 3, 30
	begin := placed(r.put(r.stream("begin"), "begin"))
	feeds := make([]*feed, followers)
	for i := range feeds {
		feeds[i] = r.mine(begin)
	}
	var writing sync.WaitGroup
	for w := range writers {
		s := r.stream(fmt.Sprint("s", w))
		writing.Go(func() {
			for i := range each {
				if said := r.append(s, esdb.Any{}, fmt.Sprintf("w%d-%d", w, i)); !strings.HasPrefix(said, "ok") {
					r.fail("append: %s", said)
				}
			}
		})
	}
	writing.Wait()
	first := feeds[0].take(writers * each)
	for i, f := range feeds[1:] {
		r.same(fmt.Sprintf("follower %d", i+2), f.take(writers*each), first)
	}
	end := r.put(r.stream("end"), "end")
	r.same("read at the end", strings.Join(r.mineBetween(begin, placed(end)), " "), first)
}
