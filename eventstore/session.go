package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The official client has one goroutine per client that owns its connection,
// and a channel to it. While that goroutine looks for a node it honours no
// context; when it gives up the client is dead for good, and whoever sends to
// it afterwards waits for ever. A client that finds its connection again never
// closes the old one, and closing a client that is in use panics the users.
//
// So no call of ours touches a client directly. A connector keeps one client
// at a time in a session. Calls run in a goroutine of their own, and their
// caller waits for the context as well. A session's client never gives up
// looking; before there is one, only one goroutine searches. A session whose
// connection was lost is retired: new calls get a new one, the old one is
// closed by its last call. And once a call on a session is about to tell the
// client that the connection is lost, no other call may begin there, because
// it would make the client search anew and leak the old connection.

// errNotConnected is the reason when a caller's time ran out before there was
// any connection at all, so that surely nothing was sent.
var errNotConnected = errors.New("no connection to the event store")

// errSessionEnded ends a stream whose session was retired some time ago.
var errSessionEnded = errors.New("the connection was given up")

// panicError is a panic of the client, for instance on a message it does not
// know.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the client panicked: %v", e.value) }

// session is one client and the calls that use it.
type session struct {
	client *esdb.Client
	// ended is closed some time after the session was retired, for streams
	// that would otherwise stay on it for ever.
	ended chan struct{}
	// finished is closed when the client was closed.
	finished chan struct{}

	// gate is held for reading by calls that have yet to get the connection
	// from the client.
	gate sync.RWMutex
	lost bool // no call may begin any more; guarded by gate

	refs    int  // guarded by connector.mu
	retired bool // guarded by connector.mu
}

// begin lets a call onto the client, unless the connection is lost. The
// context that it returns is for the client, and done for after the call.
func (s *session) begin(ctx context.Context) (_ context.Context, done func(), ok bool) {
	s.gate.RLock()
	if s.lost {
		s.gate.RUnlock()
		return nil, nil, false
	}
	done = sync.OnceFunc(s.gate.RUnlock)
	return beginning{ctx, done}, done, true
}

// beginning is the context of a call that begins. The client asks it for its
// deadline right after it got the connection, and the call has then begun.
type beginning struct {
	context.Context
	begun func()
}

// Deadline is the context's own.
func (b beginning) Deadline() (time.Time, bool) {
	b.begun()
	return b.Context.Deadline()
}

// heard sees the client's log. The client complains of a failed call before it
// acts on it, which is the last moment to keep others from beginning.
func (s *session) heard(level esdb.LogLevel, args []any) {
	if level != esdb.LogError || len(args) != 1 {
		return
	}
	if err, ok := args[0].(error); ok && connectionLost(err) {
		s.gate.Lock()
		s.lost = true
		s.gate.Unlock()
	}
}

// connector hands out the present session and replaces lost ones.
type connector struct {
	conf   esdb.Configuration
	grace  time.Duration // from retiring a session to ending its streams
	logger *slog.Logger
	closed chan struct{}
	calls  *workers // until closed is

	mu      sync.Mutex
	current *session      // nil: none yet, or the last one was retired
	dialing chan struct{} // non-nil while a new one is being made; then closed
	reason  string        // the client's last complaint while dialing
}

func newConnector(conf *esdb.Configuration, grace time.Duration, logger *slog.Logger) *connector {
	closed := make(chan struct{})
	return &connector{conf: *conf, grace: grace, logger: logger, closed: closed, calls: newWorkers(closed)}
}

// heard receives the client's own log lines. The last complaint becomes the
// reason in our error; the client repeats itself too often to log it louder.
func (c *connector) heard(level esdb.LogLevel, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if level == esdb.LogWarn || level == esdb.LogError {
		c.mu.Lock()
		c.reason = line
		c.mu.Unlock()
	}
	c.logger.Debug("eventstore client", "line", line)
}

// acquire returns a session with one more call on it. It waits for a
// connection as long as ctx allows.
func (c *connector) acquire(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		if c.isClosed() {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		if s := c.current; s != nil {
			s.refs++
			c.mu.Unlock()
			return s, nil
		}
		if c.dialing == nil {
			c.dialing = make(chan struct{})
			go c.dial(c.dialing)
		}
		wait := c.dialing
		c.mu.Unlock()
		select {
		case <-wait:
		case <-c.closed:
		case <-ctx.Done():
			return nil, c.notConnected()
		}
	}
}

func (c *connector) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *connector) notConnected() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == "" {
		return errNotConnected
	}
	return fmt.Errorf("%w: %s", errNotConnected, c.reason)
}

