package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

const nobody = -1

// cluster is three servers that keep one log, which is a node's: whoever leads
// serves it, and the others say who that is. A real cluster differs in that
// what was not acknowledged may be gone after a change of leader.
type cluster struct {
	log     streams.StreamsClient
	direct  *eventstore.Store
	members []*member
	// behind gives what a server adds behind a message of a read. Nil: nothing.
	// It is set before anybody connects.
	behind func(*streams.ReadResp) []*streams.ReadResp

	mu      sync.Mutex
	unready bool       // guarded by mu; the leader answers reads and refuses appends
	mute    int        // guarded by mu; how many more subscriptions are not answered
	faulty  []string   // guarded by mu; requests that a real server may never answer
	heard   *sync.Cond // of all that is counted here
	leader  int        // guarded by mu; nobody while it is being elected
	named   int        // guarded by mu; who the gossip says leads, which may be old
	next    int        // guarded by mu; who leads once the next append was written, which is then not answered; nobody: none
	asked   int        // guarded by mu; gossip so far
	turned  int        // guarded by mu; requests sent away by those who do not lead
	stale   int        // guarded by mu; requests that such would have answered
}

// member is one server, behind a proxy by which it can be made to go away.
type member struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
	*faultproxy.Proxy
	cluster *cluster
	n       int
}

// gossiping keeps the two methods apart that are named Read.
type gossiping struct {
	gossip.UnimplementedGossipServer
	*cluster
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	n := start(t)
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &cluster{log: streams.NewStreamsClient(conn), direct: connect(t, n.Addr()), next: nobody}
	c.heard = sync.NewCond(&c.mu)
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &member{cluster: c, n: i, Proxy: faultproxy.New(t, l.Addr().String())}
		g := grpc.NewServer()
		streams.RegisterStreamsServer(g, m)
		gossip.RegisterGossipServer(g, gossiping{cluster: c})
		serverfeatures.RegisterServerFeaturesServer(g, m)
		go func() { _ = g.Serve(l) }()
		t.Cleanup(g.Stop)
		c.members = append(c.members, m)
	}
	return c
}

// seeds is a connection string that names some members.
func (c *cluster) seeds(members ...int) func(*eventstore.Config) {
	var addresses []string
	for _, n := range members {
		addresses = append(addresses, c.members[n].Addr())
	}
	return func(cfg *eventstore.Config) {
		cfg.ConnectionString = "esdb://" + strings.Join(addresses, ",") + "?tls=false&discoveryInterval=10&gossipTimeout=2"
	}
}

func (c *cluster) lead(n int) { c.set(n, n) }

func (c *cluster) set(leader, named int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader, c.named = leader, named
}

// awaitCount waits until a counter has grown by so much.
func (c *cluster) awaitCount(counter *int, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := *counter + more; *counter < want; {
		c.heard.Wait()
	}
}

func (c *cluster) count(counter *int) {
	*counter++
	c.heard.Broadcast()
}

func (m *member) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.0"}, nil
}

func (c gossiping) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(&c.asked)
	info := &gossip.ClusterInfo{}
	for i, m := range c.members {
		host, port, _ := net.SplitHostPort(m.Addr())
		number, _ := strconv.Atoi(port)
		state := gossip.MemberInfo_Follower
		switch c.named {
		case i:
			state = gossip.MemberInfo_Leader
		case nobody:
			state = gossip.MemberInfo_Unknown
		}
		info.Members = append(info.Members, &gossip.MemberInfo{State: state, IsAlive: true,
			HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)}})
	}
	return info, nil
}

// leads sends a request that needs the leader on to it.
func (m *member) leads(s grpc.ServerStream) error {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == m.n {
		return nil
	}
	if v := metadata.ValueFromIncomingContext(s.Context(), "requires-leader"); len(v) != 1 || v[0] != "true" {
		c.count(&c.stale)
	}
	c.count(&c.turned)
	if c.leader == nobody {
		return status.Error(codes.Unknown, "No leader info available in response")
	}
	host, port, _ := net.SplitHostPort(c.members[c.leader].Addr())
	s.SetTrailer(metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
	return status.Error(codes.NotFound, "Leader info available")
}

func (m *member) Append(in streams.Streams_AppendServer) error {
	if err := m.leads(in); err != nil {
		return err
	}
	if m.cluster.isUnready() {
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	}
	out, err := m.cluster.log.Append(in.Context())
	if err != nil {
		return err
	}
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if o := part.GetOptions(); o != nil && !namesRevision(o) {
			m.cluster.fault("an append that names no revision")
		}
		if err == nil {
			err = out.Send(part)
		}
		if err != nil {
			return err
		}
	}
	answer, err := out.CloseAndRecv()
	if err != nil {
		return err
	}
	if m.cluster.moves() {
		return status.Error(codes.Aborted, "Operation timed out")
	}
	return in.SendAndClose(answer)
}

