//lint:file-ignore SA1019 older clients still send what is deprecated

package node

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// wireSettingsOf are sensible settings with a change.
func wireSettingsOf(change ...func(*persistent.CreateReq_Settings)) *persistent.CreateReq_Settings {
	s := &persistent.CreateReq_Settings{
		MaxRetryCount: 10, MinCheckpointCount: 1, MaxCheckpointCount: 1, LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500,
		MessageTimeout:        &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 30 * 10_000_000},
		CheckpointAfter:       &persistent.CreateReq_Settings_CheckpointAfterTicks{CheckpointAfterTicks: 2 * 10_000_000},
		NamedConsumerStrategy: persistent.CreateReq_RoundRobin,
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func streamGroup(stream string, s *persistent.CreateReq_Settings) *persistent.CreateReq_Options {
	return &persistent.CreateReq_Options{
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		GroupName: "g", Settings: s,
	}
}

func allGroup(commit, prepare uint64, f *persistent.CreateReq_AllOptions_FilterOptions) *persistent.CreateReq_Options {
	all := &persistent.CreateReq_AllOptions{AllOption: &persistent.CreateReq_AllOptions_Position{
		Position: &persistent.CreateReq_Position{CommitPosition: commit, PreparePosition: prepare},
	}}
	if f != nil {
		all.FilterOption = &persistent.CreateReq_AllOptions_Filter{Filter: f}
	}
	return &persistent.CreateReq_Options{StreamOption: &persistent.CreateReq_Options_All{All: all}, GroupName: "g", Settings: wireSettingsOf()}
}

// TestPersistentRefusals makes groups that there cannot be.
func TestPersistentRefusals(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a")
	createGroup(t, c, "taken", "g", esdb.Start{}, nil)
	change := func(f func(*persistent.CreateReq_Settings)) *persistent.CreateReq_Options {
		return streamGroup("s", wireSettingsOf(f))
	}
	regex := &persistent.CreateReq_AllOptions_FilterOptions{Filter: &persistent.CreateReq_AllOptions_FilterOptions_EventType{
		EventType: &persistent.CreateReq_AllOptions_FilterOptions_Expression{Regex: "("},
	}}
	const failed = "persistent-subscription-failed"
	tests := []struct {
		name    string
		options *persistent.CreateReq_Options
		code    codes.Code
		kind    string
		reason  string
	}{
		{"a group that is there", streamGroup("taken", wireSettingsOf()), codes.AlreadyExists, "persistent-subscription-exists", ""},
		{"$all by its name", streamGroup("$all", wireSettingsOf()), codes.Internal, failed, "only supported over gRPC"},
		{"no stream", streamGroup("", wireSettingsOf()), codes.Internal, failed, "Bad stream name."},
		{"a long name", streamGroup(strings.Repeat("s", maxStreamName), wireSettingsOf()), codes.Internal, failed, "too long"},
		{"a strategy that does not exist", change(func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = "Guess" }),
			codes.Internal, failed, "Consumer strategy Guess does not exist."},
		{"batches as large as the buffer", change(func(s *persistent.CreateReq_Settings) { s.ReadBatchSize = 500 }), codes.Internal, failed, "ReadBatchSize"},
		{"less than nothing", change(func(s *persistent.CreateReq_Settings) { s.MaxRetryCount = -1 }), codes.Internal, failed, "negative"},
		{"no settings", streamGroup("s", nil), codes.Internal, failed, "ReadBatchSize"},
		{"beyond the end of $all", allGroup(1<<40, 1<<40, nil), codes.Internal, failed, "commit position must be less"},
		{"a place in $all that is none", allGroup(5, 6, nil), codes.Internal, failed, "prepare position"},
		{"a place out of range", allGroup(math.MaxInt64, 0, nil), codes.InvalidArgument, "", ""},
		{"a filter that is none", allGroup(0, 0, regex), codes.InvalidArgument, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var trailers metadata.MD
			_, err := groupStub(t, n).Create(timeout(t), &persistent.CreateReq{Options: test.options}, grpc.Trailer(&trailers))
			kind, reason := strings.Join(trailers.Get("exception"), ","), strings.Join(trailers.Get("reason"), ",")
			if status.Code(err) != test.code || kind != test.kind || !strings.Contains(reason, test.reason) {
				t.Errorf("answered %v, %q, %q", err, kind, reason)
			}
		})
	}
	list, err := c.ListAllPersistentSubscriptions(timeout(t), esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(list) != 1 {
		t.Errorf("there are %d groups, %v", len(list), err)
	}
}

