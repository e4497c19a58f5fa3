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
	{Number: "7.2", Name: "where a stream is followed from", check: checkStreamStarts, OtherPrograms: onlyAll,
		Rule: "A subscription to a stream from a revision receives the events after it, from the start all, from the end only later ones. After the history it receives the message that it is caught up, at once if there is no history or no stream yet. Later events follow."},
	{Number: "7.3", Name: "where $all is followed from", check: checkAllStarts,
		Rule: "A subscription to $all from a position receives the events after it, from the end only later ones. It also receives the message that it is caught up, with and without a filter."},
	{Number: "7.4", Name: "following what is hidden", check: checkFollowHidden, OtherPrograms: onlyAll,
		Rule: "History leaves out what metadata and deletions hide. Deleting a stream does not end its subscription: later events arrive."},
	{Number: "7.5", Name: "following into a tombstone", check: checkFollowTombstone, OtherPrograms: onlyAll,
		Rule: "A subscription to a stream that is tombstoned receives the tombstone, and then ends because the stream is deleted."},
	{Number: "7.6", Name: "from history into the present", check: func(r *room) { r.checkSeam(inAll) },
		Rule: "A subscription to $all that begins while others write receives every event once and in order, wherever history ends and live events begin."},
	{Number: "7.7", Name: "a slow reader", check: func(r *room) { r.checkSlow(inAll) },
		Rule: "A subscriber who does not read for a while is not dropped, holds up nobody, and misses nothing."},
	{Number: "7.8", Name: "ending a subscription", check: func(r *room) { r.checkEnding(inAll) },
		Rule: "A subscription that is closed, or whose context ends, ends; others on the same connection go on."},
	{Number: "7.9", Name: "checkpoints", check: checkCheckpoints,
		Rule: "A filtered subscription to $all receives checkpoints, about one for each interval of events that it asked for. They only go forwards, and never past an event that is still to come. Without a filter there are none."},
	{Number: "7.10", Name: "going on", check: func(r *room) { r.checkGoingOn(inAll); r.checkGoingOnAtCheckpoint() },
		Rule: "A new subscription from the last event received, or from the last checkpoint, receives every later event once."},
	{Number: "7.11", Name: "the same for everybody", check: checkSameForAll,
		Rule: "All subscribers to $all receive the same events in the same order."},
	{Number: "7.12", Name: "events of others first", check: checkForeignFirst,
		Rule: "A subscription to $all whose filter first passes over 1,000 events receives every event that fits. The message that it is caught up comes after them."},
	{Number: "7.13", Name: "a stream truncated beyond its end", check: checkTruncatedBeyond, OtherPrograms: onlyAll,
		Rule: "A subscription to a stream whose $tb is greater than its last revision receives no history, and every event that is written afterwards."},
	{Number: "7.14", Name: "following a tombstoned stream", check: checkFollowTombstoned, OtherPrograms: onlyAll,
		Rule: "A subscription to a tombstoned stream, or to its metadata, is refused because the stream is deleted, before any confirmation."},
	{Number: "7.15", Name: "following a stream", check: checkFollowStream, OtherPrograms: onlyAll,
		Rule: "Rules 7.6, 7.7, 7.8 and 7.10 hold of a subscription to a stream too: from history into the present, read slowly, ended and resumed."},
}

// place is an event's revision in its stream and its position in $all.
type place struct {
	revision uint64
	position esdb.Position
}

func placeOf(w *esdb.WriteResult) place { return place{w.NextExpectedVersion, placed(w)} }

// way is how a case follows one stream that it writes: in $all, where nothing
// else of the case's may come after the place, or by itself.
type way func(r *room, stream string, after place) *feed

func inAll(r *room, _ string, after place) *feed { return r.mine(after.position) }

func inStream(r *room, stream string, after place) *feed {
	return r.follow(stream, esdb.SubscribeToStreamOptions{From: esdb.Revision(after.revision)})
}

func checkConfirmation(r *room) {
	begin, s := r.put(r.stream("begin"), "begin"), r.stream("s")
	r.put(s, "a")
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	o := readingAll(begin.CommitPosition)
	o.CountOption = subscribing
	o.FilterOption = &streamspb.ReadReq_Options_Filter{Filter: &streamspb.ReadReq_Options_FilterOptions{
		Filter: &streamspb.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streamspb.ReadReq_Options_FilterOptions_Expression{Prefix: []string{s}},
		},
		Window: &streamspb.ReadReq_Options_FilterOptions_Max{Max: 512}, CheckpointIntervalMultiplier: 1,
	}}
	call, err := r.Server.streams.Read(ctx, &streamspb.ReadReq{Options: o})
	r.must("subscribe", err)
	first, err := call.Recv()
	r.must("receive the first message", err)
	r.check(first.GetConfirmation().GetSubscriptionId() != "", "expected a confirmation with an id, seen %v", first)
	second, err := call.Recv()
	for err == nil && second.GetCheckpoint() != nil { // of what others write meanwhile
		second, err = call.Recv()
	}
	r.must("receive the second message", err)
	r.same("stream of the second message", string(second.GetEvent().GetEvent().GetStreamIdentifier().GetStreamName()), s)
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

