package storetest

import (
	"fmt"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

var groupWireCases = []Case{
	{Number: "8.16", Name: "refusals about groups", check: checkGroupRefusals, persistent: true, OtherPrograms: noGroups,
		Rule: "A refusal about a group names its kind, the stream and the group, and for impossible settings the reason. A request for a group of the stream $all is refused, and no group is made."},
	{Number: "8.17", Name: "groups of older clients", check: checkOlderGroup, persistent: true, OtherPrograms: noGroups,
		Rule: "A group is also made and changed in the form of clients of before 21.10, and its events are sent and answered by ids as text. The first message confirms with stream::group."},
	{Number: "8.18", Name: "a group and hidden events", check: checkHiddenGroup, persistent: true, OtherPrograms: noGroups,
		Rule: "A group omits the events of its stream that metadata and deletions hide."},
	{Number: "8.19", Name: "the streams of a group", check: checkGroupStreams, persistent: true, OtherPrograms: noGroups,
		Rule: "A group's checkpoints and parked events are in streams of their own. A group of $all does not receive them. They are deleted with the group: made again, it starts from scratch."},
	{Number: "8.20", Name: "changing a group of $all", check: checkChangedFilter, persistent: true, OtherPrograms: noGroups,
		Rule: "A group of $all that is changed keeps its filter."},
}

func (r *room) wire() persistent.PersistentSubscriptionsClient {
	return persistent.NewPersistentSubscriptionsClient(r.conn)
}

// newGroup asks for a group of a stream from its start, with settings that a
// case may spoil.
func newGroup(stream, group string, spoil ...func(*persistent.CreateReq_Settings)) *persistent.CreateReq {
	settings := &persistent.CreateReq_Settings{
		MaxRetryCount: 10, MinCheckpointCount: 1, MaxCheckpointCount: 1, LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500,
		MessageTimeout:  &persistent.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 30_000},
		CheckpointAfter: &persistent.CreateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: 100},
	}
	for _, f := range spoil {
		f(settings)
	}
	return &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		GroupName: group, Settings: settings,
	}}
}

func checkGroupRefusals(r *room) {
	s, g := r.stream("s"), r.group(r.prefix+"s", "g")
	create := func(req *persistent.CreateReq) func(...grpc.CallOption) error {
		return func(o ...grpc.CallOption) error {
			_, err := r.wire().Create(r.ctx, req, o...)
			return err
		}
	}
	r.must("create", create(newGroup(s, g))())
	replay := func(group string, stop int64) func(...grpc.CallOption) error {
		return func(o ...grpc.CallOption) error {
			_, err := r.wire().ReplayParked(r.ctx, &persistent.ReplayParkedReq{Options: &persistent.ReplayParkedReq_Options{
				StreamOption: &persistent.ReplayParkedReq_Options_StreamIdentifier{StreamIdentifier: identifier(s)}, GroupName: group,
				StopAtOption: &persistent.ReplayParkedReq_Options_StopAt{StopAt: stop},
			}}, o...)
			return err
		}
	}
	none := r.group(s, "none")
	for _, tc := range []struct {
		what, stream, group string
		call                func(...grpc.CallOption) error
		code, kind          string
	}{
		{"made again", s, g, create(newGroup(s, g)), "exists", "persistent-subscription-exists"},
		{"replaying for none", s, none, replay(none, 1), "not found", "persistent-subscription-does-not-exist"},
		{"replaying up to a negative number", s, g, replay(g, -1), "Internal", "persistent-subscription-failed"},
		{"with an unknown strategy", s, none, create(newGroup(s, none, func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = "Guess" })),
			"Internal", "persistent-subscription-failed"},
		{"with batches as large as the buffer", s, none, create(newGroup(s, none, func(s *persistent.CreateReq_Settings) { s.ReadBatchSize = s.HistoryBufferSize })),
			"Internal", "persistent-subscription-failed"},
	} {
		var trailers metadata.MD
		r.same(tc.what, grpcCode(tc.call(grpc.Trailer(&trailers))), tc.code)
		r.same(tc.what+": the exception", trailer(trailers, "exception"), tc.kind)
		r.same(tc.what+": the stream", trailer(trailers, "stream-name"), tc.stream)
		r.same(tc.what+": the group", trailer(trailers, "group-name"), tc.group)
		r.same(tc.what+": says why", trailer(trailers, "reason") != "(none)", tc.code == "Internal")
	}
	ofAll := r.group("", "none")
	var trailers metadata.MD
	err := create(newGroup("$all", ofAll))(grpc.Trailer(&trailers))
	r.oneOf("of $all, as of a stream", grpcCode(err), "Internal", "Unknown")
	r.oneOf("of $all, as of a stream: the exception", trailer(trailers, "exception"), "persistent-subscription-failed", "(none)")
	_, err = r.client.GetPersistentSubscriptionInfoToAll(r.ctx, ofAll, esdb.GetPersistentSubscriptionOptions{})
	r.same("of $all, as of a stream: asking about it", codeOf(err), "not found")
}

// grpcCode is codeOf for what comes straight from the generated client.
func grpcCode(err error) string {
	switch code := codeOf(err); code {
	case "NotFound":
		return "not found"
	case "AlreadyExists":
		return "exists"
	default:
		return code
	}
}

