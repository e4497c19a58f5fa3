package node

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func TestAppendReadSubscribe(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	sub, err := c.SubscribeToStream(timeout(t), "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	mustAppendAt(t, c, "s", esdb.NoStream{}, "a", "b")
	mustAppendAt(t, c, "s", esdb.Revision(1), "c")
	if got := readNames(t, c, "s", esdb.ReadStreamOptions{}, 10); got != "a b c" {
		t.Errorf("read %q", got)
	}
	seen := ""
	for len(seen) < 3 {
		if e := sub.Recv(); e.EventAppeared != nil {
			seen += nameOf(e.EventAppeared.Event)
		} else if e.SubscriptionDropped != nil {
			t.Fatal(e.SubscriptionDropped.Error)
		}
	}
	if seen != "abc" {
		t.Errorf("subscribed to %q", seen)
	}
}
