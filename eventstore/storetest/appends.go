package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
)

var appendCases = []Case{
	{Number: "1.1", Name: "version", check: checkVersion,
		Rule: "The server says which version it is, in numbers, and is 22.6 or later: earlier ones do not return the position of a stream's event."},
	{Number: "1.2", Name: "a batch", check: checkBatch,
		Rule: "A batch is written whole and in order. The answer holds the revision and the position of its last event."},
	{Number: "1.3", Name: "batches of several writers", check: checkContiguous,
		Rule: "In $all the events of one batch follow each other with nothing of another batch between them, however many write at once."},
	{Number: "1.4", Name: "an event as it was given", check: checkRoundTrip,
		Rule: "A read returns each event as it was appended: id, type, data, metadata and whether it is JSON, byte for byte; also empty, binary and with names in any script."},
	{Number: "1.5", Name: "content types", check: checkContentTypes, OtherPrograms: "The ledger sends application/json, and a copy application/octet-stream too. Neither sends other properties.",
		Rule: "A content type other than application/json comes back as application/octet-stream, and no other metadata property of the client's is kept."},
	{Number: "1.6", Name: "created", check: checkCreated, OtherPrograms: "The ledger uses the instant inside each event.",
		Rule: "Every event carries the time at which the server wrote it. It never goes back along a stream, and is within five minutes of this machine's clock."},
	{Number: "1.7", Name: "no events", check: checkNoEvents, OtherPrograms: "The ledger appends no empty batch.",
		Rule: "An append without events is checked like any other, writes nothing, and answers with the stream's present revision."},
	{Number: "1.8", Name: "the size limit", check: checkAppendSize,
		Rule: "An append of 1 MiB is accepted. A larger one is refused with maximum-append-size-exceeded and the limit, and nothing of it is written. (This case fails on a server with another MaxAppendSize.)"},
	{Number: "1.9", Name: "malformed events", check: checkMalformed, OtherPrograms: "The ledger's client sends no such append.",
		Rule: "An event without id, type or content type, and an append without a stream's name or an expected revision, or with events before these, is refused, and nothing of its batch is written."},
	{Number: "1.10", Name: "forms of ids", check: checkForms, OtherPrograms: "The ledger's client sends and reads ids as two numbers.",
		Rule: "The server accepts ids as text and as two numbers, and returns them in the form that the reader asks for."},
	{Number: "1.11", Name: "one id more than once", check: checkSameID,
		Rule: "One id may be used twice in a batch, and in several streams: each is an event."},
	{Number: "1.12", Name: "asking for the leader", check: checkLeader,
		Rule: "The leader serves requests with the header requires-leader like all others: appends, reads and subscriptions."},
}

func checkVersion(r *room) {
	v, err := r.client.GetServerVersion()
	r.must("ask for the version", err)
	r.check(v.Major > 22 || v.Major == 22 && v.Minor >= 6, "expected 22.6 or later, seen %d.%d.%d", v.Major, v.Minor, v.Patch)
}

func checkBatch(r *room) {
	s := r.stream("s")
	first := r.put(s, "a", "b", "c")
	second := r.put(s, "d")
	r.same("revision after a batch of three", first.NextExpectedVersion, 2)
	r.same("revision after one more", second.NextExpectedVersion, 3)
	events := r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)
	r.same("the stream", namesOf(events...), "a b c d")
	last := uint64(0)
	for i, e := range events {
		r.same("revision of "+nameOf(e.Event), e.Event.EventNumber, i)
		r.check(e.Event.Position.Commit > last, "expected rising positions, seen %d after %d", e.Event.Position.Commit, last)
		last = e.Event.Position.Commit
	}
	if len(events) == 4 {
		r.same("the position answered for the batch", placed(first), events[2].Event.Position)
		r.same("the position answered for one event", placed(second), events[3].Event.Position)
	}
}

func checkContiguous(r *room) {
	const writers, batches, size = 4, 10, 5
	begin := r.put(r.stream("begin"), "begin")
	shared := r.stream("shared")
	var writing sync.WaitGroup
	for w := range writers {
		own := r.stream(fmt.Sprint("own", w))
		writing.Go(func() {
			for b := range batches {
				stream := own
				if b%2 == 0 {
					stream = shared
				}
				if said := r.append(stream, esdb.Any{}, numbered(fmt.Sprintf("w%d.%d-", w, b), 0, size)...); !strings.HasPrefix(said, "ok") {
					r.fail("append: %s", said)
				}
			}
		})
	}
	writing.Wait()
	end := r.put(r.stream("end"), "end")
	names := r.mineBetween(placed(begin), placed(end))
	r.same("events of the case in $all", len(names), writers*batches*size)
	for i := 0; i+size <= len(names); i += size {
		batch, _, _ := strings.Cut(names[i], "-")
		if got, want := strings.Join(names[i:i+size], " "), strings.Join(numbered(batch+"-", 0, size), " "); got != want {
			r.stop("in $all: expected one batch, %s, seen %s", quoted(want), quoted(got))
		}
	}
}

