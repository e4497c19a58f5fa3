package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// What the official client cannot ask, or does not show, is asked here.

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// wireID is an id as the big-endian halves of its bytes.
func wireID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// appendTo is the first message of an append, with no expectation yet.
func appendTo(stream string) *streamspb.AppendReq_Options {
	return &streamspb.AppendReq_Options{StreamIdentifier: identifier(stream)}
}

func expecting(stream string, revision int64) *streamspb.AppendReq_Options {
	o := appendTo(stream)
	switch revision {
	case -1:
		o.ExpectedStreamRevision = &streamspb.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
	case -2:
		o.ExpectedStreamRevision = &streamspb.AppendReq_Options_Any{Any: &shared.Empty{}}
	case -4:
		o.ExpectedStreamRevision = &streamspb.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
	default:
		o.ExpectedStreamRevision = &streamspb.AppendReq_Options_Revision{Revision: uint64(revision)}
	}
	return o
}

// proposal is an event that a server takes, before a case spoils it.
func (r *room) proposal(name string, spoil ...func(*streamspb.AppendReq_ProposedMessage)) *streamspb.AppendReq_ProposedMessage {
	p := &streamspb.AppendReq_ProposedMessage{
		Id:       wireID(r.id(name)),
		Metadata: map[string]string{"type": "storetest-" + name, "content-type": "application/json"},
		Data:     fmt.Appendf(nil, "%q", name),
	}
	for _, f := range spoil {
		f(p)
	}
	return p
}

// rawAppend sends an append message by message.
func (r *room) rawAppend(o *streamspb.AppendReq_Options, events ...*streamspb.AppendReq_ProposedMessage) (*streamspb.AppendResp, metadata.MD, error) {
	var trailers metadata.MD
	call, err := r.Server.streams.Append(r.ctx, grpc.Trailer(&trailers))
	if err != nil {
		return nil, trailers, err
	}
	// A refusal may come before everything is sent; it is then what the answer
	// is, and why sending failed.
	err = call.Send(&streamspb.AppendReq{Content: &streamspb.AppendReq_Options_{Options: o}})
	for _, e := range events {
		if err == nil {
			err = call.Send(&streamspb.AppendReq{Content: &streamspb.AppendReq_ProposedMessage_{ProposedMessage: e}})
		}
	}
	resp, err := call.CloseAndRecv()
	return resp, trailers, err
}

// reading is a read of a stream, forwards from its start, with ids as two
// numbers.
func reading(stream string) *streamspb.ReadReq_Options {
	return &streamspb.ReadReq_Options{
		StreamOption: &streamspb.ReadReq_Options_Stream{Stream: &streamspb.ReadReq_Options_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &streamspb.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streamspb.ReadReq_Options_Count{Count: everything},
		FilterOption: &streamspb.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streamspb.ReadReq_Options_UUIDOption{
			Content: &streamspb.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}
}

// readingAll is a read of $all, forwards from a position.
func readingAll(position uint64) *streamspb.ReadReq_Options {
	o := reading("")
	o.StreamOption = &streamspb.ReadReq_Options_All{All: &streamspb.ReadReq_Options_AllOptions{
		AllOption: &streamspb.ReadReq_Options_AllOptions_Position{
			Position: &streamspb.ReadReq_Options_Position{CommitPosition: position, PreparePosition: position},
		},
	}}
	return o
}

// subscribing makes a read go on for ever.
var subscribing = &streamspb.ReadReq_Options_Subscription{Subscription: &streamspb.ReadReq_Options_SubscriptionOptions{}}

// rawRead gives all messages of a read, and the error that ended it, if any.
func (r *room) rawRead(o *streamspb.ReadReq_Options) (list []*streamspb.ReadResp, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	call, err := r.Server.streams.Read(ctx, &streamspb.ReadReq{Options: o})
	if err != nil {
		return nil, err
	}
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, m)
	}
}

// trailer is the value of one trailer, or a word for there being none.
func trailer(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return "(none)"
}
