package node

import (
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// rawAppend sends messages as they are, and gives the answer, the status and
// its trailers.
func rawAppend(t *testing.T, s streams.StreamsClient, requests ...*streams.AppendReq) (*streams.AppendResp, *status.Status, metadata.MD) {
	t.Helper()
	var trailers metadata.MD
	call, err := s.Append(timeout(t), grpc.Trailer(&trailers))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		if call.Send(r) != nil {
			break
		}
	}
	resp, err := call.CloseAndRecv()
	return resp, status.Convert(err), trailers
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// appendOptions is the first message of an append; want is nil for none set.
func appendOptions(stream string, want any) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	switch want := want.(type) {
	case expected:
		switch want {
		case expectAny:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
		case expectNoStream:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		case expectExists:
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		}
	case uint64:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: want}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func rawEvent(change ...func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
	p := &streams.AppendReq_ProposedMessage{
		Id:       idToWire(uuid.New(), false),
		Metadata: map[string]string{"type": "t", "content-type": "application/json"},
		Data:     []byte(`{}`),
	}
	for _, f := range change {
		f(p)
	}
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: p}}
}

// TestWrongExpectedShapes holds each belief against a stream without events
// and one with two, and looks at every field of the refusal.
func TestWrongExpectedShapes(t *testing.T) {
	n := openNode(t, Options{})
	s := stub(t, n)
	c := connect(t, n)
	events := named("a", "b", "c")
	if _, err := c.AppendToStream(timeout(t), "two", esdb.AppendToStreamOptions{}, events[:2]...); err != nil {
		t.Fatal(err)
	}
	known := func(p *streams.AppendReq_ProposedMessage) { p.Id = idToWire(events[0].EventID, false) }
	tests := []struct {
		stream string
		want   any
		events []*streams.AppendReq
		answer string
	}{
		{"none", uint64(7), []*streams.AppendReq{rawEvent()}, "expected_revision:7 expected_revision_20_6_0:7 current_no_stream no_stream_20_6_0"},
		{"none", expectExists, []*streams.AppendReq{rawEvent()}, "expected_stream_exists stream_exists_20_6_0 current_no_stream no_stream_20_6_0"},
		{"two", uint64(7), []*streams.AppendReq{rawEvent()}, "expected_revision:7 expected_revision_20_6_0:7 current_revision:1 current_revision_20_6_0:1"},
		{"two", expectNoStream, []*streams.AppendReq{rawEvent()}, "expected_no_stream expected_revision_20_6_0:18446744073709551615 current_revision:1 current_revision_20_6_0:1"},
		{"two", expectAny, []*streams.AppendReq{rawEvent(known), rawEvent()}, "expected_any any_20_6_0 current_revision:1 current_revision_20_6_0:1"},
		{"two", expectExists, []*streams.AppendReq{rawEvent(known), rawEvent()}, "expected_stream_exists stream_exists_20_6_0 current_revision:1 current_revision_20_6_0:1"},
	}
	for _, tc := range tests {
		resp, st, _ := rawAppend(t, s, append([]*streams.AppendReq{appendOptions(tc.stream, tc.want)}, tc.events...)...)
		if st.Code() != codes.OK {
			t.Fatal(st)
		}
		got := fieldsOf(resp.GetWrongExpectedVersion())
		want := map[string]bool{}
		for _, f := range strings.Fields(tc.answer) {
			want[f] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s expected %v: (-want +got)\n%s", tc.stream, tc.want, diff)
		}
	}
}

// fieldsOf lists a message's set fields, numbers with their value.
func fieldsOf(m proto.Message) map[string]bool {
	fields := map[string]bool{}
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := string(f.Name())
		if f.Kind() == protoreflect.Uint64Kind || f.Kind() == protoreflect.Uint32Kind {
			name += ":" + v.String()
		}
		fields[name] = true
		return true
	})
	return fields
}

// TestMalformedAppends checks what an append is refused for before its stream
// is looked at.
func TestMalformedAppends(t *testing.T) {
	s := stub(t, openNode(t, Options{}))
	type message = streams.AppendReq_ProposedMessage
	edited := func(f func(*message)) []*streams.AppendReq {
		return []*streams.AppendReq{appendOptions("s", expectAny), rawEvent(), rawEvent(f)}
	}
	tests := []struct {
		name      string
		requests  []*streams.AppendReq
		code      codes.Code
		exception string
	}{
		{"nothing at all", nil, codes.Unknown, ""},
		{"an empty message", []*streams.AppendReq{{}}, codes.Unknown, ""},
		{"no options first", []*streams.AppendReq{rawEvent()}, codes.Unknown, ""},
		{"options twice", []*streams.AppendReq{appendOptions("s", expectAny), appendOptions("s", expectAny)}, codes.Unknown, ""},
		{"no expected revision", []*streams.AppendReq{appendOptions("s", nil), rawEvent()}, codes.InvalidArgument, ""},
		{"a revision beyond the signed numbers", []*streams.AppendReq{appendOptions("s", uint64(math.MaxInt64+1)), rawEvent()}, codes.InvalidArgument, ""},
		{"no stream name", []*streams.AppendReq{appendOptions("", expectAny), rawEvent()}, codes.Unknown, ""},
		{"only the prefix of a metastream", []*streams.AppendReq{appendOptions("$$", expectAny), rawEvent()}, codes.Unknown, ""},
		{"to $all", []*streams.AppendReq{appendOptions("$all", expectAny), rawEvent()}, codes.PermissionDenied, "access-denied"},
		{"a very long stream name", []*streams.AppendReq{appendOptions(strings.Repeat("x", maxStreamName+1), expectAny), rawEvent()}, codes.InvalidArgument, ""},
		{"no type", edited(func(m *message) { delete(m.Metadata, "type") }), codes.InvalidArgument, "missing-required-metadata-property"},
		{"no content type", edited(func(m *message) { delete(m.Metadata, "content-type") }), codes.InvalidArgument, "missing-required-metadata-property"},
		{"no metadata", edited(func(m *message) { m.Metadata = nil }), codes.InvalidArgument, "missing-required-metadata-property"},
		{"an empty type", edited(func(m *message) { m.Metadata["type"] = "" }), codes.Unknown, ""},
		{"no id", edited(func(m *message) { m.Id = nil }), codes.Unknown, ""},
		{"an empty id", edited(func(m *message) { m.Id = idToWire(uuid.Nil, false) }), codes.Unknown, ""},
		{"an id without a value", edited(func(m *message) { m.Id = &shared.UUID{} }), codes.Unknown, ""},
		{"a broken string id", edited(func(m *message) { m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "x"}} }), codes.Unknown, ""},
		{"too much data", edited(func(m *message) { m.Data = make([]byte, maxAppendSize) }), codes.InvalidArgument, "maximum-append-size-exceeded"},
		{"too much metadata", edited(func(m *message) { m.CustomMetadata = make([]byte, maxAppendSize) }), codes.InvalidArgument, "maximum-append-size-exceeded"},
		{"a message beyond all bounds", edited(func(m *message) { m.Data = make([]byte, 17<<20) }), codes.ResourceExhausted, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			resp, st, trailers := rawAppend(t, s, tc.requests...)
			if st.Code() != tc.code || strings.Join(trailers.Get("exception"), ",") != tc.exception {
				t.Errorf("got %v %v, trailers %v", resp, st, trailers)
			}
		})
	}
	r, err := s.Read(timeout(t), readAllRequest())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := r.Recv(); err == nil {
		t.Errorf("something was written: %v", m)
	}
}

