package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// searched writes events of which every fifth is wanted, and gives their
// positions.
func searched(t *testing.T, c *esdb.Client, from, n int) (positions map[string]uint64) {
	t.Helper()
	positions = map[string]uint64{}
	for i := from; i < from+n; i++ {
		stream := "other"
		if i%5 == 0 {
			stream = "wanted"
		}
		name := fmt.Sprintf("e%d", i)
		positions[name] = mustAppend(t, c, stream, name).CommitPosition
	}
	return positions
}

// onlyWanted follows the wanted events of searched.
func onlyWanted(from esdb.AllPosition, window, interval int) esdb.SubscribeToAllOptions {
	return esdb.SubscribeToAllOptions{
		From: from, MaxSearchWindow: window, CheckpointInterval: interval,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"wanted"}},
	}
}

// expectMarks receives messages. In want, before:e7 is the checkpoint before
// the event e7, and at:e7 the one with the event's own position.
func expectMarks(t *testing.T, sub *esdb.Subscription, positions map[string]uint64, want string) {
	t.Helper()
	for i, w := range strings.Fields(want) {
		kind, name, checkpoint := strings.Cut(w, ":")
		if p := positions[name]; checkpoint && kind == "before" {
			w = fmt.Sprintf("checkpoint %d/0", p)
		} else if checkpoint {
			w = fmt.Sprintf("checkpoint %d/%d", p, p)
		}
		if got := next(sub); got != w {
			t.Fatalf("message %d is %q, want %q of %q", i, got, w, want)
		}
	}
}

// TestCheckpointsOfHistoryStandWherePageBegan reads pages of three events, and
// live events with a checkpoint for every six.
func TestCheckpointsOfHistoryStandWherePageBegan(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	positions := searched(t, c, 0, 23)
	sub := subscribeAll(t, c, onlyWanted(esdb.Start{}, 3, 2))
	// The pages are 0-2, 3-5, 6-8, 9-11, 12-14, 15-17, 18-20 and 21-22; each
	// second one ends with a checkpoint.
	expectMarks(t, sub, positions, "e0 e5 at:e5 e10 at:e10 e15 at:e15 e20 before:e21 caught-up")
	for name, p := range searched(t, c, 23, 20) {
		positions[name] = p
	}
	expectMarks(t, sub, positions, "e25 at:e28 e30 at:e34 e35 e40 at:e40")
}

// TestCheckpointsOfUnwantedHistoryBeginAtZero passes over less than a page of
// four events, a page, and more.
func TestCheckpointsOfUnwantedHistoryBeginAtZero(t *testing.T) {
	for _, tc := range []struct {
		events int
		want   string
	}{
		{0, "before:zero caught-up"},
		{1, "before:zero caught-up"},
		{4, "before:zero before:end caught-up"},
		{6, "before:zero before:e4 caught-up"},
		{13, "before:zero before:e4 before:e8 before:e12 caught-up"},
	} {
		n := openNode(t, Options{})
		c := connect(t, n)
		positions := map[string]uint64{"zero": 0}
		for _, name := range numbered("e", 0, tc.events) {
			positions[name] = mustAppend(t, c, "other", name).CommitPosition
		}
		positions["end"], _ = n.tail.get()
		expectMarks(t, subscribeAll(t, c, onlyWanted(esdb.Start{}, 4, 1)), positions, tc.want)
	}
}

// TestCheckpointForEachLiveEventWithWindowOne subscribes where nothing comes
// after, so that there is no checkpoint before the first live event.
func TestCheckpointForEachLiveEventWithWindowOne(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	positions := searched(t, c, 0, 7)
	starts := []esdb.AllPosition{
		esdb.End{}, esdb.Position{Commit: positions["e6"], Prepare: positions["e6"]},
	}
	var subs []*esdb.Subscription
	for _, from := range starts {
		sub := subscribeAll(t, c, onlyWanted(from, 1, 1))
		expect(t, sub, "caught-up")
		subs = append(subs, sub)
	}
	for name, p := range searched(t, c, 7, 5) {
		positions[name] = p
	}
	for _, sub := range subs {
		expectMarks(t, sub, positions, "at:e7 at:e8 at:e9 e10 at:e10 at:e11")
	}
}

// TestSubscriptionResumesAtCheckpoint begins at an event's own position, which
// passes over the event, and at the place before it, which does not.
func TestSubscriptionResumesAtCheckpoint(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	positions := searched(t, c, 0, 7)
	positions["end"], _ = n.tail.get()
	p := positions["e5"]
	var subs []*esdb.Subscription
	for _, tc := range []struct {
		from     esdb.Position
		filtered string
		all      string
	}{
		{esdb.Position{Commit: p, Prepare: p}, "at:e5 caught-up", "e6 caught-up"},
		{esdb.Position{Commit: p}, "e5 at:e5 caught-up", "e5 e6 caught-up"},
		{esdb.Position{Commit: positions["end"]}, "caught-up", "caught-up"},
	} {
		filtered := subscribeAll(t, c, onlyWanted(tc.from, 4, 1))
		expectMarks(t, filtered, positions, tc.filtered)
		all := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: tc.from})
		expect(t, all, tc.all)
		subs = append(subs, filtered, all)
	}
	mustAppend(t, c, "wanted", "live")
	for _, sub := range subs {
		expect(t, sub, "live")
	}
}

// TestCheckpointsEveryWantedPage ends a page of history with 32 wanted events,
// however large the window is.
func TestCheckpointsEveryWantedPage(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	names := numbered("e", 0, 70)
	positions := map[string]uint64{}
	for _, name := range names {
		positions[name] = mustAppend(t, c, "wanted", name).CommitPosition
	}
	sub := subscribeAll(t, c, onlyWanted(esdb.Start{}, 48, 1))
	expectMarks(t, sub, positions, strings.Join(names[:64], " ")+" at:e63 "+strings.Join(names[64:], " ")+" at:e69 caught-up")
}
