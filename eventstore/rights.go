package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Right is one thing that a server allows the user of a store, or refuses.
type Right string

const (
	// RightCredentials is the right to sign in with user and password.
	RightCredentials Right = "credentials"
	// RightReadAll is the right to read $all ($r of $all).
	RightReadAll Right = "read_all"
	// RightRead is the right to read the ledger's streams ($r).
	RightRead Right = "read"
	// RightWrite is the right to append to the ledger's streams ($w).
	RightWrite Right = "write"
)

// Rights are all that the ledger needs, in the order in which they are tried.
func Rights() []Right { return []Right{RightCredentials, RightReadAll, RightRead, RightWrite} }

// CheckStream is the stream that tries whether the default access list lets the
// user read and write. It is outside the ledger's prefixes.
const CheckStream = servicePrefix + "check"

// need is the right that a request takes, and the stream to which it applies;
// empty where it is $all or every stream.
type need struct {
	right  Right
	stream string
}

// words name a right on a stream; empty means every stream of the ledger.
func (n need) words() string {
	stream := "the stream " + n.stream
	if n.stream == "" {
		stream = "the ledger's streams"
	}
	switch n.right {
	case RightReadAll:
		return "read ($r) $all"
	case RightRead:
		return "read ($r) " + stream
	case RightWrite:
		return "write to ($w) " + stream
	}
	return "sign in"
}

// logged are the members of a log line about the right, and these.
func (n need) logged(more ...any) []any {
	if n.stream != "" {
		more = append([]any{"stream", n.stream}, more...)
	}
	return append([]any{"right", string(n.right)}, more...)
}

// TryRights asks the server for every right that the ledger needs, and returns
// an error for each that it refuses. To try the right to write it appends one
// event to CheckStream, once for ever. Err is for a server that does not answer.
func (s *Store) TryRights(ctx context.Context) (refused []error, err error) {
	for _, right := range Rights() {
		err := s.tryRight(ctx, right)
		switch {
		case errors.Is(err, ErrCredentials):
			return []error{err}, nil // nothing else can be tried
		case errors.Is(err, ErrDenied) && right != RightCredentials:
			refused = append(refused, err)
		case err != nil && !errors.Is(err, ErrDenied):
			return refused, err
		}
	}
	return refused, nil
}

// tryRight asks the server for a right by a request that takes it. An error
// matches ErrDenied or ErrCredentials where the server refuses, and otherwise
// the server has not answered.
func (s *Store) tryRight(ctx context.Context, right Right) error {
	_, err := call(ctx, s.conn, s.cfg.Wait, s.cfg.TryTimeout, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
		switch right {
		case RightWrite:
			return struct{}{}, appendCheck(ctx, c)
		case RightRead:
			return struct{}{}, readCheck(ctx, c)
		}
		return struct{}{}, readLast(ctx, c)
	})
	if denied := accessError(err, need{right: right}.words()); denied != nil {
		return denied
	}
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	if err == nil || !transient(err) && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil // an answer that is no refusal
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err)
}

// checkEvent is the one event of CheckStream. It is the same for every store,
// so that appending it again adds nothing.
var checkEvent = esdb.EventData{
	EventID: eventID(CheckStream, "right to write", 0), EventType: "RightChecked",
	ContentType: esdb.ContentTypeJson, Data: []byte(`{}`),
}

// appendCheck expects the stream to be new. A server looks at rights first, so
// that a conflict proves the right as well as an acknowledgement does.
func appendCheck(ctx context.Context, c *esdb.Client) error {
	_, err := c.AppendToStream(ctx, CheckStream, esdb.AppendToStreamOptions{ExpectedRevision: clientRevision(NoStream())}, checkEvent)
	return err
}

func readCheck(ctx context.Context, c *esdb.Client) error {
	rs, err := c.ReadStream(ctx, CheckStream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		return err
	}
	return firstOf(rs)
}

// readLast reads the last event of the whole log.
func readLast(ctx context.Context, c *esdb.Client) error {
	rs, err := c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		return err
	}
	return firstOf(rs)
}

// firstOf receives one event of a read, if there is one.
func firstOf(rs *esdb.ReadStream) error {
	defer rs.Close()
	_, err := rs.Recv()
	if errors.Is(err, io.EOF) || noSuchStream(err) {
		return nil
	}
	return err
}
