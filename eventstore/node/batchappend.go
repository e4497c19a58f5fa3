package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	// longestOpen is how long the messages of one batch may take, where its
	// deadline does not say less. An operator sets it on the original server.
	longestOpen = 10 * time.Second

	// What a call may leave unfinished. A batch alone may be as large as any
	// append; the bytes bound those that are open beside it.
	maxOpenBatches = 1024
	maxOpenBytes   = 16 << 20

	// recordBytes is what an event takes in memory beside what it was given.
	recordBytes = 256

	// A call with so much in the sequencer's hands is read no further until
	// something of it is decided.
	maxHandedBatches = maxGroupWrites
	maxHandedBytes   = maxGroupBytes
)

// BatchAppend writes many batches over one call. Each comes in one or more
// messages, mixed with those of others, and is decided as an append of the same
// events would be: one after the other in the order in which they become final,
// so that a batch may expect what one sent before it writes. Each is answered
// once, as soon as it is decided; what is wrong with one concerns no other.
//
// It is not advertised: most clients then use Append, which does the same with
// less. This is for those who do not ask.
func (s streamService) BatchAppend(wire streams.Streams_BatchAppendServer) error {
	ctx, cancel := context.WithCancel(wire.Context())
	defer cancel()
	c := &batchCall{
		streamService: s, wire: wire,
		open: make(map[uuid.UUID]*incomingBatch),
		late: make(chan *incomingBatch), handed: make(chan *incomingBatch, maxHandedBatches), decided: make(chan decidedBatch),
	}
	defer close(c.handed)
	requests := make(chan batchRequest)
	go c.listen(ctx, requests)
	go c.await(ctx)
	return c.serve(grpc.NewContextWithServerTransportStream(ctx, noTrailers{}), requests)
}

// noTrailers drops what would be told at the end of the call: a batch that is
// refused does not end it.
type noTrailers struct{ grpc.ServerTransportStream }

func (noTrailers) SetTrailer(metadata.MD) error { return nil }

// batchCall is one call of BatchAppend. It belongs to the goroutine of serve;
// one beside it reads requests, and one waits for the sequencer.
type batchCall struct {
	streamService
	wire streams.Streams_BatchAppendServer

	open      map[uuid.UUID]*incomingBatch
	openBytes int
	late      chan *incomingBatch // whose time is over

	handed      chan *incomingBatch // to the sequencer, in its order; has room for all
	handedCount int
	handedBytes int
	decided     chan decidedBatch

	ending bool  // nothing more is read
	end    error // why
}

// incomingBatch is a batch that is not answered yet.
type incomingBatch struct {
	id          uuid.UUID
	correlation *shared.UUID // the same, in the form that its sender uses
	write       *write
	bytes       int // that it takes in memory
	deadline    time.Time
	timer       *time.Timer // runs while the batch is open
}

type batchRequest struct {
	*streams.BatchAppendReq
	err error
}

type decidedBatch struct {
	*incomingBatch
	outcome outcome
}