func checkOlderGroup(r *room) {
	s, g := r.stream("s"), r.group(r.prefix+"s", "g")
	r.put(s, "a", "b", "c")
	older := newGroup(s, g, func(s *persistent.CreateReq_Settings) { s.Revision = 1 }) //lint:ignore SA1019 older clients send it
	older.Options.StreamOption, older.Options.StreamIdentifier = nil, identifier(s)    //lint:ignore SA1019 older clients send it
	_, err := r.wire().Create(r.ctx, older)
	r.must("create in the older form", err)

	call, err := r.wire().Read(r.ctx)
	r.must("join", err)
	r.must("join", call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier(s)}, GroupName: g, BufferSize: 1,
		UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
	}}}))
	first, err := call.Recv()
	r.must("receive the first message", err)
	r.same("the confirmation", first.GetSubscriptionConfirmation().GetSubscriptionId(), s+"::"+g)
	for _, name := range []string{"b", "c"} {
		m, err := call.Recv()
		r.must("receive "+name, err)
		e := m.GetEvent().GetEvent()
		r.same("the id of "+name, e.GetId().GetString_(), r.id(name))
		r.same("the revision of "+name, e.GetStreamRevision(), name[0]-'a')
		r.same("its position", m.GetEvent().GetCommitPosition(), e.GetCommitPosition())
		r.must("acknowledge", call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{
			Id: []byte(s + "::" + g), Ids: []*shared.UUID{e.GetId()},
		}}}))
	}
	_, err = r.wire().Update(r.ctx, &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
		StreamIdentifier: identifier(s), GroupName: g, //lint:ignore SA1019 older clients send it
		Settings: &persistent.UpdateReq_Settings{MaxRetryCount: 3, ReadBatchSize: 20, HistoryBufferSize: 500, LiveBufferSize: 500},
	}})
	r.must("change in the older form", err)
	r.same("retries, changed", r.info(s, g).Settings.MaxRetryCount, 3)
}

func checkHiddenGroup(r *room) {
	truncated, deleted := r.stream("truncated"), r.stream("deleted")
	r.put(truncated, "a", "b", "c", "d")
	r.describe(truncated, `{"$tb":1,"$maxCount":2}`)
	r.put(deleted, "a", "b")
	r.mustDelete(deleted)
	m := r.join(truncated, r.persistently(truncated, "t", esdb.Start{}), 10)
	n := r.join(deleted, r.persistently(deleted, "d", esdb.Start{}), 10)
	m.accept("of a truncated stream", "c d")
	r.put(deleted, "c")
	n.accept("of a deleted stream, written again", "c")
}

func checkGroupStreams(r *room) {
	s := r.stream("s")
	begin := r.put(s, "a", "b")
	for range 2 { // the second finds nothing of the first
		g := r.persistently(s, "g", esdb.Start{})
		m := r.join(s, g, 10)
		m.refuse("at first", "a", esdb.NackActionPark)
		// Counted in the stream: the server goes on with the numbers of the
		// group before, and infers the count that it shows from them.
		r.until("the refused event is not parked", func() bool { return r.whole(kept(s, g, "parked")) == "$>" })
		parked := r.mustRead(kept(s, g, "parked"), esdb.Backwards, esdb.End{}, 1)
		if r.same("parked", namesOf(parked...), "$>") {
			r.same("the link to what is parked", string(parked[0].Event.Data), "0@"+s)
			r.check(strings.Contains(string(parked[0].Event.UserMetadata), "storetest"), "expected the reason in the metadata, seen %q", parked[0].Event.UserMetadata)
		}
		// One after the other: a server drops a checkpoint that falls due while
		// it still writes another.
		r.checkpointed(s, g, "0")
		m.accept("then", "b")
		r.checkpointed(s, g, "1")
		r.must("delete the group", r.client.DeletePersistentSubscription(r.ctx, s, g, esdb.DeletePersistentSubscriptionOptions{}))
		for _, what := range []string{"parked", "checkpoint"} {
			r.until("the group's stream is still there: "+what, func() bool { return r.whole(kept(s, g, what)) == "not found" })
		}
	}
	g := r.group("", "of-all")
	r.must("create a group of $all", r.client.CreatePersistentSubscriptionToAll(r.ctx, g, esdb.PersistentAllSubscriptionOptions{
		StartFrom: placed(begin), Settings: quickSettings(), Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s}},
	}))
	r.join("", g, 10).refuse("of $all", "b", esdb.NackActionPark)
	r.parked("", g, 1)
	r.same("parked by the group of $all", r.whole(kept("$all", g, "parked")), "$>")
	end := placed(r.put(r.stream("end"), "end"))
	for _, e := range r.readAll(esdb.Forwards, placed(begin), 1000) {
		if at := e.OriginalEvent(); at.Position.Commit < end.Commit && strings.HasPrefix(at.StreamID, kept("$all", g, "")) {
			r.stop("expected nothing in $all that a group of $all writes down, seen %s in %s", at.EventType, at.StreamID)
		}
	}
}

func checkChangedFilter(r *room) {
	wanted, other := r.stream("wanted"), r.stream("other")
	begin := placed(r.put(other, "x"))
	g := r.group("", "g")
	settings := func(retries int32) esdb.PersistentAllSubscriptionOptions {
		return esdb.PersistentAllSubscriptionOptions{
			StartFrom: begin, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{wanted}},
			Settings: quickSettings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = retries }),
		}
	}
	r.must("create", r.client.CreatePersistentSubscriptionToAll(r.ctx, g, settings(1)))
	r.must("change", r.client.UpdatePersistentSubscriptionToAll(r.ctx, g, settings(2)))
	r.same("retries, changed", fmt.Sprint(r.info("", g).Settings.MaxRetryCount), "2")
	r.put(other, "y")
	r.put(wanted, "a")
	r.join("", g, 10).accept("changed", "a")
}
