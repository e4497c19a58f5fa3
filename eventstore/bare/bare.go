// Package bare holds what the store and the node are measured against: the
// official client without anything around it, and the same gRPC service over a
// segment file without anything behind it. Nothing but measurements uses it,
// and it may lose, reorder and repeat what a store must not.
//
// It lies here because nothing outside eventstore knows the client's types.
// Begin reading at Server, the reference of the node, and Client, that of the
// store.
package bare

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped
	"google.golang.org/grpc/mem"
)

// maxMessage is more than any event takes.
const maxMessage = 17 << 20

// message is a message that is encoded already.
type message []byte

// codec passes encoded messages on as they are and leaves the rest to the
// codec that gRPC would use.
type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// readAll asks for $all, forwards, from a position on; 0 is its beginning.
func readAll(from uint64) *streams.ReadReq {
	all := &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}
	if from > 0 {
		all.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{
			CommitPosition: from, PreparePosition: from}}
	}
	return &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: all},
		CountOption:  &streams.ReadReq_Options_Count{Count: math.MaxInt64},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}}
}