// listen reads until there is nothing more to read.
func (c *batchCall) listen(ctx context.Context, requests chan<- batchRequest) {
	for {
		req, err := c.wire.Recv()
		select {
		case requests <- batchRequest{req, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// await takes over what the sequencer decides, in the order in which it does.
func (c *batchCall) await(ctx context.Context) {
	for b := range c.handed {
		select {
		case c.decided <- decidedBatch{b, c.sequencer.await(b.write)}:
		case <-ctx.Done():
			return
		}
	}
}

// serve runs the call until its client has no more to say and was told
// everything.
func (c *batchCall) serve(ctx context.Context, requests <-chan batchRequest) error {
	for !c.ending || c.handedCount > 0 {
		next, closing := requests, c.closing
		if c.ending || c.handedCount >= maxHandedBatches || c.handedBytes >= maxHandedBytes {
			next = nil
		}
		if c.ending {
			closing = nil
		}
		var err error
		select {
		case r := <-next:
			err = c.receive(ctx, r)
		case d := <-c.decided:
			c.handedCount--
			c.handedBytes -= d.bytes
			err = c.answer(ctx, d)
		case b := <-c.late:
			err = c.expire(b)
		case <-closing:
			stopped := c.failInside(ctx, errStopped)
			err = c.finish(stopped, stopped)
		case <-ctx.Done():
			err = c.failInside(ctx, errAbandoned)
		}
		if err != nil {
			return err
		}
	}
	return c.end
}

// receive takes one message. Only what ends the call is an error.
func (c *batchCall) receive(ctx context.Context, r batchRequest) error {
	switch {
	case errors.Is(r.err, io.EOF):
		return c.finish(nil, failInvalid(ctx, "The call ended before the batch did: the last message of a batch says is_final."))
	case r.err != nil:
		return r.err // which ended the call already
	}
	fresh := &incomingBatch{correlation: r.GetCorrelationId(), write: &write{op: opAppend, done: ctx.Done()}}
	fresh.write.stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
	var err error
	if fresh.id, err = parseID(fresh.correlation); err != nil {
		return c.refuse(fresh, failInvalid(ctx, "The correlation id is missing or cannot be read."))
	}
	b := c.take(fresh.id)
	if b == nil {
		if r.GetOptions() == nil {
			return nil // more of a batch that was answered already
		}
		b = fresh
		if err := c.begin(ctx, b, r.GetOptions()); err != nil {
			return c.refuse(b, err)
		}
	}
	if err := b.add(ctx, r.GetProposedMessages()); err != nil {
		return c.refuse(b, err)
	}
	if !r.GetIsFinal() {
		return c.keep(ctx, b)
	}
	return c.hand(ctx, b)
}

// begin looks at what a batch asks for before its events.
func (c *batchCall) begin(ctx context.Context, b *incomingBatch, o *streams.BatchAppendReq_Options) (err error) {
	if err := checkStreamName(ctx, b.write.stream); err != nil {
		return err
	}
	if err := c.mayWrite(ctx, b.write.stream); err != nil {
		return err
	}
	if b.write.expected, err = parseExpected(ctx, o.GetExpectedStreamPosition()); err != nil {
		return err
	}
	left := longestOpen
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		left = min(left, d.Deadline.AsDuration())
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		left = min(left, time.Until(d.Deadline_21_10_0.AsTime()))
	}
	if left <= 0 {
		return errLate
	}
	b.deadline = time.Now().Add(left)
	b.bytes = len(b.write.stream)
	return nil
}

// add takes the events of one message.
func (b *incomingBatch) add(ctx context.Context, events []*streams.BatchAppendReq_ProposedMessage) error {
	for _, p := range events {
		rec, err := proposed(ctx, p)
		if err != nil {
			return err
		}
		if !b.write.add(rec) {
			return errTooLarge
		}
		b.bytes += len(rec.data) + len(rec.meta) + len(rec.typ) + recordBytes
	}
	return nil
}

// keep waits for the rest of a batch.
func (c *batchCall) keep(ctx context.Context, b *incomingBatch) error {
	if n := len(c.open); n >= maxOpenBatches || n > 0 && c.openBytes+b.bytes > maxOpenBytes {
		return c.refuse(b, failInvalid(ctx, fmt.Sprintf(
			"Too much is unfinished: one call may leave %d batches and some %d MiB open. Finish a batch, with is_final, before beginning the next.", maxOpenBatches, maxOpenBytes>>20)))
	}
	c.open[b.id] = b
	c.openBytes += b.bytes
	b.timer = time.AfterFunc(time.Until(b.deadline), func() {
		select {
		case c.late <- b:
		case <-ctx.Done():
		}
	})
	return nil
}

// take removes a batch from those that are open; nil where it is not.
func (c *batchCall) take(id uuid.UUID) *incomingBatch {
	b := c.open[id]
	if b != nil {
		delete(c.open, id)
		c.openBytes -= b.bytes
		b.timer.Stop()
	}
	return b
}

// expire refuses a batch whose rest did not come in time.
func (c *batchCall) expire(b *incomingBatch) error {
	if c.open[b.id] != b {
		return nil // it came after all
	}
	return c.refuse(c.take(b.id), errLate)
}

// hand gives a whole batch to the sequencer.
func (c *batchCall) hand(ctx context.Context, b *incomingBatch) error {
	if err := c.sequencer.enqueue(b.write); err != nil {
		return c.refuse(b, c.failInside(ctx, err))
	}
	c.handedCount++
	c.handedBytes += b.bytes
	c.handed <- b
	return nil
}

// finish reads no more, and refuses what is not whole.
func (c *batchCall) finish(end, unfinished error) error {
	c.ending, c.end = true, end
	for id := range c.open {
		if err := c.refuse(c.take(id), unfinished); err != nil {
			return err
		}
	}
	return nil
}