// TestPersistentUnknown asks about a group that is not there in every way.
func TestPersistentUnknown(t *testing.T) {
	n := openNode(t, Options{})
	stub := groupStub(t, n)
	ctx := timeout(t)
	id := identifier("s")
	calls := map[string]func(...grpc.CallOption) error{
		"delete": func(o ...grpc.CallOption) error {
			_, err := stub.Delete(ctx, &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{
				StreamOption: &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: id}, GroupName: "g",
			}}, o...)
			return err
		},
		"info": func(o ...grpc.CallOption) error {
			_, err := stub.GetInfo(ctx, &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{
				StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: id}, GroupName: "g",
			}}, o...)
			return err
		},
		"replay": func(o ...grpc.CallOption) error {
			_, err := stub.ReplayParked(ctx, &persistent.ReplayParkedReq{Options: &persistent.ReplayParkedReq_Options{
				StreamOption: &persistent.ReplayParkedReq_Options_All{}, GroupName: "g",
				StopAtOption: &persistent.ReplayParkedReq_Options_NoLimit{},
			}}, o...)
			return err
		},
		"list": func(o ...grpc.CallOption) error {
			_, err := stub.List(ctx, &persistent.ListReq{Options: &persistent.ListReq_Options{
				ListOption: &persistent.ListReq_Options_ListForStream{ListForStream: &persistent.ListReq_StreamOption{
					StreamOption: &persistent.ListReq_StreamOption_Stream{Stream: id},
				}},
			}}, o...)
			return err
		},
		"update": func(o ...grpc.CallOption) error {
			_, err := stub.Update(ctx, &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
				StreamIdentifier: id, GroupName: "g",
				Settings: &persistent.UpdateReq_Settings{HistoryBufferSize: 9, NamedConsumerStrategy: persistent.UpdateReq_RoundRobin},
			}}, o...)
			return err
		},
		"read": func(o ...grpc.CallOption) error {
			r := openRaw(t, n, &persistent.ReadReq_Options{
				StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: id}, GroupName: "g", BufferSize: 1,
			}, o...)
			_, err := r.Recv()
			return err
		},
	}
	for name, call := range calls {
		var trailers metadata.MD
		err := call(grpc.Trailer(&trailers))
		kind := strings.Join(trailers.Get("exception"), ",")
		if status.Code(err) != codes.NotFound || kind != "persistent-subscription-does-not-exist" {
			t.Errorf("%s: %v, %q", name, err, kind)
		}
	}
	_, err := stub.ReplayParked(ctx, &persistent.ReplayParkedReq{Options: &persistent.ReplayParkedReq_Options{
		StreamOption: &persistent.ReplayParkedReq_Options_All{}, StopAtOption: &persistent.ReplayParkedReq_Options_StopAt{StopAt: -1},
	}})
	if status.Code(err) != codes.Internal {
		t.Errorf("a replay up to a negative revision: %v", err)
	}
}

