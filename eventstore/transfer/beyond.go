package transfer

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"permitledger/eventstore"
)

// mostBeyond is how many streams an error names.
const mostBeyond = 10

// checked yields the events of the source, and ends before the first that comes
// after the tombstone of a stream of metadata where the log has events at
// revisions beyond 2^63-1. Earlier versions of the embedded node wrote such
// metadata when a deleted stream without living metadata was deleted or written
// once more. The same command kills an EventStoreDB server for good, so that a
// copy must not repeat it. rest yields what comes after an event.
func checked(events iter.Seq2[eventstore.Recorded, error], rest func(eventstore.Recorded) iter.Seq2[eventstore.Recorded, error]) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		sound := false // nothing that comes is beyond
		for r, err := range events {
			if err == nil && !sound && (isMetadata(r) && isTombstone(r) || isBeyond(r)) {
				sound, err = true, lookForBeyond(r, rest(r))
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// lookForBeyond names the streams with events at revisions that no server gives.
func lookForBeyond(first eventstore.Recorded, rest iter.Seq2[eventstore.Recorded, error]) error {
	var streams []string
	events := 0
	note := func(r eventstore.Recorded) {
		if !isBeyond(r) {
			return
		}
		events++
		if !slices.Contains(streams, r.Stream) && len(streams) <= mostBeyond {
			streams = append(streams, r.Stream)
		}
	}
	note(first)
	for r, err := range rest {
		if err != nil {
			return err
		}
		note(r)
	}
	if events == 0 {
		return nil
	}
	if len(streams) > mostBeyond {
		streams[mostBeyond] = "others"
	}
	return fmt.Errorf("%w: %d of them, in %s", ErrBeyond, events, strings.Join(streams, ", "))
}

func isBeyond(r eventstore.Recorded) bool { return r.Revision > math.MaxInt64 }

// ofSource yields what is copied of the source.
func (c *copier) ofSource(ctx context.Context) iter.Seq2[eventstore.Recorded, error] {
	return checked(c.eventsOf(ctx, c.from, 0, c.until), func(r eventstore.Recorded) iter.Seq2[eventstore.Recorded, error] {
		return c.eventsOf(ctx, c.from, r.Position, c.until)
	})
}
