package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Group is a persistent subscription to the ledger: the server remembers how
// far it has come, gives each event to one of its consumers, gives again what
// was not answered or failed, and in the end puts it aside (parks it) where an
// operator sees it.
type Group struct {
	// Name is the group's on the server.
	Name string
	// Types are the types of the events that it gives.
	Types []string
	// Pause is how long a consumer keeps an event that failed before it gives
	// it back: a server gives it again at once, and ten times at once are as
	// good as one. It is doubled each time, up to 30 times the first. Default 1 s.
	Pause time.Duration
}

const (
	// groupRetries is how often an event is given again before it is parked.
	groupRetries = 10
	// groupTimeout is how long a consumer may keep an event without an answer.
	// It is more than the longest pause and the longest work together.
	groupTimeout = 3 * time.Minute
	// groupWork is how long a consumer may work on one event.
	groupWork = time.Minute
	// groupPause is the first pause by default, and longestPauses how many times
	// as long the longest is.
	groupPause, longestPauses = time.Second, 30
	// groupRoom is how many events a consumer may have without an answer, and
	// groupAtOnce on how many of them it works at once. The last of them waits
	// for one before it, and must still be answered within the timeout.
	groupRoom, groupAtOnce = 32, 16
)

// GroupStatus is what the server says of a group.
type GroupStatus struct {
	Consumers int   // connected now
	Waiting   int64 // events that consumers have and have not answered
	Parked    int64 // events that were put aside
}

// MakeGroup makes a group that begins at the end of the log, unless it is
// there. It takes an admin of the server.
func (s *Store) MakeGroup(ctx context.Context, g Group) (made bool, err error) {
	settings := esdb.SubscriptionSettingsDefault()
	settings.MaxRetryCount = groupRetries
	settings.MessageTimeout = int32(groupTimeout.Milliseconds())
	err = s.manage(ctx, "make ("+adminsRight+") the persistent subscription "+g.Name, func(ctx context.Context, c *esdb.Client) error {
		return c.CreatePersistentSubscriptionToAll(ctx, g.Name, esdb.PersistentAllSubscriptionOptions{
			Settings: &settings, StartFrom: esdb.End{}, MaxSearchWindow: searchWindow,
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: g.Types},
		})
	})
	if status.Code(rootStatus(err)) == codes.AlreadyExists {
		return false, nil
	}
	return err == nil, err
}

// GroupStatus asks the server how a group is. ErrNoGroup says that there is
// none of that name.
func (s *Store) GroupStatus(ctx context.Context, name string) (GroupStatus, error) {
	var info *esdb.PersistentSubscriptionInfo
	err := s.manage(ctx, "see how the persistent subscription "+name+" is", func(ctx context.Context, c *esdb.Client) (err error) {
		info, err = c.GetPersistentSubscriptionInfoToAll(ctx, name, esdb.GetPersistentSubscriptionOptions{})
		return err
	})
	if err != nil {
		return GroupStatus{}, err
	}
	if info.Stats == nil {
		return GroupStatus{}, fmt.Errorf("the event store does not tell how the persistent subscription %s is", name)
	}
	return GroupStatus{Consumers: len(info.Connections), Waiting: info.Stats.TotalInFlightMessages, Parked: info.Stats.ParkedMessagesCount}, nil
}

// ReplayParked has what a group has parked given to its consumers again. It
// takes an admin of the server.
func (s *Store) ReplayParked(ctx context.Context, name string) error {
	return s.manage(ctx, "replay ("+adminsRight+") what the persistent subscription "+name+" has parked", func(ctx context.Context, c *esdb.Client) error {
		return c.ReplayParkedMessagesToAll(ctx, name, esdb.ReplayParkedMessagesOptions{})
	})
}

