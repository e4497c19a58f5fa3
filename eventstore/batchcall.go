package eventstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// contentBinary is how a server names every content type that is not JSON.
const contentBinary = "application/octet-stream"

// errRefused is matched by the refusal of one batch, of which nothing was
// written.
var errRefused = errors.New("append refused")

// batchCall is one BatchAppend call. One goroutine sends, and another receives
// beside it: a server that waits for its answers to be read reads no requests.
//
// It is always cancelled and never half-closed. A server loses answers after a
// half-close, or never ends the call.
type batchCall struct {
	conn   *grpc.ClientConn
	wire   streams.Streams_BatchAppendClient
	cancel context.CancelCauseFunc

	refused chan struct{} // closed when the first batch was not written
	ended   chan struct{} // closed when nothing more is received
	err     error         // why; written before ended is closed
	leader  string        // that a member named which does not lead; written before ended is closed

	mu      sync.Mutex
	waiting map[uuid.UUID]*sentBatch // guarded by mu; not answered, by correlation id
}

// errFailedBefore keeps a batch from being sent behind one that was not written.
var errFailedBefore = errors.New("an append before this one has failed")

// send sends a batch as one message, and waits at most for so long until the
// server reads it.
func (c *batchCall) send(b *sentBatch, batch []Recorded, timeout time.Duration) error {
	select {
	case <-c.refused:
		return errFailedBefore
	default:
	}
	correlation := uuid.New()
	c.mu.Lock()
	c.waiting[correlation] = b
	c.mu.Unlock()
	defer time.AfterFunc(timeout, func() { c.cancel(errSilent) }).Stop()
	err := c.wire.Send(batchRequest(correlation, b, batch))
	if !errors.Is(err, io.EOF) {
		return err
	}
	<-c.ended // gRPC gives the reason to the receiver
	return c.err
}

// receive passes the answers on until the call ends. ctx is the context of that
// call.
func (c *batchCall) receive(ctx context.Context) {
	defer close(c.ended)
	for {
		resp, err := c.wire.Recv()
		if err == nil {
			c.answered(resp)
			continue
		}
		switch cause := context.Cause(ctx); {
		case errors.Is(err, io.EOF):
			err = errCallEnded
		case errors.Is(cause, errSilent):
			err = cause
		}
		c.err, c.leader = err, leaderIn(c.wire.Trailer())
		return
	}
}

// answered passes an answer to its batch. A server may answer a batch twice: the
// first answer counts.
func (c *batchCall) answered(resp *streams.BatchAppendResp) {
	correlation, err := idFromWire(resp.GetCorrelationId())
	if err != nil {
		return // its batch counts as unanswered
	}
	c.mu.Lock()
	b := c.waiting[correlation]
	delete(c.waiting, correlation)
	c.mu.Unlock()
	if b == nil {
		return
	}
	o := b.outcomeOf(resp)
	if o.err != nil {
		select {
		case <-c.refused:
		default:
			close(c.refused)
		}
	}
	b.outcome <- o
}

// close cancels the call, and returns the leader that the server has named.
func (c *batchCall) close() (leader string) {
	c.cancel(nil)
	<-c.ended
	_ = c.conn.Close() // nothing is sent any more
	return c.leader
}

// outcomeOf reads the answer to a batch. Every error in it is a refusal,
// whatever its code: "Server Is Not Ready" has the code of success.
func (b *sentBatch) outcomeOf(resp *streams.BatchAppendResp) batchOutcome {
	success := resp.GetSuccess()
	if success == nil {
		return batchOutcome{err: b.refusal(resp.GetError())}
	}
	at := success.GetPosition().GetCommitPosition()
	if at == 0 {
		return batchOutcome{err: errNoPosition}
	}
	return batchOutcome{done: Appended{Revision: success.GetCurrentRevision(), Position: Position(at)}}
}

// refusal is what an error in an answer means. Only where its details say that
// the batch was refused is it certain that the server does not write it.
func (b *sentBatch) refusal(s *rpcstatus.Status) error {
	for _, packed := range s.GetDetails() {
		details, err := packed.UnmarshalNew()
		if err != nil {
			continue // a kind of answer that is not known here
		}
		switch d := details.(type) {
		case *shared.WrongExpectedVersion:
			return b.conflict(d)
		case *shared.AccessDenied:
			denied := status.Error(codes.PermissionDenied, s.GetMessage())
			return fmt.Errorf("%w: %w", errRefused, accessError(denied, "write to ($w) the stream "+b.stream))
		case *shared.StreamDeleted:
			return fmt.Errorf("%w: the stream %s is deleted", errRefused, b.stream)
		case *shared.MaximumAppendSizeExceeded:
			return fmt.Errorf("%w: it is larger than the %d bytes that the event store accepts", errRefused, d.GetMaxAppendSize())
		case *shared.BadRequest:
			return fmt.Errorf("%w: %s", errRefused, d.GetMessage())
		case *shared.Timeout:
			return errors.New("the event store did not decide in time")
		}
	}
	switch {
	case codes.Code(s.GetCode()) == codes.DataLoss:
		return status.ErrorProto(s)
	case s.GetMessage() == "":
		return errors.New("the event store did not say why")
	}
	return fmt.Errorf("the event store said: %s", s.GetMessage())
}

func (b *sentBatch) conflict(d *shared.WrongExpectedVersion) error {
	conflict := &ConflictError{Stream: b.stream, Expected: b.expected, Actual: -1}
	if at, ok := d.GetCurrentStreamRevisionOption().(*shared.WrongExpectedVersion_CurrentStreamRevision); ok && at.CurrentStreamRevision <= math.MaxInt64 {
		conflict.Actual = int64(at.CurrentStreamRevision)
	}
	return conflict
}

// batchRequest is a whole batch in one message.
func batchRequest(correlation uuid.UUID, b *sentBatch, batch []Recorded) *streams.BatchAppendReq {
	o := &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(b.stream)}}
	o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	if b.expected.exists {
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: b.expected.revision}
	}
	req := &streams.BatchAppendReq{CorrelationId: idToWire(correlation), Options: o, IsFinal: true}
	for _, r := range batch {
		content := contentBinary
		if r.JSON {
			content = contentJSON
		}
		req.ProposedMessages = append(req.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id: idToWire(r.ID), Metadata: map[string]string{"type": r.Type, "content-type": content}, CustomMetadata: r.Metadata, Data: r.Data,
		})
	}
	return req
}

func idToWire(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

// idFromWire reads both forms: a server may answer in the other one.
func idFromWire(id *shared.UUID) (out uuid.UUID, err error) {
	if s := id.GetStructured(); s != nil {
		binary.BigEndian.PutUint64(out[:8], uint64(s.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(out[8:], uint64(s.GetLeastSignificantBits()))
		return out, nil
	}
	return uuid.Parse(id.GetString_())
}
