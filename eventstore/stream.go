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

// How many messages have to have come before the consumer of a stream is woken,
// unless it ends before: what lies in the log can wait for company, what
// happens now cannot.
const (
	worthOfRead         = 64
	worthOfSubscription = 1
)

// takerError is an error of the consumer of a stream; it ends the stream and
// is passed on as it is.
type takerError struct{ err error }

func (e *takerError) Error() string { return e.err.Error() }

// errStopped is a takerError's content when a range loop was left.
var errStopped = errors.New("stopped")

// source receives messages from the client until the stream ends by itself
// (nil), fails, or emit returns false.
type source[T any] func(ctx context.Context, client *esdb.Client, emit func(T) bool) error

// stream runs a source in a goroutine of its own and hands its messages to
// take. A receive of the client can block in ways that no context ends; here
// it is only its own goroutine that waits.
func stream[T any](ctx context.Context, c *connector, patience time.Duration, worth int, open source[T], take func(T) error) error {
	waiting, stop := context.WithTimeout(ctx, patience)
	s, err := c.acquire(waiting)
	stop()
	if err != nil {
		return err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	box := newMailbox[T](worth)
	c.calls.run(func() {
		err := c.run(reading, s, func(ctx context.Context) error {
			return open(ctx, s.client, func(v T) bool { return box.put(reading, v) })
		})
		c.release(s, err)
		if err == nil {
			err = context.Cause(reading) // left early, which is not the end
		}
		box.end(err)
	})
	var items []T
	for over := false; !over; {
		select {
		case <-box.some:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ended:
			return errSessionEnded
		}
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
// with ErrUnavailable when that long nothing came.
func takeUp[T any](ctx context.Context, s *Store, bounded bool, open source[T], take func(T) error) error {
	pause, worth := s.pauses(), worthOfSubscription
	if bounded {
		worth = worthOfRead
	}
	progress := time.Now()
	quiet := false // the present outage has been logged
	for {
		moved := false
		err := stream(ctx, s.conn, s.cfg.Bound, worth, open, func(v T) error {
			moved = true
			return take(v)
		})
		if taker, ok := errors.AsType[*takerError](err); ok {
			return taker.err
		}
		if damaged := s.damaged(err); damaged != nil {
			return damaged // there is nothing behind it that could be given first
		}
		switch {
		case err == nil, errors.Is(err, ErrClosed):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.conn.isClosed():
			return ErrClosed
		case bounded && !transient(err):
			return readError(err)
		}
		if moved {
			pause.Reset()
			progress, quiet = time.Now(), false
		}
		wait := pause.NextBackOff()
		if bounded && time.Since(progress)+wait > s.cfg.Bound {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
		if !bounded && !quiet {
			quiet = true
			s.logger.Warn("subscription interrupted", "reason", readError(err))
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
	if errors.Is(err, errNotConnected) || errors.Is(err, errSessionEnded) {
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
	return false
}

// readError keeps the client's types out of what callers see.
func readError(err error) error {
	if denied := accessError(err, "read ($r) the ledger's streams and $all"); denied != nil {
		return fmt.Errorf("reading the event store: %w", denied)
	}
	return fmt.Errorf("reading the event store: %v", err)
}
