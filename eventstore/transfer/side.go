package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"strings"

	"permitledger/eventstore"
)

const (
	metaPrefix    = "$$"
	typeMetadata  = "$metadata"
	typeTombstone = "$streamDeleted"

	// atTheEnd is beyond every position: what is read has no bound.
	atTheEnd = eventstore.Position(math.MaxUint64)
)

// side is one of two logs that are gone through together.
type side struct {
	next func() (eventstore.Recorded, error, bool)
	stop func()
	held []eventstore.Recorded // come before what next gives
	room [1]eventstore.Recorded
}

func pull(events iter.Seq2[eventstore.Recorded, error]) *side {
	next, stop := iter.Pull2(events)
	return &side{next: next, stop: stop}
}

// peek gives the next event and leaves it there; nil at the end.
func (s *side) peek() (*eventstore.Recorded, error) {
	if len(s.held) == 0 {
		r, err, ok := s.next()
		if err != nil || !ok {
			return nil, err
		}
		s.held = append(s.room[:0], r)
	}
	return &s.held[0], nil
}

// take goes past the event that peek gave.
func (s *side) take() { s.held = s.held[1:] }

// putBack has events come again that were taken.
func (s *side) putBack(batch []eventstore.Recorded) { s.held = append(batch, s.held...) }

// eventsOf yields what is copied of a log, strictly after a position and up to
// another.
func (c *copier) eventsOf(ctx context.Context, log eventstore.Verbatim, after, until eventstore.Position) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		for r, err := range log.ReadAll(ctx, after) {
			switch {
			case err == nil && r.Position > until:
				return
			case err == nil && (!c.copies(r.Stream) || isBeyond(r)):
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// alongside goes through both sides as long as the target has events, which
// have to be those of the source, and counts them.
func alongside(source, target *side, number *uint64, each func(s, t eventstore.Recorded)) error {
	for {
		t, err := target.peek()
		if err != nil {
			return fmt.Errorf("read the target: %w", err)
		}
		if t == nil {
			return nil
		}
		s, err := source.peek()
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		*number++
		if s == nil {
			return &DifferenceError{Number: *number, Target: describe(*t)}
		}
		if what := difference(*s, *t); what != "" {
			return &DifferenceError{Number: *number, What: what, Source: describe(*s), Target: describe(*t)}
		}
		each(*s, *t)
		source.take()
		target.take()
	}
}

// difference says in what two events differ that a copy has to keep, "" for
// nothing.
func difference(s, t eventstore.Recorded) string {
	switch {
	case s.Stream != t.Stream:
		return "streams"
	case s.Revision != t.Revision:
		return "revisions"
	case s.Type != t.Type:
		return "types"
	case isTombstone(s):
		return "" // the rest is the server's
	case s.JSON != t.JSON:
		return "content types"
	case string(s.Metadata) != string(t.Metadata):
		return "metadata"
	case isServers(s) && isServers(t) && sameJSON(s.Data, t.Data):
		return ""
	case string(s.Data) != string(t.Data):
		return "data"
	case s.ID != t.ID:
		return "ids"
	}
	return ""
}

// copies reports whether a stream is one that people write to, or the metadata
// of one. The streams that a server keeps for itself begin with $, and those of
// the service speak of this one event store.
func (c *copier) copies(stream string) bool {
	about := originalOf(stream)
	return !strings.HasPrefix(about, "$") && !eventstore.IsServiceStream(about) && (c.Leave == nil || !c.Leave(about))
}

// originalOf names the stream that a stream of metadata is about.
func originalOf(stream string) string { return strings.TrimPrefix(stream, metaPrefix) }

func isMetadata(r eventstore.Recorded) bool { return strings.HasPrefix(r.Stream, metaPrefix) }

func isTombstone(r eventstore.Recorded) bool {
	return r.Type == typeTombstone && r.Revision == math.MaxInt64
}

// isBeyond reports whether an event has a revision above that of a tombstone.
// Earlier versions of the embedded node wrote such metadata behind the
// tombstone of a stream of metadata. No reader of a stream finds them, and no
// event store would take them.
func isBeyond(r eventstore.Recorded) bool { return r.Revision > math.MaxInt64 }

// isServers reports whether an event is metadata as a server writes them by
// itself: when a stream is deleted, and when a deleted one is written again.
// Each server does so under an id and in a spelling of its own.
func isServers(r eventstore.Recorded) bool {
	_, truncated := truncatedBefore(r)
	return truncated
}

// isDeletion reports whether an event is metadata that hide all of a stream.
func isDeletion(r eventstore.Recorded) bool {
	before, _ := truncatedBefore(r)
	return before == math.MaxInt64
}

// truncatedBefore is the $tb in an event of metadata.
func truncatedBefore(r eventstore.Recorded) (int64, bool) {
	if !isMetadata(r) || r.Type != typeMetadata {
		return 0, false
	}
	var content map[string]json.RawMessage // names of members are told apart by case
	if json.Unmarshal(r.Data, &content) != nil || content["$tb"] == nil {
		return 0, false
	}
	var before int64
	err := json.Unmarshal(content["$tb"], &before)
	return before, err == nil
}

func sameJSON(a, b []byte) bool {
	one, err := eventstore.CanonicalJSON(a)
	if err != nil {
		return false
	}
	other, err := eventstore.CanonicalJSON(b)
	return err == nil && string(one) == string(other)
}

// describe says which event one is.
func describe(r eventstore.Recorded) string {
	if isTombstone(r) {
		return "the tombstone of " + r.Stream
	}
	return fmt.Sprintf("%s at revision %d of %s (id %s)", r.Type, r.Revision, r.Stream, r.ID)
}