// isUnready reports whether the leader is not ready yet.
func (c *cluster) isUnready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unready
}

func (c *cluster) setUnready(unready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unready = unready
}

// moves hands the lead on when it was to go right after an append.
func (c *cluster) moves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nobody {
		return false
	}
	c.leader, c.named, c.next = c.next, c.next, nobody
	return true
}

func (m *member) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	if err := m.leads(out); err != nil {
		return err
	}
	if o := req.GetOptions(); o.GetSubscription() != nil && m.cluster.muted() {
		<-out.Context().Done()
		return out.Context().Err()
	} else if o.GetSubscription() == nil && o.GetCount() == 0 {
		m.cluster.fault("a read of 0 events")
	}
	in, err := m.cluster.log.Read(out.Context(), req)
	if err != nil {
		return err
	}
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = out.Send(part)
		}
		if err == nil && m.cluster.behind != nil {
			for _, more := range m.cluster.behind(part) {
				err = errors.Join(err, out.Send(more))
			}
		}
		if err != nil {
			return err
		}
	}
}

// namesRevision reports whether an append expects a revision, or no stream.
func namesRevision(o *streams.AppendReq_Options) bool {
	switch o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision, *streams.AppendReq_Options_NoStream:
		return true
	}
	return false
}

func (c *cluster) fault(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faulty = append(c.faulty, what)
}

// muted reports whether a subscription gets no answer.
func (c *cluster) muted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute--
	return c.mute >= 0
}

// wellLed fails the test if somebody asked for an answer of a server that does
// not lead, for it may be an old one, or asked for something that real servers
// never answer.
func (c *cluster) wellLed(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale > 0 {
		t.Errorf("%d requests would have been answered by a server that does not lead", c.stale)
	}
	if len(c.faulty) > 0 {
		t.Errorf("a real server may never answer: %v", c.faulty)
	}
}

func (c *cluster) wantLog(t *testing.T, want ...uuid.UUID) {
	t.Helper()
	if got := ids(collect(t, c.direct.ReadAll(t.Context(), 0))); !slices.Equal(got, want) {
		t.Errorf("the log holds %v, want %v", got, want)
	}
	c.wellLed(t)
}

func TestSeedsOfWhichSomeAreDead(t *testing.T) {
	c := newCluster(t)
	c.lead(2)
	c.members[0].Down()
	c.members[1].Down()
	s := connect(t, "", c.seeds(0, 1, 2))
	batch := proposed(1)
	if _, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), batch); err != nil {
		t.Fatal(err)
	}
	c.wantLog(t, batch[0].ID)
}

// The leader dies, the others go on naming it for a while, and then another
// leads.
func TestALeaderThatDies(t *testing.T) {
	c := newCluster(t)
	c.lead(0)
	s := connect(t, "", c.seeds(0, 1, 2))
	first, batch := proposed(1), proposed(2)
	if _, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), first); err != nil {
		t.Fatal(err)
	}
	c.set(nobody, 0)
	c.members[0].Down()
	under := broken{store: s}.begin(t.Context(), "permit-1", eventstore.At(0), batch)
	c.awaitCount(&c.asked, 10)
	c.set(nobody, nobody)
	c.awaitCount(&c.asked, 10)
	c.lead(1)
	if got := <-under; got.err != nil || got.done.Revision != 2 {
		t.Errorf("%+v", got)
	}
	c.wantLog(t, first[0].ID, batch[0].ID, batch[1].ID)
}

// A leader that loses the lead has written what it no longer answers, and is
// still there. The same batch is sent to the next one, which knows it.
func TestALeaderThatStepsDown(t *testing.T) {
	for name, members := range map[string][]int{"by seeds": {0, 1, 2}, "by one address": {0}} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.lead(0)
			s := connect(t, "", c.seeds(members...))
			var want []uuid.UUID
			expected := eventstore.NoStream()
			for _, next := range []int{1, 2, 1, 0} {
				c.mu.Lock()
				c.next = next
				c.mu.Unlock()
				batch := proposed(2)
				done, err := s.Append(t.Context(), "permit-1", expected, batch)
				if err != nil {
					t.Fatal(err)
				}
				expected = eventstore.At(done.Revision)
				want = append(want, batch[0].ID, batch[1].ID)
				if got := ids(collect(t, s.Read(t.Context(), "permit-1", 0))); !slices.Equal(got, want) {
					t.Errorf("read %v, want %v", got, want)
				}
			}
			c.wantLog(t, want...)
		})
	}
}

