package transfer

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"permitledger/eventstore"
)

// mostRevived is how many streams an error names.
const mostRevived = 10

// checked yields the events of the source, and ends before the tombstone of a
// stream of metadata where the stream itself was deleted and written again
// later. Earlier versions of the embedded node did that, and wrote metadata at a
// revision that no stream has. The same append kills an EventStoreDB server for
// good, so that a copy must not repeat it. The log shows it only after that
// append: rest yields what comes after an event, without leaving anything out.
func checked(events iter.Seq2[eventstore.Recorded, error], rest func(eventstore.Recorded) iter.Seq2[eventstore.Recorded, error]) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		looked := false // ahead, to the end
		for r, err := range events {
			if err == nil && !looked && isMetadata(r) && isTombstone(r) {
				looked, err = true, lookForRevived(rest(r))
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// lookForRevived names the streams that were written again in that way.
func lookForRevived(events iter.Seq2[eventstore.Recorded, error]) error {
	var streams []string
	for r, err := range events {
		if err != nil {
			return err
		}
		about := originalOf(r.Stream)
		if isBeyond(r) && !isDeletion(r) && !slices.Contains(streams, about) && len(streams) <= mostRevived {
			streams = append(streams, about)
		}
	}
	if len(streams) == 0 {
		return nil
	}
	if len(streams) > mostRevived {
		streams[mostRevived] = "others"
	}
	return fmt.Errorf("%w: %s", ErrRevived, strings.Join(streams, ", "))
}

// ofSource yields what is copied of the source.
func (c *copier) ofSource(ctx context.Context) iter.Seq2[eventstore.Recorded, error] {
	return checked(c.eventsOf(ctx, c.from, 0, c.until), func(r eventstore.Recorded) iter.Seq2[eventstore.Recorded, error] {
		return c.from.ReadAll(ctx, r.Position)
	})
}
