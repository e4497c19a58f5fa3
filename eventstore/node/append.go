package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	// maxAppendSize bounds one append, as the original server does by default.
	maxAppendSize = 1 << 20

	// maxDrain is how much of a refused batch is still read, so that its
	// sender sees the refusal and not a broken stream.
	maxDrain = 64 << 20
)

// streamService serves event_store.client.streams.Streams.
type streamService struct {
	streams.UnimplementedStreamsServer
	*Node
}

// Append writes one batch of events to one stream, all or nothing.
func (s streamService) Append(stream streams.Streams_AppendServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return failHandler(ctx, "The append has no options.")
		}
		return err
	}
	w, err := s.receive(stream, first)
	if err != nil {
		drain(stream)
		return err
	}
	out := s.sequencer.submit(w)
	switch {
	case out.err != nil:
		return s.failInside(ctx, out.err)
	case out.verdict == verdictDeleted:
		return failDeleted(ctx, w.stream)
	case out.verdict == verdictWrong:
		return stream.SendAndClose(wrongExpected(w.expected, out.last))
	}
	return stream.SendAndClose(appended(out))
}

// drain reads what a refused sender still has to say: a status sent while it
// is sending would reach it as an end of file without a reason.
func drain(stream grpc.ServerStream) {
	for left := maxDrain; left > 0; {
		req := new(streams.AppendReq)
		if stream.RecvMsg(req) != nil {
			return
		}
		p := req.GetProposedMessage()
		left -= len(p.GetData()) + len(p.GetCustomMetadata()) + 64
	}
}

// receive reads a whole append, refusing what is malformed or too large.
func (s streamService) receive(stream streams.Streams_AppendServer, first *streams.AppendReq) (*write, error) {
	ctx := stream.Context()
	options := first.GetOptions()
	if options == nil {
		return nil, failHandler(ctx, "The first message of an append must be its options.")
	}
	want, err := parseExpected(ctx, options.GetExpectedStreamRevision())
	if err != nil {
		return nil, err
	}
	w := &write{
		op:       opAppend,
		stream:   string(options.GetStreamIdentifier().GetStreamName()),
		expected: want,
		done:     ctx.Done(),
	}
	if err := checkStreamName(ctx, w.stream); err != nil {
		return nil, err
	}
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return nil, err
		}
		p := req.GetProposedMessage()
		if p == nil {
			return nil, failHandler(ctx, "Every message of an append but the first must be an event.")
		}
		rec, err := proposed(ctx, p)
		if err != nil {
			return nil, err
		}
		if !w.add(rec) {
			return nil, fail(ctx, codes.InvalidArgument,
				fmt.Sprintf("Maximum Append Size of %d Exceeded.", maxAppendSize),
				trailerException, "maximum-append-size-exceeded",
				"maximum-append-size", strconv.Itoa(maxAppendSize))
		}
	}
}

// add puts one more event into a batch, and tells whether it is still small
// enough.
func (w *write) add(rec record) bool {
	w.events = append(w.events, rec)
	w.size += len(rec.data) + len(rec.meta) + 2*len(rec.typ)
	return w.size <= maxAppendSize
}

// proposal is an event as Append and BatchAppend each declare it for
// themselves.
type proposal interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

// proposed reads one event of an append. Of its metadata only the type and
// whether it is JSON are kept; the rest of the keys is not the protocol's.
func proposed(ctx context.Context, p proposal) (record, error) {
	for _, key := range []string{metaType, metaContentType} {
		if _, ok := p.GetMetadata()[key]; !ok {
			return record{}, fail(ctx, codes.InvalidArgument, fmt.Sprintf("Required Metadata Property '%s' is missing", key),
				trailerException, "missing-required-metadata-property",
				"required-metadata-properties", metaType+","+metaContentType)
		}
	}
	id, err := parseID(p.GetId())
	switch {
	case err != nil:
		return record{}, failHandler(ctx, "The event's id cannot be read.")
	case id == uuid.Nil:
		return record{}, failHandler(ctx, "The event's id is empty.")
	case p.GetMetadata()[metaType] == "":
		return record{}, failHandler(ctx, "The event's type is empty.")
	}
	return record{
		id:   id,
		typ:  p.GetMetadata()[metaType],
		json: p.GetMetadata()[metaContentType] == contentJSON,
		meta: p.GetCustomMetadata(),
		data: p.GetData(),
	}, nil
}

// checkStreamName refuses names that no write may use.
func checkStreamName(ctx context.Context, stream string) error {
	switch {
	case stream == "" || stream == metaPrefix:
		return failHandler(ctx, "The stream's name is empty.")
	case stream == streamAll:
		return failDenied(ctx, "Nothing can be written to $all.")
	case len(stream) > maxStreamName:
		return failInvalid(ctx, fmt.Sprintf("A stream's name may have at most %d bytes.", maxStreamName))
	}
	return nil
}

// streamAll is the name under which clients speak of the whole log.
const streamAll = "$all"

// parseExpected reads the oneof that Append, BatchAppend, Delete and Tombstone
// each declare for themselves.
func parseExpected(ctx context.Context, option any) (expected, error) {
	revision := uint64(0)
	switch v := option.(type) {
	case *streams.AppendReq_Options_Any, *streams.BatchAppendReq_Options_Any, *streams.DeleteReq_Options_Any, *streams.TombstoneReq_Options_Any:
		return expectAny, nil
	case *streams.AppendReq_Options_NoStream, *streams.BatchAppendReq_Options_NoStream, *streams.DeleteReq_Options_NoStream, *streams.TombstoneReq_Options_NoStream:
		return expectNoStream, nil
	case *streams.AppendReq_Options_StreamExists, *streams.BatchAppendReq_Options_StreamExists, *streams.DeleteReq_Options_StreamExists, *streams.TombstoneReq_Options_StreamExists:
		return expectExists, nil
	case *streams.AppendReq_Options_Revision:
		revision = v.Revision
	case *streams.BatchAppendReq_Options_StreamPosition:
		revision = v.StreamPosition
	case *streams.DeleteReq_Options_Revision:
		revision = v.Revision
	case *streams.TombstoneReq_Options_Revision:
		revision = v.Revision
	default:
		return 0, failInvalid(ctx, "The expected stream revision is not set.")
	}
	if revision > math.MaxInt64 {
		return 0, failInvalid(ctx, fmt.Sprintf("The expected stream revision %d is out of range.", revision))
	}
	return expected(revision), nil
}

func appended(out outcome) *streams.AppendResp {
	success := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(out.last)},
		PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}},
	}
	if out.last < 0 {
		success.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}
	}
	if out.located {
		success.PositionOption = &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: out.position, PreparePosition: out.position,
		}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

// wrongExpected is a normal answer to an append. Each of its facts stands in
// it twice, the second time for clients of before 20.6.1.
func wrongExpected(want expected, last int64) *streams.AppendResp {
	empty := &shared.Empty{}
	w := &streams.AppendResp_WrongExpectedVersion{
		CurrentRevisionOption:        &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
		CurrentRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty},
	}
	if last >= 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(last)}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(last)}
	}
	switch want {
	case expectAny:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty}
	case expectExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: empty}
	case expectNoStream:
		// The old shape has no word for it, but a number.
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(want)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(want)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}