// Who names one server that does not lead comes to the one that does, with
// every kind of call, also while nobody leads yet.
func TestAServerThatDoesNotLead(t *testing.T) {
	c := newCluster(t)
	c.lead(2)
	direct := proposed(1)
	if _, err := c.direct.Append(t.Context(), "permit-0", eventstore.NoStream(), direct); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(*eventstore.Store) error{
		"head": func(s *eventstore.Store) error { _, err := s.Head(t.Context()); return err },
		"read": func(s *eventstore.Store) error {
			for _, err := range s.Read(t.Context(), "permit-0", 0) {
				return err
			}
			return errors.New("nothing")
		},
		"read all": func(s *eventstore.Store) error {
			for _, err := range s.ReadAll(t.Context(), 0) {
				return err
			}
			return errors.New("nothing")
		},
		"subscribe": func(s *eventstore.Store) error {
			err := s.Subscribe(t.Context(), 0, funcs{event: func(eventstore.Recorded) error { return errEnough }})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		},
		"append": func(s *eventstore.Store) error {
			_, err := s.Append(t.Context(), "permit-"+uuid.NewString(), eventstore.NoStream(), proposed(1))
			return err
		},
	}
	for name, call := range calls {
		s := connect(t, "", c.seeds(0))
		for _, leader := range []int{2, 1, 0, nobody} {
			if leader != nobody {
				c.lead(leader)
			} else {
				c.set(nobody, nobody)
				go func() {
					c.awaitCount(&c.turned, 5)
					c.lead(1)
				}()
			}
			if err := call(s); err != nil {
				t.Errorf("%s, with %d to lead: %v", name, leader, err)
			}
		}
		c.lead(2)
	}
	c.wellLed(t)
}

// Leaders come and go while somebody writes and somebody follows: what was
// acknowledged is there, once and in order, and is seen once. There is one
// writer, because a client that is sent to another leader closes its connection
// under whoever is sending, and reads what gRPC writes meanwhile: a race that is
// the client's own, and does no more harm than a lost answer.
//
// Leaders that step down and leaders that die are kept apart: a client that is
// sent to a leader which dies at that moment never closes that connection.
func TestLeadersComeAndGo(t *testing.T) {
	for name, ways := range map[string][]way{"they step down": {stepsDown, stepsDownUnheard}, "they die": {dies, diesUnnoticed, isCutOff}} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) { leadersComeAndGo(t, rand.New(rand.NewPCG(seed, 1)), ways) })
		}
	}
}

// way is a way in which a leader goes.
type way func(c *cluster, old, next int)

func stepsDown(c *cluster, _, next int) { c.lead(next) }

// stepsDownUnheard has it write once more before, and not say so.
func stepsDownUnheard(c *cluster, _, next int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = next
}

// dies leaves the others without a leader for a while.
func dies(c *cluster, old, next int) {
	c.set(nobody, nobody)
	c.members[old].Do(faultproxy.Reset)
	c.awaitCount(&c.asked, 2)
	c.lead(next)
}

// diesUnnoticed has the others name it for a while yet.
func diesUnnoticed(c *cluster, old, next int) {
	c.set(nobody, old)
	c.members[old].Down()
	c.awaitCount(&c.asked, 2)
	c.lead(next)
	c.members[old].Up()
}

func isCutOff(c *cluster, old, _ int) { c.members[old].Do(faultproxy.Cut) }

