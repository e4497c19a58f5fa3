package node

import (
	"context"
	"errors"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/emptypb"
)

// errLate and errTooLarge are returned for a batch whose rest did not come
// before its deadline, and for one that is larger than an append may be.
var (
	errLate     = errors.New("the batch was not final before its deadline")
	errTooLarge = errors.New("the batch is larger than an append may be")
)

// answer tells what became of a batch: what an append would be told, in the
// words of BatchAppend.
func (c *batchCall) answer(ctx context.Context, d decidedBatch) error {
	w, out := d.write, d.outcome
	switch {
	case out.err != nil:
		return c.refuse(d.incomingBatch, c.failInside(ctx, out.err))
	case out.verdict == verdictDeleted:
		return c.send(d.incomingBatch, batchRefused(codes.NotFound, "StreamDeleted",
			&shared.StreamDeleted{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(w.stream)}}))
	case out.verdict == verdictWrong:
		return c.send(d.incomingBatch, batchRefused(codes.AlreadyExists, "WrongExpectedVersion", wrongExpectedBatch(w.expected, out.last)))
	}
	return c.send(d.incomingBatch, batchAppended(out))
}

// refuse tells a batch an error. Clients tell these apart by the type of the
// details.
func (c *batchCall) refuse(b *incomingBatch, err error) error {
	s := status.Convert(err)
	message := strings.TrimPrefix(s.Message(), handlerFailed)
	switch {
	case errors.Is(err, errLate):
		return c.send(b, batchRefused(codes.DeadlineExceeded, "Timeout", &shared.Timeout{}))
	case errors.Is(err, errTooLarge):
		return c.send(b, batchRefused(codes.InvalidArgument, "MaximumAppendSizeExceeded",
			&shared.MaximumAppendSizeExceeded{MaxAppendSize: maxAppendSize}))
	case s.Code() == codes.PermissionDenied:
		return c.send(b, batchRefused(codes.PermissionDenied, message, &shared.AccessDenied{}))
	case s.Code() == codes.InvalidArgument, s.Code() == codes.Unknown:
		return c.send(b, batchRefused(codes.InvalidArgument, message, &shared.BadRequest{Message: message}))
	}
	return c.send(b, batchRefused(s.Code(), message, &emptypb.Empty{}))
}

// send answers a batch. Some clients need the stream's name also where there is
// none.
func (c *batchCall) send(b *incomingBatch, resp *streams.BatchAppendResp) error {
	resp.CorrelationId = b.correlation
	resp.StreamIdentifier = &shared.StreamIdentifier{StreamName: []byte(b.write.stream)}
	return c.wire.Send(resp)
}

func batchRefused(code codes.Code, message string, details protoadapt.MessageV1) *streams.BatchAppendResp {
	s, err := status.New(code, message).WithDetails(details)
	if err != nil {
		panic(err) // none of these messages can fail to be encoded
	}
	return &streams.BatchAppendResp{Result: &streams.BatchAppendResp_Error{Error: s.Proto()}}
}

func batchAppended(out outcome) *streams.BatchAppendResp {
	success := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(out.last)},
		PositionOption:        &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}},
	}
	if out.last < 0 {
		success.CurrentRevisionOption = &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}}
	}
	if out.located {
		success.PositionOption = &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: out.position, PreparePosition: out.position,
		}}
	}
	return &streams.BatchAppendResp{Result: &streams.BatchAppendResp_Success_{Success: success}}
}

func wrongExpectedBatch(want expected, last int64) *shared.WrongExpectedVersion {
	empty := &emptypb.Empty{}
	w := &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
	}
	if last >= 0 {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(last)}
	}
	switch want {
	case expectAny:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
	case expectExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
	case expectNoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(want)}
	}
	return w
}