// TestAppendSizeBound finds the greatest append that is taken.
func TestAppendSizeBound(t *testing.T) {
	s := stub(t, openNode(t, Options{}))
	sized := func(n int) *streams.AppendReq {
		return rawEvent(func(m *streams.AppendReq_ProposedMessage) {
			m.Data, m.CustomMetadata = make([]byte, n-102), make([]byte, 100)
		})
	}
	half := maxAppendSize / 2
	if _, st, _ := rawAppend(t, s, appendOptions("s", expectNoStream), sized(half), sized(half)); st.Code() != codes.OK {
		t.Errorf("an append of the greatest size: %v", st)
	}
	_, st, trailers := rawAppend(t, s, appendOptions("s", expectAny), sized(half), sized(half+1))
	if st.Code() != codes.InvalidArgument || strings.Join(trailers.Get("maximum-append-size"), "") != "1048576" {
		t.Errorf("one byte more: %v, trailers %v", st, trailers)
	}
}

// TestRefusedWhileSending sees that a long append that is refused early fails
// with the reason, although its sender is still busy sending.
func TestRefusedWhileSending(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "gone", "a")
	if _, err := c.TombstoneStream(timeout(t), "gone", esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	events := make([]esdb.EventData, 2000)
	for i := range events {
		events[i] = esdb.EventData{EventType: "t", Data: make([]byte, 10_000)}
	}
	_, err := c.AppendToStream(timeout(t), "big", esdb.AppendToStreamOptions{}, events...)
	if err == nil || !strings.Contains(err.Error(), "Maximum Append Size") {
		t.Errorf("got %v", err)
	}
	_, err = c.AppendToStream(timeout(t), "gone", esdb.AppendToStreamOptions{}, events[:100]...)
	if codeOf(err) != "deleted" {
		t.Errorf("got %v", err)
	}
}

// TestSuccessShapes looks at the parts of an answer that the official client
// does not show.
func TestSuccessShapes(t *testing.T) {
	s := stub(t, openNode(t, Options{}))
	empty, st, _ := rawAppend(t, s, appendOptions("s", expectNoStream))
	if st.Code() != codes.OK || empty.GetSuccess().GetNoStream() == nil || empty.GetSuccess().GetNoPosition() == nil {
		t.Errorf("no events to no stream: %v %v", empty, st)
	}
	asString := rawEvent(func(m *streams.AppendReq_ProposedMessage) {
		m.Id = idToWire(uuid.MustParse("38fffbc2-339e-11ea-8c7b-784f43837872"), true)
		m.Metadata["content-type"], m.Metadata["other"] = "text/plain", "dropped"
	})
	first, st, _ := rawAppend(t, s, appendOptions("s", expectNoStream), asString, rawEvent())
	if st.Code() != codes.OK || first.GetSuccess().GetCurrentRevision() != 1 || first.GetSuccess().GetPosition().GetCommitPosition() == 0 {
		t.Errorf("two events: %v %v", first, st)
	}
	for _, stringIDs := range []bool{false, true} {
		e := rawRead(t, s, readStreamRequest("s", stringIDs))[0].GetEvent()
		id, err := parseID(e.GetEvent().GetId())
		if err != nil || id.String() != "38fffbc2-339e-11ea-8c7b-784f43837872" || (e.GetEvent().GetId().GetString_() != "") != stringIDs {
			t.Errorf("id %v in the form asked for (string %v): %v", e.GetEvent().GetId(), stringIDs, err)
		}
		meta := e.GetEvent().GetMetadata()
		if len(meta) != 3 || meta["type"] != "t" || meta["content-type"] != "application/octet-stream" || len(meta["created"]) != 17 {
			t.Errorf("metadata %v", meta)
		}
		if e.GetCommitPosition() != e.GetEvent().GetCommitPosition() || e.GetCommitPosition() == 0 {
			t.Errorf("positions %d and %d", e.GetCommitPosition(), e.GetEvent().GetCommitPosition())
		}
	}
}
