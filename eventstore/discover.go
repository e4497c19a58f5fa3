package eventstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Connection is whether the log can be reached, as far as is known.
type Connection struct {
	// Up says that the leader has answered, and no call has found since that
	// the connection is of no more use or that the server refuses a right. After
	// an outage a call has to be answered: that a session was made is not enough.
	Up bool
	// Since is since when it is so. It is zero before the first call.
	Since time.Time
	// Reason is why the log is away: the last complaint of the client or of
	// the network, which holds addresses and no credentials. It is empty where
	// the server refuses something; Store.Refused lists that.
	Reason string
}

// Connection returns the state of the connection. It asks no server. A server
// that refuses a right everywhere counts as away since then.
func (s *Store) Connection() Connection {
	c := s.conn.connection()
	if refused := s.refused.list(); c.Up && len(refused) > 0 && refused[0].Stream == "" {
		return Connection{Since: refused[0].Since}
	}
	return c
}

func (c *connector) connection() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && !c.away {
		return Connection{Up: true, Since: c.since}
	}
	return Connection{Since: c.since, Reason: c.reason}
}

// Await returns once the log can be reached and the server refuses nothing that
// it has refused before, or with ErrUnavailable when ctx ends before that.
func (s *Store) Await(ctx context.Context) error {
	if err := s.refused.wait(ctx, need{right: RightWrite}); err != nil && !errors.Is(err, ErrClosed) {
		return unavailable(ctx, err)
	}
	session, err := s.conn.acquire(ctx, forEver)
	if errors.Is(err, errNotConnected) {
		return unavailable(ctx, err)
	}
	if err != nil {
		return err
	}
	s.conn.release(session, nil)
	if !s.conn.connection().Up { // a session was made, and no call answered on it yet
		_, err = call(ctx, s.conn, forEver, s.cfg.TryTimeout, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
			return struct{}{}, readLast(ctx, c)
		})
		if err != nil && transient(err) {
			return unavailable(ctx, err)
		}
	}
	return nil
}

// dialLocked begins to look for a node, unless somebody does already.
func (c *connector) dialLocked() {
	if c.dialing != nil || c.isClosed() {
		return
	}
	if c.since.IsZero() {
		c.since = time.Now()
	}
	c.dialing = make(chan struct{})
	go c.dial(c.dialing, c.pauseLocked())
}

// dial looks for a node, after a pause, until it has one that leads, or the
// connector is closed. It has its clients to itself, so nobody else can be
// caught in a search that fails.
func (c *connector) dial(done chan struct{}, pause time.Duration) {
	var s *session
	c.rest(pause)
	for s == nil && !c.isClosed() {
		conf := c.target()
		if c.search(conf) == nil {
			s = c.settle(conf)
		}
		if s == nil {
			c.takeFiles()
			c.rest(time.Duration(c.conf.DiscoveryInterval) * time.Millisecond)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(done)
	c.dialing = nil
	if s == nil {
		return
	}
	if c.isClosed() {
		_ = s.client.Close()
		return
	}
	c.installLocked(s)
}

// installLocked has calls use a session from now on.
func (c *connector) installLocked(s *session) {
	c.made++
	s.id = c.made
	close(c.renewed)
	c.renewed = make(chan struct{})
	c.current = s
	c.madeLocked(s)
}

// target is where to look next: where the connection string says, or, once,
// where a node has said that the leader is.
func (c *connector) target() esdb.Configuration {
	c.mu.Lock()
	defer c.mu.Unlock()
	conf := c.conf
	if c.newer != nil {
		conf = *c.newer
	}
	if c.leader != "" {
		conf.Address, conf.GossipSeeds, conf.DnsDiscover = c.leader, nil, false
		c.leader = ""
	}
	return conf
}

// rest waits, unless the connector is closed.
func (c *connector) rest(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	}
}

// search says whether a node can be reached there now. Its client gives up
// after one attempt, so that the next can be elsewhere, and none goes on when
// the store was closed.
func (c *connector) search(conf esdb.Configuration) error {
	conf.MaxDiscoverAttempts, conf.DiscoveryInterval = 1, 0
	conf.Logger = c.heard
	client, err := esdb.NewClient(&conf)
	if err != nil {
		return err
	}
	_, err = client.GetServerVersion()
	_ = client.Close()
	return err
}

// attempts is how often the client of a session looks for a node, in the two
// cases in which it does so at all: when the one that search has seen is gone a
// moment later, and when it was sent to a leader that is gone, with others just
// beginning. These would wait for ever in a client that gave up, and the search
// of one that never does might never end.
const attempts = 50

// settle makes the client that calls will use and sees that the node that it
// found is the leader and takes requests; nil when it is not.
func (c *connector) settle(conf esdb.Configuration) *session {
	s := &session{ended: make(chan struct{}), finished: make(chan struct{})}
	var settled atomic.Bool
	conf.MaxDiscoverAttempts = attempts
	conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
		c.heard(level, format, args...)
		if strings.HasPrefix(format, "Connecting to leader node") && len(args) == 1 {
			c.sentOn(s, fmt.Sprint(args[0]), settled.Load())
		}
		s.heard(level, args)
	}
	var err error
	if s.client, err = esdb.NewClient(&conf); err != nil {
		return nil // search would have met it
	}
	if !c.found(s.client) {
		return nil
	}
	if err := c.probe(s.client); err != nil {
		c.complain(err)
		_ = s.client.Close()
		return nil
	}
	settled.Store(true)
	return s
}

// found waits until a client has found a node, which search has seen a moment
// ago. If that has gone since, the client may look for it a while longer, and
// the search begins again without it.
func (c *connector) found(client *esdb.Client) bool {
	const unclaimed, claimed, left = 0, 1, 2
	var state atomic.Int32
	done := make(chan bool, 1)
	go func() {
		_, err := client.GetServerVersion()
		if err != nil || !state.CompareAndSwap(unclaimed, claimed) {
			_ = client.Close()
		}
		done <- err == nil
	}()
	enough := time.NewTimer(time.Duration(c.conf.GossipTimeout) * time.Second)
	defer enough.Stop()
	select {
	case ok := <-done:
		return ok
	case <-enough.C:
	case <-c.closed:
	}
	if state.CompareAndSwap(unclaimed, left) {
		return false
	}
	return <-done
}

// sentOn is called by the goroutine in which a client owns its connection, when
// a node that does not lead has named one that does and the client is about to
// go there. If that one cannot be reached either, as when the leader has just
// died, the client would try it for ever and never close it. While nobody but
// the search uses the client its goroutine ends here, and the client with it.
// Later that would leave others waiting: the client goes, and the session is
// given up by whoever was told that its node does not lead.
func (c *connector) sentOn(s *session, leader string, settled bool) {
	c.mu.Lock()
	c.leader = leader
	c.mu.Unlock()
	if !settled {
		runtime.Goexit()
	}
	s.lost.Store(true)
}

// probe asks for the last event of the whole log. It fails where the same
// question might get an answer a little later, or elsewhere. A refusal is an
// answer: whoever calls is to see it.
func (c *connector) probe(client *esdb.Client) (err error) {
	defer func() {
		if recover() != nil {
			err = nil // it answered, if in a way that the client cannot read
		}
	}()
	ctx, cancel := context.WithTimeout(fromLeader(context.Background()), time.Duration(c.conf.GossipTimeout)*time.Second)
	defer cancel()
	if err := readLast(ctx, client); transient(err) {
		return err
	}
	return nil
}

func (c *connector) complain(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = err.Error()
}