func openRaw(t *testing.T, n *Node, o *persistent.ReadReq_Options, call ...grpc.CallOption) persistent.PersistentSubscriptions_ReadClient {
	t.Helper()
	r, err := groupStub(t, n).Read(timeout(t), call...)
	if err != nil {
		t.Fatal(err)
	}
	if o != nil {
		err = r.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: o}})
	} else {
		err = r.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPersistentOlderClient takes the way of the clients that create groups in
// the form of before 21.10 and speak of ids as strings.
func TestPersistentOlderClient(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b", "c")
	ids := named("a", "b", "c")
	s := wireSettingsOf(func(s *persistent.CreateReq_Settings) { s.Revision = 1 })
	_, err := groupStub(t, n).Create(timeout(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		StreamIdentifier: identifier("s"), GroupName: "g", Settings: s,
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := openRaw(t, n, &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")},
		GroupName:    "g", BufferSize: 1,
		UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_String_{}},
	})
	first, err := r.Recv()
	if err != nil || first.GetSubscriptionConfirmation().GetSubscriptionId() != "s::g" {
		t.Fatalf("confirmed by %v, %v", first, err)
	}
	for i, e := range ids[1:] {
		got, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		event := got.GetEvent()
		if id := event.GetEvent().GetId().GetString_(); id != e.EventID.String() {
			t.Fatalf("event %d has the id %q", i, id)
		}
		if _, ok := event.GetCount().(*persistent.ReadResp_ReadEvent_RetryCount); !ok || event.GetCommitPosition() != event.GetEvent().GetCommitPosition() {
			t.Errorf("event %d is %v", i, event)
		}
		err = r.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{
			Id: []byte("s::g"), Ids: []*shared.UUID{{Value: &shared.UUID_String_{String_: e.EventID.String()}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	info := infoOf(t, c, "s", "g")
	if info.Settings.MessageTimeout != 30_000 || info.Settings.CheckpointAfter != 2_000 || info.Settings.StartFrom.(esdb.StreamRevision).Value != 1 {
		t.Errorf("the settings are %+v", info.Settings)
	}
}

// TestPersistentAllByName deletes a group of $all as if that were a stream.
func TestPersistentAllByName(t *testing.T) {
	n := openNode(t, Options{})
	stub := groupStub(t, n)
	if _, err := stub.Create(timeout(t), &persistent.CreateReq{Options: allGroup(0, 0, nil)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"$all", ""} {
		var trailers metadata.MD
		_, err := stub.Delete(timeout(t), &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{
			StreamOption: &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: identifier(name)}, GroupName: "g",
		}}, grpc.Trailer(&trailers))
		if status.Code(err) != codes.Internal || len(trailers.Get("reason")) != 1 {
			t.Errorf("%q: %v, %v", name, err, trailers)
		}
	}
	if _, err := stub.GetInfo(timeout(t), &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{
		StreamOption: &persistent.GetInfoReq_Options_All{}, GroupName: "g",
	}}); err != nil {
		t.Errorf("the group is gone: %v", err)
	}
}

// TestGroupStatus names the states as clients show them.
func TestGroupStatus(t *testing.T) {
	for _, tc := range []struct {
		live, replaying bool
		want            string
	}{
		{false, false, "Behind"}, {true, false, "Live"},
		{false, true, "Behind, ReplayingParkedMessages"}, {true, true, "ReplayingParkedMessages, Live"},
	} {
		if got := groupStatus(tc.live, tc.replaying); got != tc.want {
			t.Errorf("live %t, replaying %t: %q, want %q", tc.live, tc.replaying, got, tc.want)
		}
	}
}

// TestPersistentNonsense sends what no client should.
func TestPersistentNonsense(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	good := func() *persistent.ReadReq_Options {
		return &persistent.ReadReq_Options{
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: "g", BufferSize: 1,
		}
	}
	empty := good()
	empty.BufferSize = 0
	nothing := good()
	nothing.StreamOption = nil
	for name, o := range map[string]*persistent.ReadReq_Options{"no options": nil, "no buffer": empty, "no stream": nothing} {
		if _, err := openRaw(t, n, o).Recv(); status.Code(err) != codes.Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	silent, err := groupStub(t, n).Read(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = silent.CloseSend()
	if _, err := silent.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("nothing at all: %v", err)
	}
	wrong := []*shared.UUID{{Value: &shared.UUID_String_{String_: "x"}}}
	for name, req := range map[string]*persistent.ReadReq{
		"options again": {Content: &persistent.ReadReq_Options_{Options: good()}},
		"an ack of x":   {Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: wrong}}},
		"a nack of x":   {Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Ids: wrong}}},
		"an action":     {Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Action: 9}}},
	} {
		r := openRaw(t, n, good())
		if _, err := r.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := r.Send(req); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := joinGroup(t, c, "s", "g", 1)
	if err := m.sub.Ack(&esdb.ResolvedEvent{Event: &esdb.RecordedEvent{EventID: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, "s", "a")
	m.accept("a")
}

// TestAGroupWithTheLongestTimes has the greatest numbers of ticks there are, by
// which clients say that there is no end of the time.
func TestAGroupWithTheLongestTimes(t *testing.T) {
	n, h := openTimed(t, Options{})
	c := connect(t, n)
	o := streamGroup("s", wireSettingsOf(func(s *persistent.CreateReq_Settings) {
		s.MessageTimeout = &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: math.MaxInt64}
		s.CheckpointAfter = &persistent.CreateReq_Settings_CheckpointAfterTicks{CheckpointAfterTicks: math.MaxInt64}
	}))
	if _, err := groupStub(t, n).Create(timeout(t), &persistent.CreateReq{Options: o}); err != nil {
		t.Fatal(err)
	}
	if s := infoOf(t, c, "s", "g").Settings; s.MessageTimeout != math.MaxInt32 || s.CheckpointAfter != math.MaxInt32 {
		t.Errorf("the times are told as %d and %d", s.MessageTimeout, s.CheckpointAfter)
	}
	mustAppend(t, c, "s", "a")
	m := joinGroup(t, c, "s", "g", 10)
	m.expect("a")
	h.pass(24 * time.Hour)
	mustAppend(t, c, "s", "b")
	m.expect("b") // and not the first again
}
