package transfer

import (
	"context"
	"errors"
	"fmt"

	"permitledger/eventstore"
)

// A server that flushes each write to disk takes as long for one append as for
// many that wait together. So a copy has several under way. The server writes
// them in the order in which they were sent, but it does not stop at one that
// it refuses or loses. Then the target may have the next ones without it, and no
// append can mend that order. So a batch that a server may refuse, or that acts
// on more than its own stream, is sent by itself: see excludes.

const (
	// mostSent is how many batches are under way at once.
	mostSent = 64
	// mostSentBytes is how large they may be together.
	mostSentBytes = 4 << 20
	// mostSingly bounds how many batches are sent one by one after failures.
	mostSingly = 1 << 12
	// usualName is how long a stream's name may be for every server to take it.
	usualName = 1 << 10
)

// severalAtOnce is the batches that are under way.
type severalAtOnce struct {
	pipeline *eventstore.Pipeline // nil: each batch is sent by itself
	sent     [][]eventstore.Recorded
	bytes    int

	singly int // how many batches are sent by themselves before several are again
	pause  int // what singly was after the last failure; 0 once an answer came
}

// excludes reports whether a batch has to be sent while no other is under way:
// metadata, deletions and tombstones, and whatever a server may find too large.
func (s *severalAtOnce) excludes(batch []eventstore.Recorded) bool {
	first := batch[0]
	return s.pipeline == nil || s.singly > 0 ||
		isMetadata(first) || isTombstone(first) ||
		size(batch) > maxBatchBytes || len(first.Stream) > usualName
}

// full reports whether a batch has to wait for an answer before it is sent.
func (s *severalAtOnce) full(batch []eventstore.Recorded) bool {
	return len(s.sent) >= mostSent || len(s.sent) > 0 && s.bytes+size(batch) > mostSentBytes
}

func (s *severalAtOnce) add(batch []eventstore.Recorded) {
	s.sent, s.bytes = append(s.sent, batch), s.bytes+size(batch)
}

// oldest removes the batch that was sent first.
func (s *severalAtOnce) oldest() []eventstore.Recorded {
	batch := s.sent[0]
	s.sent, s.bytes = s.sent[1:], s.bytes-size(batch)
	return batch
}

// forget removes all batches that are under way, and gives their events.
func (s *severalAtOnce) forget() (all []eventstore.Recorded) {
	for len(s.sent) > 0 {
		all = append(all, s.oldest()...)
	}
	return all
}

// failed keeps from sending several at once for a while, the longer the more
// often it fails: where it always does, sending one by one is faster.
func (s *severalAtOnce) failed(err error) {
	s.pipeline.Close()
	if errors.Is(err, eventstore.ErrNoPipeline) {
		s.pipeline = nil
		return
	}
	s.pause = min(max(1, 2*s.pause), mostSingly)
	s.singly = s.pause
}

// endPipeline closes the pipeline, if the target has one.
func (c *copier) endPipeline() {
	if c.several.pipeline != nil {
		c.several.pipeline.Close()
	}
}

func size(batch []eventstore.Recorded) (bytes int) {
	for _, r := range batch {
		bytes += sizeOf(r)
	}
	return bytes
}

// send sends a batch behind those that are under way.
func (c *copier) send(ctx context.Context, batch []eventstore.Recorded) error {
	for c.several.full(batch) {
		if err := c.answer(ctx); err != nil {
			return err
		}
	}
	if err := c.several.pipeline.Send(ctx, batch); err != nil {
		// One of those before it says why, unless the connection is at fault.
		if err := c.settle(ctx); err != nil {
			return err
		}
		return c.broken(ctx, batch, err)
	}
	c.several.add(batch)
	return nil
}

// settle waits until no batch is under way.
func (c *copier) settle(ctx context.Context) error {
	for len(c.several.sent) > 0 {
		if err := c.answer(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer waits for the answer to the oldest batch that is under way.
func (c *copier) answer(ctx context.Context) error {
	oldest := c.several.sent[0]
	done, err := c.several.pipeline.Answer(ctx)
	if err != nil {
		return c.broken(ctx, oldest, err)
	}
	c.several.pause = 0
	c.several.oldest()
	return c.written(oldest, done)
}

// broken ends what is under way after a batch that was not taken. Those behind
// it are decided first: the next look at the target must see all of them.
func (c *copier) broken(ctx context.Context, first []eventstore.Recorded, err error) error {
	c.several.pipeline.Settle(ctx)
	c.several.failed(err)
	c.certain = false
	return explain(first[0], err)
}

// disordered says what it means that the target is not the beginning of the
// source after a batch was not taken, whose failure is because.
func disordered(because, err error) error {
	if because == nil || !errors.Is(err, ErrDiffers) {
		return err
	}
	return fmt.Errorf("%w: %w; before that an append had failed: %w", ErrOrder, err, because)
}
