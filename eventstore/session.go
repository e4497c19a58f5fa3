package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	headers "google.golang.org/grpc/metadata"
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
// caller waits for the context as well. Looking for a node is done by one
// goroutine, which never gives up (discover.go). A session whose connection was
// lost, or whose node no longer leads, is retired: new calls get a new one, the
// old one is closed by its last call. And once a call on a session is about to
// tell the client that the connection is lost, no other call may begin there,
// because it would make the client search anew and leak the old connection.
//
// While there is no session the store is away. Whoever has sent nothing yet
// waits only through the beginning of an outage, which a change of leader does
// not outlast, and is told at once afterwards: requests do not pile up.

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
	id     SessionID
	client *esdb.Client
	// ended is closed some time after the session was retired, for streams
	// that would otherwise stay on it for ever.
	ended chan struct{}
	// finished is closed when the client was closed.
	finished chan struct{}

	// gate is held for reading by calls that have yet to get the connection
	// from the client.
	gate sync.RWMutex
	lost atomic.Bool // no call may begin any more

	made      time.Time   // written before others know the session
	proven    atomic.Bool // a call was answered that shows that the store is there
	promising bool        // a read was answered, and its age shows the rest; guarded by connector.mu

	refs    int  // guarded by connector.mu
	retired bool // guarded by connector.mu
}

// begin lets a call onto the client, unless the connection is lost. The
// context that it returns is for the client, and done for after the call.
func (s *session) begin(ctx context.Context) (_ context.Context, done func(), ok bool) {
	if s.lost.Load() {
		return nil, nil, false
	}
	s.gate.RLock()
	if s.lost.Load() {
		s.gate.RUnlock()
		return nil, nil, false
	}
	done = sync.OnceFunc(s.gate.RUnlock)
	return beginning{fromLeader(ctx), done}, done, true
}

// fromLeader asks that only the leader answers. A node that has lost the lead
// knows less than what was acknowledged: it would show a person's record as it
// was. The client has an option for this, but puts it where nothing is sent.
func fromLeader(ctx context.Context) context.Context {
	return headers.AppendToOutgoingContext(ctx, "requires-leader", "true")
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
		s.lost.Store(true)
		s.gate.Unlock()
	}
}

// connector hands out the present session and replaces lost ones.
type connector struct {
	conf   esdb.Configuration
	origin *origin       // of conf; nil: it never changes
	grace  time.Duration // from retiring a session to ending its streams
	pace   pace
	logger *slog.Logger
	closed chan struct{}
	calls  *workers // until closed is

	appending atomic.Int64 // appends that have begun and not ended

	mu      sync.Mutex
	newer   *esdb.Configuration // what the files hold now, in the place of conf; nil: the same
	current *session            // nil: none yet, or the last one was retired
	dialing chan struct{}       // non-nil while a new one is being made; then closed
	away    bool                // a session was lost, and no call was answered since
	refused bool                // an append has met this outage
	early   int                 // sessions in a row that were given up soon after they were made
	since   time.Time           // when the store went or came, or was first looked for
	reason  string              // why there is none: the last complaint
	leader  string              // who leads, as a node has said that does not; to be tried once
	made    SessionID           // of the newest session
	renewed chan struct{}       // closed and replaced when a session is made
}

func newConnector(conf *esdb.Configuration, grace time.Duration, logger *slog.Logger) *connector {
	closed := make(chan struct{})
	return &connector{conf: *conf, grace: grace, logger: logger, pace: usualPace, closed: closed, calls: newWorkers(closed), renewed: make(chan struct{})}
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

// forEver is for who waits for a connection as long as its context allows.
const forEver time.Duration = -1

// acquire returns a session with one more call on it. While there is none it
// waits, but only for so long after the store went away; who comes later than
// that is told at once.
func (c *connector) acquire(ctx context.Context, within time.Duration) (*session, error) {
	var enough <-chan time.Time
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
		c.dialLocked()
		wait, left := c.dialing, within-time.Since(c.since)
		c.mu.Unlock()
		if within != forEver && enough == nil {
			if left <= 0 {
				return nil, c.notConnected()
			}
			timer := time.NewTimer(left)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-wait:
		case <-c.closed:
		case <-enough:
			return nil, c.notConnected()
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
	if errors.Is(why, ErrClosed) {
		c.current = nil
		close(s.ended)
		return
	}
	if c.current == s {
		c.current = nil
		if errors.Is(why, errRenewed) {
			c.since, c.reason = time.Now(), why.Error() // no outage, so nothing is logged
		} else {
			c.goneLocked(s, why)
		}
		c.dialLocked() // whether or not anybody waits for it
	}
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
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader:
			return true
		}
	}
	return status.Code(rootStatus(err)) == codes.Unavailable || leaderless(err)
}

// leaderless reports whether a node said that it does not lead, and that it does
// not know of anybody who does.
func leaderless(err error) bool {
	s := status.Convert(rootStatus(err))
	return s.Code() == codes.Unknown && strings.Contains(s.Message(), "No leader info")
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
// an error. With errSessionEnded surely nothing was sent.
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

// call runs one request within timeout, after having waited for a connection
// for as long at most. When the answer does not come in time the connection is
// suspect and is replaced, so that the next try does not wait on the same
// silence; when the caller's own context ends it is not. For within, see
// acquire.
func call[T any](ctx context.Context, c *connector, within, timeout time.Duration, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	return oneCall(ctx, c, false, nil, within, timeout, f)
}

// guardedCall is call for an append, and asks the guards once it has its
// session. With an error of a guard, which is a *guardError, nothing was sent.
func guardedCall[T any](ctx context.Context, c *connector, guards []Guard, within, timeout time.Duration, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	return oneCall(ctx, c, true, guards, within, timeout, f)
}

func oneCall[T any](ctx context.Context, c *connector, isAppend bool, guards []Guard, within, timeout time.Duration, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	waiting, enough := context.WithTimeout(ctx, timeout)
	s, err := c.acquire(waiting, within)
	enough()
	if err != nil {
		return none, err
	}
	for _, guard := range guards {
		if err := guard(ctx, s.id); err != nil {
			c.release(s, nil)
			return none, &guardError{err}
		}
	}
	try, cancel := context.WithTimeout(ctx, timeout) // all of it, however long it waited
	defer cancel()
	answers := make(chan answer, 1)
	c.calls.run(func() {
		var a answer
		a.err = c.run(try, s, func(ctx context.Context) (err error) {
			a.value, err = f(ctx, s.client)
			return err
		})
		c.ended(s, a.err, isAppend)
		c.release(s, a.err)
		answers <- a
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-try.Done():
	}
	if ctx.Err() == nil {
		c.retire(s, errSilent)
	}
	return none, try.Err()
}