// manage makes one call about the server itself. Every one of them may be made
// twice, so it is made again where its outcome is unknown.
func (s *Store) manage(ctx context.Context, takes string, f func(context.Context, *esdb.Client) error) error {
	pause, began := s.pauses(), time.Now()
	n, second := need{right: RightCredentials}, false
	for {
		if err := s.refused.known(n); err != nil {
			return err
		}
		_, err := call(ctx, s.conn, s.cfg.Wait, s.cfg.TryTimeout, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
			return struct{}{}, f(ctx, c)
		})
		switch {
		case err == nil, errors.Is(err, ErrClosed), errors.Is(err, errChanging), status.Code(rootStatus(err)) == codes.AlreadyExists:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errNotConnected):
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		case !transient(err) && !errors.Is(err, context.DeadlineExceeded): // of this one try: the answer did not come
			said := s.groupError(err, takes)
			if !errors.Is(said, ErrCredentials) {
				return said
			}
			again, refused := s.refused.met(ctx, said, n, second)
			if !again {
				return refused
			}
			second = true
		}
		wait := pause.NextBackOff()
		if time.Since(began)+wait > s.cfg.Bound {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// groupError keeps the client's types out of what callers see.
func (s *Store) groupError(err error, takes string) error {
	if damaged := s.damaged(err); damaged != nil {
		return damaged
	}
	if status.Code(rootStatus(err)) == codes.NotFound {
		return ErrNoGroup
	}
	if denied := accessError(err, takes); denied != nil {
		return denied
	}
	return fmt.Errorf("event store: %v", err)
}

// Consumer acts on the events of a group.
type Consumer interface {
	// Consume acts on one event. Nil answers it for good; an error has it given
	// again a little later and, after so many times, parked. It is called by
	// several goroutines at once, for events in any order, and may be given an
	// event that it was given before, also while it still works on it.
	Consume(ctx context.Context, e Recorded) error
	// Listening is called when the group gives its events from now on.
	Listening()
}

// Consume takes part in a group, until ctx ends. It connects again by itself,
// and gives c what another connection or process left unanswered. It returns
// ErrNoGroup or an error that matches ErrDenied when the server refuses this
// group, ErrDamaged when it cannot read what comes next, and ErrClosed when the
// store is closed. While the server refuses a right that the ledger needs it
// returns ErrRefused: c could not write its results, and every event would in the
// end be parked.
func (s *Store) Consume(ctx context.Context, g Group, c Consumer) error {
	pause := s.pauses()
	quiet := false // the present trouble has been logged
	second := false
	writing := need{right: RightWrite}
	for {
		if err := s.refused.known(writing); err != nil {
			return err
		}
		taking, leave := s.refused.during(ctx, writing)
		err := s.consumeOnce(taking, g, c, func() { pause.Reset(); quiet, second = false, false })
		left := taking.Err() != nil
		leave()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrClosed), s.conn.isClosed():
			return ErrClosed
		case left:
			continue
		case !errors.Is(err, errDropped) && !transient(err):
			said := s.groupError(err, "read ($r) $all through the persistent subscription "+g.Name)
			again, refused := s.refused.met(ctx, said, need{right: RightReadAll}, second)
			if !again {
				return refused
			}
			second = true
		}
		if !quiet && !toldByConnector(err) && accessError(err, "") == nil {
			quiet = true
			s.logger.Warn("persistent subscription interrupted", "group", g.Name, "reason", err)
		}
		if !sleep(ctx, pause.NextBackOff()) {
			return context.Cause(ctx)
		}
	}
}

// given is an event of a group as it was given, with the way to answer it.
type given struct {
	event   Recorded
	retries int
	answer  func(error)
}

// consumeOnce takes part in a group over one connection. What its workers have
// begun is over when it returns.
func (s *Store) consumeOnce(ctx context.Context, g Group, c Consumer, joined func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	places := make(chan struct{}, groupAtOnce)
	open := func(ctx context.Context, client *esdb.Client, emit func(*given) bool) error {
		sub, err := client.SubscribeToPersistentSubscriptionToAll(ctx, g.Name, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: groupRoom})
		if err != nil {
			return err
		}
		m := member{sub: sub}
		defer m.leave()
		if !emit(nil) {
			return nil
		}
		return m.receive(emit)
	}
	return stream(ctx, s.conn, forEver, s.subscribed(), open, func(m *given) error {
		if m == nil {
			joined()
			c.Listening()
			return nil
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		working.Go(func() {
			err := work(ctx, c, m.event)
			<-places
			if err != nil && !sleep(ctx, g.pauseAfter(m.retries)) {
				return // the connection is over, and the server gives it again
			}
			m.answer(err)
		})
		return nil
	})
}

// work has one event acted on. One that is not of the ledger, on a server that
// others use too, is not the ledger's business.
func work(ctx context.Context, c Consumer, e Recorded) error {
	if !IsLedgerStream(e.Stream) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, groupWork)
	defer cancel()
	return c.Consume(ctx, e)
}

// pauseAfter is how long an event that failed is kept before it is given back.
func (g Group) pauseAfter(retries int) time.Duration {
	first := g.Pause
	if first <= 0 {
		first = groupPause
	}
	return first * time.Duration(min(1<<min(max(retries, 0), 10), longestPauses))
}

// member is a consumer's connection to its group. Answers come from several
// goroutines, and the client lets only one send at a time, or close.
type member struct {
	sub *esdb.PersistentSubscription

	sending sync.Mutex
	left    bool // nothing is to be sent any more; guarded by sending
}

// receive hands on what the group gives until it drops the consumer.
func (m *member) receive(emit func(*given) bool) error {
	for {
		got := m.sub.Recv()
		if got.SubscriptionDropped != nil {
			if got.SubscriptionDropped.Error != nil {
				return got.SubscriptionDropped.Error
			}
			return errDropped
		}
		e := got.EventAppeared
		g := &given{retries: e.RetryCount, answer: func(err error) { m.answer(e.Event, err) }}
		// What was parked comes as a link to the event; without the event there
		// is nothing to act on.
		if e.Event.Event != nil {
			g.event = recorded(e.Event.Event)
		}
		if !emit(g) {
			return nil
		}
	}
}

// answer says what became of an event. An answer that does not arrive is one
// that was not given: the event comes again. The reason is written into the
// server's log, so that nothing of what the error says belongs into it.
func (m *member) answer(e *esdb.ResolvedEvent, err error) {
	m.sending.Lock()
	defer m.sending.Unlock()
	switch {
	case m.left:
	case err == nil:
		_ = m.sub.Ack(e)
	default:
		_ = m.sub.Nack("the ledger could not act on it", esdb.NackActionRetry, e)
	}
}

func (m *member) leave() {
	m.sending.Lock()
	defer m.sending.Unlock()
	m.left = true
	_ = m.sub.Close()
}