// mineBetween names the case's events in $all after one position and before
// another.
func (r *room) mineBetween(after, before esdb.Position) (names []string) {
	from := after
	for {
		page := r.readAll(esdb.Forwards, from, 500)
		for _, e := range page {
			at := e.OriginalEvent().Position
			if at.Commit >= before.Commit {
				return names
			}
			if at.Commit > from.Commit && r.under(e.OriginalEvent()) {
				names = append(names, nameOf(e.OriginalEvent()))
			}
		}
		if len(page) == 0 || page[len(page)-1].OriginalEvent().Position.Commit <= from.Commit {
			r.stop("$all ended before the position %d, which was written", before.Commit)
		}
		from = page[len(page)-1].OriginalEvent().Position
	}
}

func checkRoundTrip(r *room) {
	s := r.stream("s – ü 漢字 @ %41")
	given := []esdb.EventData{
		{EventID: uuid.New(), EventType: "storetest-json", ContentType: esdb.ContentTypeJson, Data: []byte(`{"ä":1}`), Metadata: []byte(`{"by":"x"}`)},
		{EventID: uuid.New(), EventType: "storetest-binary", ContentType: esdb.ContentTypeBinary, Data: []byte{0, 255, 10, 0}, Metadata: []byte{0, 1}},
		{EventID: uuid.New(), EventType: "storetest-empty", ContentType: esdb.ContentTypeJson},
		{EventID: uuid.New(), EventType: "storetest-ẗype 漢字", ContentType: esdb.ContentTypeBinary, Data: []byte("not { JSON")},
	}
	_, err := r.write(s, esdb.NoStream{}, given...)
	r.must("append", err)
	events := r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)
	r.same("number of events", len(events), len(given))
	for i := range min(len(events), len(given)) {
		e, g := events[i].Event, given[i]
		wantType := "application/json"
		if g.ContentType == esdb.ContentTypeBinary {
			wantType = "application/octet-stream"
		}
		r.same("id", e.EventID, g.EventID)
		r.same("type", e.EventType, g.EventType)
		r.same("stream", e.StreamID, s)
		r.same("content type of "+g.EventType, e.ContentType, wantType)
		r.check(bytes.Equal(e.Data, g.Data), "data of %s: expected %q, seen %q", g.EventType, g.Data, e.Data)
		r.check(bytes.Equal(e.UserMetadata, g.Metadata), "metadata of %s: expected %q, seen %q", g.EventType, g.Metadata, e.UserMetadata)
	}
}

func checkContentTypes(r *room) {
	s := r.stream("s")
	_, _, err := r.rawAppend(expecting(s, -2), r.proposal("a", func(p *streamspb.AppendReq_ProposedMessage) {
		p.Metadata["content-type"] = "application/vnd.storetest+json"
		p.Metadata["stray"] = "kept?"
	}))
	r.must("append", err)
	for _, e := range r.mustRead(s, esdb.Forwards, esdb.Start{}, everything) {
		r.same("content type", e.Event.ContentType, "application/octet-stream")
		_, kept := e.Event.SystemMetadata["stray"]
		r.check(!kept, "expected only properties of the server's, seen the client's own too: %v", e.Event.SystemMetadata)
	}
}

func checkCreated(r *room) {
	const tolerance = 5 * time.Minute
	s := r.stream("s")
	before := time.Now().Add(-tolerance)
	r.put(s, "a", "b")
	r.put(s, "c")
	after := time.Now().Add(tolerance)
	last := time.Time{}
	for _, e := range r.mustRead(s, esdb.Forwards, esdb.Start{}, everything) {
		at := e.Event.CreatedDate
		r.check(at.After(before) && at.Before(after), "%s: expected about now, %s, seen %s", nameOf(e.Event), time.Now().UTC(), at)
		r.check(!at.Before(last), "%s: expected no earlier than %s, seen %s", nameOf(e.Event), last, at)
		last = at
	}
}

func checkNoEvents(r *room) {
	s, none := r.stream("s"), r.stream("none")
	r.put(s, "a", "b")
	r.same("to a stream of two", r.append(s, esdb.Any{}), "ok 1")
	r.same("where revision 1 is expected", r.append(s, esdb.Revision(1)), "ok 1")
	r.same("where none is expected", r.append(s, esdb.NoStream{}), "expecting 'no_stream' but got '1'")
	resp, _, err := r.rawAppend(expecting(none, -1))
	r.must("append nothing to no stream", err)
	if success := resp.GetSuccess(); r.check(success != nil, "to no stream: expected success, seen %v", resp) {
		_, ok := success.GetCurrentRevisionOption().(*streamspb.AppendResp_Success_NoStream)
		r.check(ok, "to no stream: expected the answer to say that there is none, seen %v", success)
	}
	r.same("the stream of two", r.whole(s), "a b")
	r.same("no stream", r.whole(none), "not found")
}

