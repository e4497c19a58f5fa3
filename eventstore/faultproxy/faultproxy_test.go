package faultproxy_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(context.Background(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func connect(t *testing.T, address string, scheme string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(scheme + "://" + address + "?tls=false&maxDiscoverAttempts=1")
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func event() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "t", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
}

func write(ctx context.Context, c *esdb.Client, stream string) error {
	_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{}, event(), event())
	return err
}

// Every call goes through and is known for what it is.
func TestKindsOfCalls(t *testing.T) {
	ctx := t.Context()
	p := faultproxy.New(t, start(t).Addr())
	c := connect(t, p.Addr(), "esdb")
	if err := write(ctx, c, "s"); err != nil {
		t.Fatal(err)
	}
	read, err := c.ReadStream(ctx, "s", esdb.ReadStreamOptions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	if read, err = c.ReadAll(ctx, esdb.ReadAllOptions{}, 1); err != nil {
		t.Fatal(err)
	}
	read.Close()
	all, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	_ = all.Close()
	one, err := c.SubscribeToStream(ctx, "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	_ = one.Close()
	if err := c.CreatePersistentSubscriptionToAll(ctx, "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetPersistentSubscriptionInfoToAll(ctx, "g", esdb.GetPersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	group, err := c.SubscribeToPersistentSubscriptionToAll(ctx, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_ = group.Close()
	want := map[faultproxy.Kind]int{faultproxy.Features: 1, faultproxy.Append: 1, faultproxy.ReadStream: 1, faultproxy.ReadAll: 1,
		faultproxy.SubscribeAll: 1, "Streams/Subscribe stream": 1, faultproxy.GroupCreate: 1, faultproxy.GroupInfo: 1, faultproxy.GroupRead: 1}
	if got := p.Seen(); !maps.Equal(got, want) {
		t.Errorf("seen %v, want %v", got, want)
	}

	// The client goes where the gossip sends it: past the proxy.
	_ = write(ctx, connect(t, p.Addr(), "esdb+discover"), "s")
	if p.Seen()[faultproxy.Gossip] != 1 {
		t.Errorf("no gossip in %v", p.Seen())
	}
}

// Each harm at each point leaves an append written or not, and answered or
// not, as its name says.
func TestHarms(t *testing.T) {
	n := start(t)
	direct := connect(t, n.Addr(), "esdb")
	never := []faultproxy.Harm{faultproxy.Cut, faultproxy.Reset, faultproxy.EndRequests, faultproxy.LoseRequests, faultproxy.LoseBoth}
	for i, at := range faultproxy.Points() {
		for _, harm := range faultproxy.Harms() {
			t.Run(string(at)+", "+string(harm), func(t *testing.T) {
				p := faultproxy.New(t, n.Addr())
				c := connect(t, p.Addr(), "esdb")
				stream := uuid.NewString()
				armed := p.Arm(faultproxy.Fault{Kind: faultproxy.Append, At: at, Harm: harm, For: time.Millisecond})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- write(ctx, c, stream) }()
				<-armed.Struck()
				inTime := i < 2 // to keep the request away
				written := !inTime || !slices.Contains(never, harm)
				if inTime && harm == faultproxy.EndAnswers {
					// A client that hears the end of the answers may hang up amid its request.
					if err := <-ended; err == nil {
						t.Error("answered after the end of all answers")
					}
					return
				}
				if got := holds(t, direct, stream, written); got != written {
					t.Errorf("written %v, want %v", got, written)
				}
				answered := written && (harm == faultproxy.Delay || harm == faultproxy.LoseRequests)
				if !answered { // it would wait for ever, or the answer should not have come by now
					time.AfterFunc(20*time.Millisecond, cancel)
				}
				if err := <-ended; (err == nil) != answered && !(harm == faultproxy.EndRequests && written) {
					t.Errorf("answered %v, want %v: %v", err == nil, answered, err)
				} // hearing the end of the requests, a server may hang up before it has said it all
			})
		}
	}
}

// Latency delays every frame, and none holds up the next one.
func TestLatencyDelaysEveryFrame(t *testing.T) {
	const latency = 20 * time.Millisecond
	p := faultproxy.New(t, start(t).Addr())
	p.Latency(latency)
	c := connect(t, p.Addr(), "esdb")
	if err := write(t.Context(), c, "s"); err != nil { // it makes the connection
		t.Fatal(err)
	}
	begun := time.Now()
	if err := write(t.Context(), c, "s"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 2*latency {
		t.Errorf("an append there and back took %v", took)
	}
}

// holds tells whether a stream has events; if it should, they are waited for.
func holds(t *testing.T, c *esdb.Client, stream string, should bool) bool {
	t.Helper()
	if should {
		sub, err := c.SubscribeToStream(t.Context(), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close() }()
		for {
			switch e := sub.Recv(); {
			case e.EventAppeared != nil:
				return true
			case e.SubscriptionDropped != nil:
				t.Fatal(e.SubscriptionDropped.Error)
			}
		}
	}
	read, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	_, err = read.Recv()
	return err == nil
}

// A fault that its call did not come to waits for the next one, and one that
// was taken back waits no more.
func TestFaultsWait(t *testing.T) {
	p := faultproxy.New(t, start(t).Addr())
	c := connect(t, p.Addr(), "esdb")
	amid := p.Arm(faultproxy.Fault{Kind: faultproxy.Append, At: faultproxy.MidAnswer, Harm: faultproxy.Cut})
	p.Disarm(p.Arm(faultproxy.Fault{Kind: faultproxy.Any, At: faultproxy.BeforeRequest, Harm: faultproxy.Cut}))
	large := event()
	large.Data = make([]byte, 2<<20)
	_, err := c.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{}, large)
	if status.Code(errors.Unwrap(err)) != codes.InvalidArgument { // an answer without a message
		t.Errorf("an event that is too large: %v", err)
	}
	select {
	case <-amid.Struck():
		t.Error("struck amid an answer that has no message")
	default:
	}
	if err := write(t.Context(), c, "s"); err == nil {
		t.Error("not struck")
	}
	<-amid.Struck()
}
