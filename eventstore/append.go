package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errEmptyBatch: the server would answer it, and the client misread the answer.
var errEmptyBatch = errors.New("an empty batch")

// errNoPosition is a reply that looks like success at position 0, which is
// how the client shows a reply that it does not know.
var errNoPosition = errors.New("the answer to the append has no position")

// Append writes a batch to a stream, whole or not at all.
//
// It has three outcomes. Done: the batch is on disk, and is there once. A
// *ConflictError: nothing was written, because the stream was not as expected;
// the caller reads again and decides again. Unknown: the answer did not come,
// and then this function sends the identical batch again, the same bytes, ids
// and expected revision, until the server tells whether it has it. Deciding
// again instead would write twice, because a server takes the same event ids
// at another expected revision for new events. When the server cannot be
// asked within the bound the error is ErrUnavailable, and the batch may or may
// not be there. The same error, much sooner, tells that the server is away and
// that nothing was sent.
func (s *Store) Append(ctx context.Context, stream string, expected Expected, batch []Proposed) (Appended, error) {
	if err := checkBatch(stream, batch); err != nil {
		return Appended{}, err
	}
	n, events := need{RightWrite, stream}, clientEvents(batch)
	guards := append([]Guard{s.refused.guard(n)}, s.guards...)
	for second := false; ; second = true {
		done, err := s.append(ctx, stream, expected, events, guards, s.cfg.Wait)
		if err == nil {
			s.refused.release(n)
			// Another service may have claimed the store meanwhile, and written before.
			if err := s.confirm(ctx); err != nil {
				return Appended{}, fmt.Errorf("append: the answer came too late: %w", err)
			}
			return done, nil
		}
		again, err := s.refused.met(ctx, err, n, second)
		if !again {
			return Appended{}, err
		}
	}
}

// append does it for events of the client, which are made once: what is sent
// again is what was sent before. within is for acquire, until something was
// sent, whose outcome has to be found out. A refusal by a guard ends it, unless
// the session has ended on which the guard was asked.
func (s *Store) append(ctx context.Context, stream string, expected Expected, events []esdb.EventData, guards []Guard, within time.Duration) (Appended, error) {
	options := esdb.AppendToStreamOptions{ExpectedRevision: clientRevision(expected), Deadline: &s.cfg.TryTimeout}

	s.conn.appending.Add(1)
	defer s.conn.appending.Add(-1)
	var last error
	open := false // a try had no answer
	done, err := backoff.Retry(ctx, func() (Appended, error) {
		var result *esdb.WriteResult
		result, last = guardedCall(ctx, s.conn, guards, within, s.cfg.TryTimeout, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
			return c.AppendToStream(ctx, stream, options, events...)
		})
		if last == nil && result.CommitPosition == 0 {
			last = errNoPosition
		}
		away := errors.Is(last, errNotConnected)
		_, guarded := errors.AsType[*guardError](last)
		replaced := errors.Is(last, errSessionEnded) || errors.Is(last, ErrReplaced)
		switch {
		case last == nil:
			return Appended{Revision: result.NextExpectedVersion, Position: Position(result.CommitPosition)}, nil
		case definite(last), guarded && !replaced, away && within != forEver:
			return Appended{}, backoff.Permanent(last)
		case !away && !replaced:
			within, open = forEver, true
		}
		return Appended{}, last
	}, s.retry(outcomeResent, func() bool { return connectionLost(last) })...)
	switch {
	case err == nil:
		s.acknowledge(stream, done, events[len(events)-1])
		s.metrics.appended(outcomeDone)
		return done, nil
	case isConflict(last):
		s.metrics.appended(outcomeConflict)
		return Appended{}, conflictOf(stream, expected, last)
	}
	s.metrics.appended(outcomeFailed)
	if ctx.Err() != nil {
		return Appended{}, fmt.Errorf("append: %w: %w", ErrUnavailable, context.Cause(ctx))
	}
	if errors.Is(last, ErrClosed) {
		return Appended{}, ErrClosed
	}
	if refused, ok := errors.AsType[*guardError](last); ok {
		if open && errors.Is(refused, ErrRefused) {
			return Appended{}, &leftOpenError{refused}
		}
		return Appended{}, fmt.Errorf("append: %w: %w", ErrUnavailable, refused)
	}
	if damaged := s.damaged(last); damaged != nil {
		return Appended{}, fmt.Errorf("append refused: %w", damaged)
	}
	if denied := accessError(last, "write to ($w) the stream "+stream); denied != nil {
		if open {
			return Appended{}, &leftOpenError{denied}
		}
		return Appended{}, fmt.Errorf("append refused: %w", denied)
	}
	if definite(last) {
		return Appended{}, fmt.Errorf("append refused: %v", last)
	}
	return Appended{}, fmt.Errorf("append: %w: %v", ErrUnavailable, last)
}