// dial makes a client and waits until it has found a node. It has the client
// to itself, so nobody else can be caught in a search that fails.
func (c *connector) dial(done chan struct{}) {
	s := &session{ended: make(chan struct{}), finished: make(chan struct{})}
	err := c.search()
	if err == nil {
		conf := c.conf
		conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
			s.heard(level, args)
			c.heard(level, format, args...)
		}
		s.client, err = esdb.NewClient(&conf)
	}
	if err == nil {
		_, err = s.client.GetServerVersion()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(done)
	c.dialing = nil
	if err != nil {
		c.reason = err.Error()
		return
	}
	if c.isClosed() {
		_ = s.client.Close()
		return
	}
	c.reason = ""
	c.current = s
	c.logger.Info("event store connected")
}

// search returns when a node can be reached. It uses clients that give up
// after one attempt, so that it can end when the store is closed meanwhile.
func (c *connector) search() error {
	conf := c.conf
	conf.MaxDiscoverAttempts = 1
	conf.Logger = c.heard
	for !c.isClosed() {
		client, err := esdb.NewClient(&conf)
		if err != nil {
			return err
		}
		_, err = client.GetServerVersion() // pauses by itself when it fails
		_ = client.Close()
		if err == nil {
			return nil
		}
	}
	return ErrClosed
}

// release gives a call's session back, and retires it when the call found
// that the connection is lost.
func (c *connector) release(s *session, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.refs--
	if connectionLost(err) {
		c.retireLocked(s, err)
	}
	c.closeIfIdleLocked(s)
}

// retire takes a session out of use; its calls may finish.
func (c *connector) retire(s *session, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.retired {
		c.retireLocked(s, why)
		c.closeIfIdleLocked(s)
	}
}

func (c *connector) retireLocked(s *session, why error) {
	if s.retired {
		return
	}
	s.retired = true
	if c.current == s {
		c.current = nil
	}
	if errors.Is(why, ErrClosed) {
		close(s.ended)
		return
	}
	c.logger.Warn("event store connection lost", "reason", why)
	time.AfterFunc(c.grace, func() { close(s.ended) })
}

func (c *connector) closeIfIdleLocked(s *session) {
	if s.retired && s.refs == 0 {
		// Nobody can be sending to the client any more, which is what makes
		// closing it safe.
		_ = s.client.Close()
		close(s.finished)
	}
}

// close ends all streams, lets appends finish for at most wait, and refuses
// what comes later.
func (c *connector) close(wait time.Duration) {
	c.mu.Lock()
	if c.isClosed() {
		c.mu.Unlock()
		return
	}
	close(c.closed)
	s := c.current
	if s != nil {
		c.retireLocked(s, ErrClosed)
		c.closeIfIdleLocked(s)
	}
	c.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case <-s.finished:
	case <-time.After(wait):
	}
}

// connectionLost reports whether an error says that the session's connection
// is of no more use.
func connectionLost(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok && e.Code() == esdb.ErrorCodeConnectionClosed {
		return true
	}
	return status.Code(rootStatus(err)) == codes.Unavailable
}

// rootStatus finds the gRPC status inside the client's errors. The client's
// own FromError does not look inside wrapped errors.
func rootStatus(err error) error {
	type withStatus interface {
		error
		GRPCStatus() *status.Status
	}
	if s, ok := errors.AsType[withStatus](err); ok {
		return s
	}
	return nil
}

// run makes one call on a session's client. A panic inside the client becomes
// an error.
func (c *connector) run(ctx context.Context, s *session, f func(context.Context) error) (err error) {
	ctx, begun, ok := s.begin(ctx)
	if !ok {
		return errSessionEnded
	}
	defer begun()
	defer func() {
		if v := recover(); v != nil {
			c.logger.Error("event store client panicked", "value", v, "stack", string(debug.Stack()))
			err = &panicError{v}
		}
	}()
	return f(ctx)
}

// call runs one request within timeout. When the answer does not come in time
// the connection is suspect and is replaced, so that the next try does not
// wait on the same silence; when the caller's own context ends it is not.
func call[T any](ctx context.Context, c *connector, timeout time.Duration, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	try, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := c.acquire(try)
	if err != nil {
		return none, err
	}
	answers := make(chan answer, 1)
	c.calls.run(func() {
		var a answer
		a.err = c.run(try, s, func(ctx context.Context) (err error) {
			a.value, err = f(ctx, s.client)
			return err
		})
		c.release(s, a.err)
		answers <- a
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-try.Done():
	}
	if ctx.Err() == nil {
		c.retire(s, try.Err())
	}
	return none, try.Err()
}
