package transfer

import (
	"context"
	"errors"
	"fmt"

	"permitledger/eventstore"
)

const (
	// maxBatchBytes is how much a server takes in one append by default.
	maxBatchBytes = 1 << 20
	// maxBatchEvents keeps the memory of a batch of tiny events in bounds.
	maxBatchEvents = 1000
)

// errLook ends a row of appends after one whose event only the target's log
// can show.
var errLook = errors.New("the target does not show what it has taken")

// copier is one copy under way. It belongs to one goroutine.
type copier struct {
	Options
	from, to eventstore.Verbatim
	until    eventstore.Position // of the source; what comes later is left for the next time

	source  *side
	reached eventstore.Position // of the target: up to here it is the same
	number  uint64              // how many events that are
	found   uint64              // how many were there at first

	several severalAtOnce
	certain bool // the last failure was of a batch that was sent by itself, or of the source
}

// run copies. It compares as long as the target has events, then appends until
// the source has none or the target is not where it was believed to be; then it
// compares again.
func (c *copier) run(ctx context.Context) error {
	var because error // the last append was not taken
	for {
		before := c.number
		if err := c.compare(ctx); err != nil {
			return disordered(because, err)
		}
		switch {
		case because == nil:
			c.found = c.number
		case c.certain && c.number == before:
			return because
		}
		if because = c.append(ctx); because == nil || ctx.Err() != nil || errors.Is(because, ErrOrder) {
			return because
		}
	}
}

// compare goes through what the target holds beyond where it is known to be
// the same.
func (c *copier) compare(ctx context.Context) error {
	target := pull(c.eventsOf(ctx, c.to, c.reached, atTheEnd))
	defer target.stop()
	return alongside(c.source, target, &c.number, func(s, t eventstore.Recorded) {
		c.reached = t.Position
		c.told(Copying, s)
	})
}

// append writes the rest of the source. Nil says that all of it is written.
// Otherwise it has put back what was not, or is not known to be.
func (c *copier) append(ctx context.Context) error {
	for {
		batch, err := c.batch()
		switch {
		case err != nil:
			err, c.certain = fmt.Errorf("read the source: %w", err), true
		case len(batch) == 0:
			err = c.settle(ctx)
		case c.several.excludes(batch):
			err = c.single(ctx, batch)
		default:
			err = c.send(ctx, batch)
		}
		if err != nil {
			c.source.putBack(batch)
			c.source.putBack(c.several.forget())
			return err
		}
		if len(batch) == 0 {
			return nil
		}
	}
}

// batch takes what goes into one append: events of one stream that follow each
// other in the source.
func (c *copier) batch() (batch []eventstore.Recorded, err error) {
	for size := 0; len(batch) < maxBatchEvents; {
		next, err := c.source.peek()
		if err != nil || next == nil {
			return batch, err
		}
		size += sizeOf(*next)
		if len(batch) > 0 && (size > maxBatchBytes || !follows(batch[len(batch)-1], *next)) {
			return batch, nil
		}
		batch = append(batch, *next)
		c.source.take()
	}
	return batch, nil
}

// sizeOf is how much of a server's limit for one append an event takes.
func sizeOf(r eventstore.Recorded) int { return len(r.Data) + len(r.Metadata) + 2*len(r.Type) }

// follows reports whether an event can be in the same append as the one before
// it. Metadata goes alone: a server that is given several for a deleted stream
// would write the stream again only after the last.
func follows(before, next eventstore.Recorded) bool {
	return next.Stream == before.Stream && next.Revision == before.Revision+1 && !isMetadata(next)
}

// single writes a batch while no other is under way.
func (c *copier) single(ctx context.Context, batch []eventstore.Recorded) error {
	if err := c.settle(ctx); err != nil {
		return err
	}
	c.several.singly = max(c.several.singly-1, 0)
	done, err := c.write(ctx, batch)
	if err != nil {
		c.certain = true
		return explain(batch[0], err)
	}
	return c.written(batch, done)
}

// written moves what is known to be the same over a batch that was answered.
func (c *copier) written(batch []eventstore.Recorded, done eventstore.Appended) error {
	last := batch[len(batch)-1]
	if done.Position <= c.reached {
		return fmt.Errorf("%w: it has %s before the event that it follows in the source", ErrOrder, describe(last))
	}
	c.reached = done.Position
	c.number += uint64(len(batch))
	c.told(Copying, last)
	return nil
}

// write has the target do what the source has done.
func (c *copier) write(ctx context.Context, batch []eventstore.Recorded) (eventstore.Appended, error) {
	first := batch[0]
	switch {
	case isTombstone(first) && eventstore.IsLedgerStream(first.Stream):
		return eventstore.Appended{}, ErrTombstone
	case isTombstone(first):
		return c.looked(c.to.Tombstone(ctx, first.Stream))
	case isDeletion(first):
		// To write metadata to a deleted stream would bring it back.
		deleted, err := c.deleted(ctx, first.Stream)
		if err != nil {
			return eventstore.Appended{}, err
		}
		if deleted {
			return c.looked(c.to.Delete(ctx, originalOf(first.Stream)))
		}
	}
	return c.to.Append(ctx, batch)
}

// looked leaves it to the target's log where an event of its own came to lie.
func (c *copier) looked(err error) (eventstore.Appended, error) {
	if err == nil {
		err = errLook
	}
	return eventstore.Appended{}, err
}

// deleted reports whether the newest metadata in a stream of the target hide
// all of the stream that they are about.
func (c *copier) deleted(ctx context.Context, metastream string) (deleted bool, err error) {
	for r, err := range c.to.Read(ctx, metastream, 0) {
		if err != nil {
			return false, err
		}
		deleted = isDeletion(r)
	}
	return deleted, nil
}

func (c *copier) told(phase Phase, last eventstore.Recorded) {
	if c.Progress != nil {
		c.Progress(phase, c.number, last.Position, c.until)
	}
}

// explain says of a batch that was not taken, and that a look at the target did
// not account for, what that means.
func explain(first eventstore.Recorded, err error) error {
	conflict, ok := errors.AsType[*eventstore.ConflictError](err)
	switch {
	case !ok:
		return fmt.Errorf("copy %s: %w", describe(first), err)
	case conflict.Actual < int64(first.Revision)-1:
		return fmt.Errorf("%w: the first event left of %s has revision %d, and %d would be next; what came before was scavenged away, "+
			"so that a copy would number it anew", ErrGap, first.Stream, first.Revision, conflict.Actual+1)
	}
	return fmt.Errorf("%w: %w; stop that, empty the target and copy again", ErrDisturbed, conflict)
}