// checkSeam subscribes three times while four writers are at work.
func (r *room) checkSeam(by way) {
	const writers, each, batch, readers = 4, 40, 3, 3
	s := r.stream("seam")
	begin := placeOf(r.put(s, "begin"))
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
		r.inOrder(by(r, s, begin), writers*each*batch)
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
	r.checkIntervals(told, window*multiplier)
	plain := r.followAll(esdb.SubscribeToAllOptions{From: begin})
	defer plain.close()
	plain.told = func(p esdb.Position) { r.fail("expected no checkpoints without a filter, seen %d", p.Commit) }
	plain.events(2 * others)
}

// checkIntervals sees that live checkpoints come about every so many events. Of
// two of them there may seem to be fewer: a server also counts events that $all
// does not show, which groups of $all write. So the least is one of all.
func (r *room) checkIntervals(told []esdb.Position, every int) {
	total := 0
	for i := 2; i < len(told); i++ {
		n := r.between(told[i-1], told[i])
		r.check(n <= every*2, "expected about %d events between two checkpoints, seen %d", every, n)
		total += n
	}
	r.check(2*total >= every*(len(told)-2), "expected about %d events between two checkpoints, seen %d in %d intervals", every, total, len(told)-2)
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

// checkSlow leaves a subscription unread while 3 MB are written.
func (r *room) checkSlow(by way) {
	const events, size = 60, 50_000
	s := r.stream("slow")
	begin := placeOf(r.put(s, "begin"))
	slow := by(r, s, begin)
	for range events {
		_, err := r.write(s, esdb.Any{}, esdb.EventData{
			EventID: uuid.New(), EventType: "storetest-slow", ContentType: esdb.ContentTypeBinary, Data: make([]byte, size),
		})
		r.must("append while a subscriber does not read", err)
	}
	r.inOrder(by(r, s, begin), events)
	r.inOrder(slow, events)
}

// checkEnding ends two of three subscriptions, one by its context.
func (r *room) checkEnding(by way) {
	s := r.stream("ending")
	begin := placeOf(r.put(s, "begin"))
	stays, closed := by(r, s, begin), by(r, s, begin)
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	whole := r.ctx
	r.ctx = ctx
	ended := by(r, s, begin)
	r.ctx = whole
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

// checkGoingOn ends a subscription and begins another at its last event.
func (r *room) checkGoingOn(by way) {
	const events = 30
	s := r.stream("going-on")
	begin := placeOf(r.put(s, "begin"))
	names := numbered("e", 0, events)
	for _, name := range names[:events/2] {
		r.put(s, name)
	}
	f := by(r, s, begin)
	last := f.events(10)[9].OriginalEvent()
	f.close()
	for _, name := range names[events/2:] {
		r.put(s, name)
	}
	f = by(r, s, place{last.EventNumber, last.Position})
	r.same("going on", f.take(events-10), strings.Join(names[10:], " "))
	f.close()
}

// checkGoingOnAtCheckpoint begins a subscription at another one's checkpoint.
func (r *room) checkGoingOnAtCheckpoint() {
	begin := placed(r.put(r.stream("begin"), "begin"))
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

func checkForeignFirst(r *room) {
	const foreign, batch = 1000, 100
	begin := placed(r.put(r.stream("begin"), "begin"))
	other, wanted := r.stream("other"), r.stream("wanted")
	for i := 0; i < foreign; i += batch {
		r.put(other, numbered("f", i, batch)...)
	}
	r.put(wanted, "a", "b")
	r.put(other, "between")
	r.put(wanted, "c")
	history := "a b c"
	for _, window := range []int{32, 512} { // the client's own, and the ledger's
		f := r.followAll(esdb.SubscribeToAllOptions{
			From: begin, MaxSearchWindow: window, CheckpointInterval: 1,
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{wanted}},
		})
		r.same(fmt.Sprintf("until caught up, window %d", window), f.history(), history)
		live := fmt.Sprint("live", window)
		history += " " + live
		r.put(wanted, live)
		r.same(fmt.Sprintf("afterwards, window %d", window), f.take(1), live)
		f.close()
	}
}