// sessionPaced is a back-off that pauses for nothing where the session was given
// up: the next try waits for the next session, and sessions have a pace.
type sessionPaced struct {
	backoff.BackOff
	givenUp func() bool // of the last try
}

// NextBackOff implements backoff.BackOff.
func (p sessionPaced) NextBackOff() time.Duration {
	if p.givenUp() {
		p.Reset()
		return 0
	}
	return p.BackOff.NextBackOff()
}

// retry is the bounded, jittered back-off; each new try counts as outcome.
func (s *Store) retry(outcome string, givenUp func() bool) []backoff.RetryOption {
	return []backoff.RetryOption{
		backoff.WithBackOff(sessionPaced{s.pauses(), givenUp}),
		backoff.WithMaxElapsedTime(s.cfg.Bound),
		backoff.WithNotify(func(error, time.Duration) { s.metrics.appended(outcome) }),
	}
}

func checkBatch(stream string, batch []Proposed) error {
	if !IsLedgerStream(stream) {
		return fmt.Errorf("%w: %q", ErrNotLedgerStream, stream)
	}
	if len(batch) == 0 {
		return errEmptyBatch
	}
	for _, p := range batch {
		if size := len(p.Data) + len(p.Metadata); size > MaxEventSize {
			return &TooLargeError{Type: p.Type, Size: size}
		}
	}
	return nil
}

func clientEvents(batch []Proposed) []esdb.EventData {
	events := make([]esdb.EventData, len(batch))
	for i, p := range batch {
		events[i] = esdb.EventData{
			EventID:     p.ID,
			EventType:   p.Type,
			ContentType: esdb.ContentTypeJson,
			Data:        p.Data,
			Metadata:    p.Metadata,
		}
	}
	return events
}

func clientRevision(e Expected) esdb.ExpectedRevision {
	if e.exists {
		return esdb.Revision(e.revision)
	}
	return esdb.NoStream{}
}

// definite reports whether an error is the server's answer, so that surely
// nothing was written. Whatever is not in this list leaves it open.
func definite(err error) bool {
	if errors.Is(err, ErrClosed) {
		return true
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion, esdb.ErrorCodeStreamDeleted:
			return true
		}
	}
	switch status.Code(rootStatus(err)) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.PermissionDenied,
		codes.Unauthenticated, codes.Unimplemented, codes.OutOfRange,
		codes.DataLoss: // met while it looked at the stream, before it would have written
		return true
	}
	return false
}

func isConflict(err error) bool {
	e, ok := errors.AsType[*esdb.Error](err)
	return ok && e.Code() == esdb.ErrorCodeWrongExpectedVersion
}

// conflictOf reads the actual revision out of the client's sentence, which is
// the only place where the client leaves it.
func conflictOf(stream string, expected Expected, err error) error {
	conflict := &ConflictError{Stream: stream, Expected: expected, Actual: -1}
	e, _ := errors.AsType[*esdb.Error](err)
	_, found, ok := strings.Cut(e.Err().Error(), "but got '")
	found = strings.TrimSuffix(found, "'")
	if !ok || found == "no_stream" {
		return conflict
	}
	if n, err := strconv.ParseInt(found, 10, 64); err == nil {
		conflict.Actual = n
	}
	return conflict
}
