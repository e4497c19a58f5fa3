package eventstore

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Connection is whether the log can be reached, as far as is known.
type Connection struct {
	// Up says that the leader has answered, and no call has found since that
	// the connection is of no more use.
	Up bool
	// Since is since when it is so. It is zero before the first call.
	Since time.Time
	// Reason is why the log is away: the last complaint of the client or of
	// the network, which holds addresses and no credentials.
	Reason string
}

// Connection tells how the connection is. It asks nobody.
func (s *Store) Connection() Connection { return s.conn.connection() }

func (c *connector) connection() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return Connection{Up: true, Since: c.since}
	}
	return Connection{Since: c.since, Reason: c.reason}
}

// Await returns once the log can be reached, or with ErrUnavailable when ctx
// ends before that.
func (s *Store) Await(ctx context.Context) error {
	session, err := s.conn.acquire(ctx, forEver)
	if errors.Is(err, errNotConnected) {
		return unavailable(ctx, err)
	}
	if err != nil {
		return err
	}
	s.conn.release(session, nil)
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
	go c.dial(c.dialing)
}

// dial looks for a node until it has one that leads, or the connector is
// closed. It has its clients to itself, so nobody else can be caught in a
// search that fails.
func (c *connector) dial(done chan struct{}) {
	var s *session
	for s == nil && !c.isClosed() {
		if c.search() == nil {
			s = c.settle()
		}
		if s == nil {
			c.pause()
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
	away := time.Since(c.since).Round(time.Millisecond)
	c.current, c.since, c.reason = s, time.Now(), ""
	c.logger.Info("event store connected", "after", away)
}

// pause is between two attempts, as long as the connection string says.
func (c *connector) pause() {
	t := time.NewTimer(time.Duration(c.conf.DiscoveryInterval) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	}
}

// search says whether any node can be reached now, as the connection string
// tells where: with a client that gives up after one attempt.
func (c *connector) search() error {
	conf := c.conf
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

// settle makes the client that calls will use and sees that the node that it
// found is the leader and takes requests; nil when it is not. A node that
// names another one as the leader makes the client go there by itself.
func (c *connector) settle() *session {
	s := &session{ended: make(chan struct{}), finished: make(chan struct{})}
	conf := c.conf
	conf.MaxDiscoverAttempts = math.MaxInt // one that gives up is dead for ever
	conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
		s.heard(level, args)
		c.heard(level, format, args...)
	}
	var err error
	if s.client, err = esdb.NewClient(&conf); err != nil {
		return nil
	}
	for range redirections {
		if err = c.probe(s.client); err == nil {
			s.lost.Store(false) // the first node may have had to send it on
			return s
		}
		if e, ok := errors.AsType[*esdb.Error](err); !ok || e.Code() != esdb.ErrorCodeNotLeader {
			break
		}
	}
	c.complain(err)
	_ = s.client.Close()
	return nil
}

// redirections is how often one search lets itself be sent to another leader.
const redirections = 3

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
	rs, err := client.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err == nil {
		_, err = rs.Recv()
		rs.Close()
	}
	if errors.Is(err, io.EOF) || !transient(err) {
		return nil
	}
	return err
}

func (c *connector) complain(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = err.Error()
}