func leadersComeAndGo(t *testing.T, random *rand.Rand, ways []way) {
	const streams, changes = 4, 40
	c := newCluster(t)
	c.lead(0)
	s := connect(t, "", c.seeds(0, 1, 2))
	seen := map[uuid.UUID]int{}
	last := make(chan uuid.UUID, 1)
	var followed sync.WaitGroup
	followed.Go(func() {
		var until uuid.UUID
		_ = s.Subscribe(t.Context(), 0, funcs{event: func(r eventstore.Recorded) error {
			seen[r.ID]++
			select {
			case until = <-last:
			default:
			}
			if until != uuid.Nil && seen[until] > 0 {
				return errEnough
			}
			return nil
		}})
	})
	acknowledged := make([][]uuid.UUID, streams)
	write := func(n int) uuid.UUID {
		batch := proposed(1)
		if _, err := s.Append(t.Context(), fmt.Sprintf("permit-%d", n), eventstore.After(int64(len(acknowledged[n]))-1), batch); err != nil {
			t.Fatal(err)
		}
		acknowledged[n] = append(acknowledged[n], batch[0].ID)
		return batch[0].ID
	}
	for range changes {
		c.mu.Lock()
		old := c.leader
		c.mu.Unlock()
		changed := make(chan struct{})
		way, next := pick(random, ways...), (old+1+random.IntN(2))%3
		go func() {
			defer close(changed)
			way(c, old, next)
		}()
		for waiting := true; waiting; {
			write(random.IntN(streams))
			select {
			case <-changed:
				waiting = false
			default:
			}
		}
	}
	last <- write(0)
	write(1) // one more, in case the last had come before it was known as that
	followed.Wait()
	for n := range streams {
		got := ids(collect(t, c.direct.Read(t.Context(), fmt.Sprintf("permit-%d", n), 0)))
		if !slices.Equal(got, acknowledged[n]) {
			t.Errorf("stream %d: %d acknowledged, %d in the log", n, len(acknowledged[n]), len(got))
		}
		for i, id := range got {
			if last := n == 1 && i == len(got)-1; seen[id] != 1 && !last {
				t.Errorf("an event was seen %d times", seen[id])
			}
		}
	}
	c.wellLed(t)
}

func TestDiscoveryTakesSeveralHostsAsSeeds(t *testing.T) {
	c := newCluster(t)
	c.lead(2)
	s := connect(t, "", c.seeds(0, 1), func(cfg *eventstore.Config) {
		cfg.ConnectionString = strings.Replace(cfg.ConnectionString, "esdb://", "esdb+discover://", 1)
		cfg.Wait, cfg.Bound = 3*time.Second, 3*time.Second
	})
	done := appendOne(t, s, "permit-1", eventstore.NoStream())
	if done.Revision != 0 {
		t.Errorf("appended at %d", done.Revision)
	}
	c.wellLed(t)
}

func TestConnectionStringWithoutHostIsRefused(t *testing.T) {
	for _, raw := range []string{
		"esdb://:2113?tls=false", "esdb://leo:secret@:2113", "esdb+discover://?tls=true", "esdb+discover://:2113",
		"esdb://a,:2113", "esdb+discover://a.example,", "esdb://", "esdb+discover:///",
	} {
		_, connected := eventstore.Connect(eventstore.Config{ConnectionString: raw})
		_, read := eventstore.WithCredentials(raw, "")
		for _, err := range []error{connected, read} {
			if err == nil || !strings.Contains(err.Error(), "host") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", raw, err)
			}
		}
	}
}

func TestCredentialsWithoutTLSAreRefusedBeyondLoopback(t *testing.T) {
	path := file(t, "credentials", []byte("leo:secret"))
	for hosts, want := range map[string]bool{
		"127.0.0.1:2113": true, "localhost": true, "127.0.0.1:1,localhost:2": true,
		"store.example": false, "10.0.0.7:2113": false, "localhost,store.example": false,
	} {
		for _, scheme := range []string{"esdb", "esdb+discover"} {
			log := &lines{}
			s, err := eventstore.Connect(eventstore.Config{ConnectionString: scheme + "://leo:secret@" + hosts + "?tls=false", Logger: log.logger()})
			if (err == nil) != want || want && log.count("are not sent") != 1 {
				t.Errorf("%s: %v, logged %q", hosts, err, log.text.String())
			}
			if err == nil {
				_ = s.Close()
			}
			if _, err := eventstore.WithCredentials(scheme+"://"+hosts+"?tls=false", path); (err == nil) != want {
				t.Errorf("%s, from a file: %v", hosts, err)
			}
		}
	}
}

func TestConnectionStringsOfClusters(t *testing.T) {
	for _, raw := range []string{
		"esdb+discover://cluster.example",
		"esdb+discover://leo:se%2Ccret@a.example:2113,b.example?tls=true",
		"esdb+discover://leo:secret%2Fword@cluster.example:2113?tls=true&nodePreference=follower",
		"esdb://a.example:2113,b.example:2113,c.example?tls=true&gossipTimeout=1&discoveryInterval=50",
		"esdb://leo:secret@a.example,b.example:2114,c.example:2115",
	} {
		s, err := eventstore.Connect(eventstore.Config{ConnectionString: raw})
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
