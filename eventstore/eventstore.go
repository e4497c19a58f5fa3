// Package eventstore is everything that knows EventStoreDB: the Store over the
// official client, the codec between stored bytes and domain events, and
// Handle, the loop by which every command reaches the log.
//
// It is not a place for rules (those are in domain) nor for read models (those
// are in projections), and it knows nothing of the embedded node in
// eventstore/node: a cluster is only another connection string.
//
// Begin reading at Handle, which needs all the rest: it loads and folds a
// stream, lets the domain decide, and appends with the revision it has seen.
// Then Store.Append for what happens when the answer to an append is lost, and
// Codec for what lies in the log.
package eventstore

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Position is a place in the log of one server: the commit position of an
// event. It is opaque, only grows, and changes when a log is copied to another
// server, so it is for resuming and for waiting on one's own writes and is
// never kept for others. Zero is before every event.
type Position uint64

// String is the form in which a position is handed out.
func (p Position) String() string { return strconv.FormatUint(uint64(p), 10) }

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%q is not a position", s)
	}
	return Position(n), nil
}

// Recorded is one event exactly as the log holds it.
type Recorded struct {
	ID       uuid.UUID
	Stream   string
	Revision uint64 // in its stream, from 0
	Position Position
	Type     string
	JSON     bool // what the writer said the data are; the ledger's always are
	Data     []byte
	Metadata []byte
	Created  time.Time // by the server's clock; never used for a decision
}

// Proposed is one event to be appended.
type Proposed struct {
	ID       uuid.UUID
	Type     string
	Data     []byte
	Metadata []byte
}

// Appended tells where the last event of a batch came to lie.
type Appended struct {
	Revision uint64
	Position Position
}

// Expected is the revision at which an append expects to find its stream. The
// zero value expects that there is no such stream. There is deliberately no
// way to say "any": with the client's empty options nothing is checked at all,
// and forgetting the check must be impossible.
type Expected struct {
	exists   bool
	revision uint64
}

// NoStream expects that the stream has no event yet.
func NoStream() Expected { return Expected{} }

// At expects that the stream's last event has this revision.
func At(revision uint64) Expected { return Expected{exists: true, revision: revision} }

// After expects the stream as a reader saw it: revision -1 is no stream.
func After(revision int64) Expected {
	if revision < 0 {
		return NoStream()
	}
	return At(uint64(revision))
}

// String says the expectation in words for an error or a log line.
func (e Expected) String() string {
	if !e.exists {
		return "no stream"
	}
	return "revision " + strconv.FormatUint(e.revision, 10)
}

// MaxEventSize is how large the data and metadata of one event may be together.
const MaxEventSize = 64 << 10