func checkAppendSize(r *room) {
	const limit, name = 1 << 20, "storetest-size"
	s := r.stream("s")
	sized := func(size int) esdb.EventData {
		return esdb.EventData{EventID: uuid.New(), EventType: name, ContentType: esdb.ContentTypeBinary, Data: bytes.Repeat([]byte{'x'}, size)}
	}
	// What counts beside the data differs between versions; this fits in each.
	fits := sized(limit - 2*len(name))
	_, err := r.write(s, esdb.NoStream{}, fits)
	r.must("append 1 MiB", err)
	events := r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)
	r.check(len(events) == 1 && bytes.Equal(events[0].Event.Data, fits.Data), "expected 1 MiB back, seen something else")

	whole := r.proposal("over", func(p *streamspb.AppendReq_ProposedMessage) { p.Data = make([]byte, limit+1) })
	half := func(p *streamspb.AppendReq_ProposedMessage) { p.Data = make([]byte, limit/2+1) }
	for what, batch := range map[string][]*streamspb.AppendReq_ProposedMessage{
		"one event": {whole}, "two events": {r.proposal("half1", half), r.proposal("half2", half)},
	} {
		_, trailers, err := r.rawAppend(expecting(s, -2), batch...)
		r.same(what+" of more than 1 MiB", codeOf(err), "InvalidArgument")
		r.same(what+": the exception", trailer(trailers, "exception"), "maximum-append-size-exceeded")
		r.same(what+": the limit", trailer(trailers, "maximum-append-size"), fmt.Sprint(limit))
	}
	r.same("the stream afterwards", r.whole(s), name)
}

func checkMalformed(r *room) {
	s := r.stream("s")
	spoilt := map[string]func(*streamspb.AppendReq_ProposedMessage){
		"no type":         func(p *streamspb.AppendReq_ProposedMessage) { delete(p.Metadata, "type") },
		"an empty type":   func(p *streamspb.AppendReq_ProposedMessage) { p.Metadata["type"] = "" },
		"no content type": func(p *streamspb.AppendReq_ProposedMessage) { delete(p.Metadata, "content-type") },
		"an empty id":     func(p *streamspb.AppendReq_ProposedMessage) { p.Id = wireID(uuid.Nil) },
	}
	for what, spoil := range spoilt {
		_, trailers, err := r.rawAppend(expecting(s, -2), r.proposal("good"), r.proposal("bad", spoil))
		r.check(err != nil, "%s: expected a refusal, seen none", what)
		if strings.HasPrefix(what, "no ") {
			r.same(what, codeOf(err), "InvalidArgument")
			r.same(what+": the exception", trailer(trailers, "exception"), "missing-required-metadata-property")
		}
	}
	_, _, err := r.rawAppend(appendTo(s), r.proposal("good"))
	r.same("no expected revision", codeOf(err), "InvalidArgument")
	_, _, err = r.rawAppend(expecting("", -2), r.proposal("good"))
	r.check(err != nil, "no stream's name: expected a refusal, seen none")
	call, err := r.Server.streams.Append(r.ctx)
	r.must("append", err)
	early := &streamspb.AppendReq{Content: &streamspb.AppendReq_ProposedMessage_{ProposedMessage: r.proposal("early")}}
	if err = call.Send(early); err == nil {
		err = call.Send(&streamspb.AppendReq{Content: &streamspb.AppendReq_Options_{Options: expecting(s, -2)}})
	}
	_, refused := call.CloseAndRecv()
	r.check(err != nil || refused != nil, "an event before the options: expected a refusal, seen none")
	r.same("the stream afterwards", r.whole(s), "not found")
}

func checkForms(r *room) {
	s := r.stream("s")
	id := uuid.New()
	text := r.proposal("text", func(p *streamspb.AppendReq_ProposedMessage) {
		p.Id = &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	})
	_, _, err := r.rawAppend(expecting(s, -1), text)
	r.must("append with an id as text", err)
	for _, e := range r.mustRead(s, esdb.Forwards, esdb.Start{}, everything) {
		r.same("the id, read as two numbers", e.Event.EventID, id)
	}
	asText := reading(s)
	asText.UuidOption.Content = &streamspb.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
	messages, err := r.rawRead(asText)
	r.must("read with ids as text", err)
	seen := ""
	for _, m := range messages {
		seen += m.GetEvent().GetEvent().GetId().GetString_()
	}
	r.same("the id, read as text", seen, id)
}

func checkSameID(r *room) {
	a, b := r.stream("a"), r.stream("b")
	r.same("twice in a batch", r.append(a, esdb.NoStream{}, "x", "x"), "ok 1")
	r.same("in another stream, where none is expected", r.append(b, esdb.NoStream{}, "x"), "ok 0")
	r.same("the first stream", r.whole(a), "x x")
	r.same("the second", r.whole(b), "x")
}

func checkLeader(r *room) {
	s := r.stream("s")
	begin := r.put(r.stream("begin"), "begin")
	r.put(s, "a")
	r.ctx = metadata.AppendToOutgoingContext(r.ctx, "requires-leader", "true")
	r.same("appending", r.append(s, esdb.Revision(0), "b"), "ok 1")
	r.same("reading", r.whole(s), "a b")
	f := r.mine(placed(begin))
	defer f.close()
	r.same("following", f.history(), "a b")
}
