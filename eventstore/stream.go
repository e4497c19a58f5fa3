package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readAhead is how many messages a stream holds ready for a slow consumer.
// Beyond that the transport's flow control reaches back to the server.
const readAhead = 256

// way is how the messages of a stream are waited for.
type way struct {
	// worth is how many have to have come before the consumer is woken, unless
	// the stream ends before: what lies in the log can wait for company, what
	// happens now cannot.
	worth int
	// opening is how long the first message may take, and silence each later one;
	// forEver is no bound. A subscription is confirmed at once, and that nothing
	// happens then is no fault of it.
	opening, silence time.Duration
	// on is the only session that may be used. 0 is any: the stream is taken up
	// again on the next one.
	on SessionID
}

// worthOfRead is the worth of a read.
const worthOfRead = 64

// readingWay is the way of a read, and subscribed that of a subscription, whose
// first message has to be its confirmation.
func (s *Store) readingWay() way {
	return way{worth: worthOfRead, opening: s.cfg.TryTimeout, silence: s.cfg.TryTimeout}
}

func (s *Store) subscribed() way {
	return way{worth: 1, opening: s.cfg.TryTimeout, silence: forEver}
}

// takerError is an error of the consumer of a stream; it ends the stream and
// is passed on as it is.
type takerError struct{ err error }

func (e *takerError) Error() string { return e.err.Error() }

// errStopped is a takerError's content when a range loop was left.
var errStopped = errors.New("stopped")

// source receives messages from the client until the stream ends by itself
// (nil), fails, or emit returns false.
type source[T any] func(ctx context.Context, client *esdb.Client, emit func(T) bool) error

// errSilent ends a read to which the server said nothing more.
var errSilent = errors.New("the event store does not answer")

// stream runs a source in a goroutine of its own and hands its messages to
// take. A receive of the client can block in ways that no context ends; here
// it is only its own goroutine that waits. For within, see acquire. When no
// message comes for as long as the way allows, the connection is suspect and is
// replaced.
func stream[T any](ctx context.Context, c *connector, within time.Duration, w way, open source[T], take func(T) error) error {
	s, err := c.acquire(ctx, within)
	if err != nil {
		return err
	}
	if w.on != 0 && s.id != w.on {
		c.release(s, nil)
		return ErrReplaced
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	box := newMailbox[T](w.worth)
	c.calls.run(func() {
		err := c.run(reading, s, func(ctx context.Context) error {
			return open(ctx, s.client, func(v T) bool {
				c.answered(s, false)
				return box.put(reading, v)
			})
		})
		c.ended(s, err, false)
		c.release(s, err)
		if err == nil {
			err = context.Cause(reading) // left early, which is not the end
		}
		box.end(err)
	})
	var items []T
	silence := w.opening
	for over := false; !over; {
		if err := box.wait(ctx, s, silence); err != nil {
			if errors.Is(err, errSilent) {
				c.retire(s, err)
			}
			return err
		}
		silence = w.silence
		items, over, err = box.get(items)
		for _, v := range items {
			if err := take(v); err != nil {
				return &takerError{err}
			}
		}
	}
	return err
}

// takeUp runs a stream to its end, opening it again wherever the connection
// breaks; open must go on after what take has seen. With a bound it gives up
// with ErrUnavailable when that long nothing came, or the store has been away
// for longer; without one (forEver) it never does. A right that is refused ends
// it with ErrRefused where there is a bound; without one it waits for the right.
func takeUp[T any](ctx context.Context, s *Store, n need, bound time.Duration, open source[T], take func(T) error) error {
	w := s.subscribed()
	if bound != forEver {
		w = s.readingWay()
	}
	return takeUpBy(ctx, s, n, bound, w, open, take)
}

// takeUpBy is takeUp by some way. With a way that has one session only it ends
// with ErrReplaced once there is another.
func takeUpBy[T any](ctx context.Context, s *Store, n need, bound time.Duration, w way, open source[T], take func(T) error) error {
	bounded := bound != forEver
	pause := s.pauses()
	progress := time.Now()
	quiet := false  // the present trouble has been logged
	second := false // the server has refused this once
	for {
		if err := s.refused.admit(ctx, n, bounded); err != nil {
			return err
		}
		moved := false
		err := stream(ctx, s.conn, bound, w, open, func(v T) error {
			moved = moved || !isConfirmation(v)
			return take(v)
		})
		if (moved || err == nil) && n.stream != "" {
			s.refused.release(n)
		}
		if taker, ok := errors.AsType[*takerError](err); ok {
			return taker.err
		}
		if damaged := s.damaged(err); damaged != nil {
			return damaged // there is nothing behind it that could be given first
		}
		switch {
		case err == nil, errors.Is(err, ErrClosed), errors.Is(err, ErrReplaced):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.conn.isClosed():
			return ErrClosed
		case !transient(err) && (bounded || accessError(err, "") != nil):
			again, refused := s.refused.met(ctx, readError(err, n), n, second && bounded)
			if !again && (bounded || !errors.Is(refused, ErrRefused)) {
				return refused
			}
			second = true
		}
		if moved {
			pause.Reset()
			progress, quiet = time.Now(), false
		}
		wait := pause.NextBackOff()
		if bounded && (errors.Is(err, errNotConnected) || time.Since(progress)+wait > bound) {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
		if !bounded && !quiet && !toldByConnector(err) && accessError(err, "") == nil {
			quiet = true
			s.logger.Warn("subscription interrupted", "reason", readError(err, n))
		}
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// pauses is the jittered back-off of everything that is tried again.
func (s *Store) pauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     5 * time.Millisecond,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         s.cfg.MaxBackoff,
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transient reports whether the same read may succeed a little later.
func transient(err error) bool {
	if errors.Is(err, errNotConnected) || errors.Is(err, errSessionEnded) || errors.Is(err, errSilent) {
		return true
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return false // the same message would come again
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeNotLeader, esdb.ErrorCodeConnectionClosed, esdb.ErrorAborted:
			return true
		}
	}
	switch status.Code(rootStatus(err)) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Internal, codes.ResourceExhausted:
		return true
	}
	return leaderless(err)
}

// toldByConnector reports whether an error only says that the connection was
// lost, which is logged where it is known first.
func toldByConnector(err error) bool {
	return errors.Is(err, errSessionEnded) || connectionLost(err)
}

// unavailable is the answer to somebody who waited for the store in vain.
func unavailable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w (%v)", ErrUnavailable, cause, err)
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err)
}

// readError keeps the client's types out of what callers see.
func readError(err error, n need) error {
	if denied := accessError(err, n.words()); denied != nil {
		return fmt.Errorf("reading the event store: %w", denied)
	}
	return fmt.Errorf("reading the event store: %v", err)
}
