package node

import (
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestDelete holds each belief against streams in each state, softly and for
// good.
func TestDelete(t *testing.T) {
	tests := []struct {
		state string
		at    esdb.ExpectedRevision
		soft  string
		hard  string
	}{
		{"never written", anyRevision, "wrong -2 -1", "ok"},
		{"never written", noStream, "wrong -1 -1", "ok"},
		{"never written", exists, "wrong -4 -1", "wrong -4 -1"},
		{"never written", revision(0), "wrong 0 -1", "wrong 0 -1"},
		{"two events", anyRevision, "ok", "ok"},
		{"two events", exists, "ok", "ok"},
		{"two events", revision(1), "ok", "ok"},
		{"two events", revision(0), "wrong 0 1", "wrong 0 1"},
		{"two events", revision(2), "wrong 2 1", "wrong 2 1"},
		{"two events", noStream, "wrong -1 1", "wrong -1 1"},
		{"only metadata", anyRevision, "ok", "ok"},
		{"only metadata", noStream, "ok", "ok"},
		{"only metadata", exists, "ok", "ok"},
		{"deleted", anyRevision, "ok", "ok"},
		{"deleted", noStream, "ok", "ok"},
		{"deleted", revision(1), "ok", "ok"},
		{"deleted", exists, "deleted", "deleted"},
		{"tombstoned", anyRevision, "deleted", "deleted"},
		{"tombstoned", revision(1), "deleted", "deleted"},
	}
	c := connect(t, openNode(t, Options{}))
	for i, tc := range tests {
		for _, hard := range []bool{false, true} {
			stream := strings.ReplaceAll(tc.state, " ", "-") + string(rune('A'+i)) + map[bool]string{true: "h", false: "s"}[hard]
			prepare(t, c, stream, tc.state)
			want := tc.soft
			remove := func() error {
				_, err := c.DeleteStream(timeout(t), stream, esdb.DeleteStreamOptions{ExpectedRevision: tc.at})
				return err
			}
			if hard {
				want = tc.hard
				remove = func() error {
					_, err := c.TombstoneStream(timeout(t), stream, esdb.TombstoneStreamOptions{ExpectedRevision: tc.at})
					return err
				}
			}
			err := remove()
			got := codeOf(err)
			if strings.HasPrefix(want, "wrong") && err != nil {
				got = wrongOf(err)
			}
			if got != want {
				t.Errorf("%s at %v (hard %v): got %q, want %q (%v)", tc.state, tc.at, hard, got, want, err)
			}
		}
	}
}

// wrongOf reads the revisions out of the message.
func wrongOf(err error) string {
	_, rest, ok := strings.Cut(err.Error(), "Expected version: ")
	if !ok {
		return err.Error()
	}
	want, actual, _ := strings.Cut(rest, ", Actual version: ")
	actual, _, _ = strings.Cut(actual, "\n")
	return "wrong " + want + " " + strings.TrimSpace(actual)
}

func prepare(t *testing.T, c *esdb.Client, stream, state string) {
	t.Helper()
	if state == "two events" || state == "deleted" || state == "tombstoned" {
		mustAppend(t, c, stream, "a", "b")
	}
	var err error
	switch state {
	case "only metadata":
		setMetadata(t, c, stream, `{}`)
	case "deleted":
		_, err = c.DeleteStream(timeout(t), stream, esdb.DeleteStreamOptions{})
	case "tombstoned":
		_, err = c.TombstoneStream(timeout(t), stream, esdb.TombstoneStreamOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDeleteTrailers looks at the raw refusals.
func TestDeleteTrailers(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)
	name := "ünï\n\x00"
	mustAppend(t, c, name, "a")
	request := func(stream string) *streams.DeleteReq {
		return &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier:       identifier(stream),
			ExpectedStreamRevision: &streams.DeleteReq_Options_NoStream{NoStream: &shared.Empty{}},
		}}
	}
	var trailers metadata.MD
	_, err := s.Delete(timeout(t), request(name), grpc.Trailer(&trailers))
	want := map[string]string{
		"exception": "wrong-expected-version", "stream-name": "%C3%BCn%C3%AF%0A%00",
		"expected-version": "-1", "actual-version": "0",
	}
	for key, value := range want {
		if got := strings.Join(trailers.Get(key), ","); got != value {
			t.Errorf("trailer %s is %q, want %q (%v)", key, got, value, err)
		}
	}
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "Delete failed due to WrongExpectedVersion") {
		t.Errorf("got %v", err)
	}
	malformed := []struct {
		req  *streams.DeleteReq
		code codes.Code
	}{
		{&streams.DeleteReq{}, codes.InvalidArgument},
		{&streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: identifier("s")}}, codes.InvalidArgument},
		{request(""), codes.Unknown},
		{request("$all"), codes.PermissionDenied},
		{&streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier: identifier("s"), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: math.MaxUint64},
		}}, codes.InvalidArgument},
	}
	for _, tc := range malformed {
		if _, err := s.Delete(timeout(t), tc.req); status.Code(err) != tc.code {
			t.Errorf("%v: got %v, want %v", tc.req, err, tc.code)
		}
	}
	if _, err := s.Tombstone(timeout(t), &streams.TombstoneReq{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an empty tombstone: %v", err)
	}
}

// TestSoftDeleteWrites checks what a soft deletion and the append after it
// leave in the metastream.
func TestSoftDeleteWrites(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a", "b")
	setMetadata(t, c, "s", `{"keep":"no"}`)
	result, err := c.DeleteStream(timeout(t), "s", esdb.DeleteStreamOptions{ExpectedRevision: revision(1)})
	if err != nil {
		t.Fatal(err)
	}
	metadata := func() *esdb.RecordedEvent {
		events, err := readStream(t, c, "$$s", forwardsFrom(esdb.Start{}), 10)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		return events[0].Event
	}
	m := metadata()
	if string(m.Data) != `{"$tb":9223372036854775807}` || m.EventType != "$metadata" || m.EventNumber != 1 || m.Position != result.Position || m.ContentType != "application/json" {
		t.Errorf("deletion wrote %s %s %d at %v, answered %v", m.EventType, m.Data, m.EventNumber, m.Position, result.Position)
	}
	setMetadata(t, c, "s", `{"keep":"<yes>","$tb":9223372036854775807}`)
	if m := metadata(); m.EventNumber != 3 || !strings.Contains(string(m.Data), `"$tb":2`) {
		t.Errorf("metadata after deletion: %d %s", m.EventNumber, m.Data)
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "" {
		t.Errorf("brought back, it holds %q", got)
	}
	if _, err := c.DeleteStream(timeout(t), "s", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	mustAppendAt(t, c, "s", noStream, "c", "d")
	if m := metadata(); m.EventNumber != 5 || string(m.Data) != `{"$tb":2}` {
		t.Errorf("metadata after an append: %d %s", m.EventNumber, m.Data)
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "c d" {
		t.Errorf("it holds %q", got)
	}
	if all := join(readAll(t, c, esdb.ReadAllOptions{}, 100)); !strings.HasPrefix(all, "a b ") {
		t.Errorf("$all holds %q", all)
	}
}

// TestTombstoneInAll checks the record that ends a stream.
func TestTombstoneInAll(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a")
	result, err := c.TombstoneStream(timeout(t), "s", esdb.TombstoneStreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)[0].Event
	if e.EventType != "$streamDeleted" || e.EventNumber != math.MaxInt64 || e.StreamID != "s" || e.Position != result.Position {
		t.Errorf("got %s %d of %s at %v, answered %v", e.EventType, e.EventNumber, e.StreamID, e.Position, result.Position)
	}
	for _, stream := range []string{"s", "$$s"} {
		if got := readNames(t, c, stream, forwardsFrom(esdb.Start{}), 1); got != "deleted" {
			t.Errorf("%s: %q", stream, got)
		}
	}
}

// TestProtect sees that nothing takes events away from a protected stream,
// by whatever door, and that everything else about it works.
func TestProtect(t *testing.T) {
	n := openNode(t, Options{Protect: func(stream string) bool { return strings.HasPrefix(stream, "permit-") }})
	s, c := stub(t, n), connect(t, n)
	mustAppend(t, c, "permit-1", "a", "b")
	mustAppend(t, c, "other", "x")
	remove := func(hard bool, stream string) string {
		if hard {
			_, err := c.TombstoneStream(timeout(t), stream, esdb.TombstoneStreamOptions{})
			return codeOf(err)
		}
		_, err := c.DeleteStream(timeout(t), stream, esdb.DeleteStreamOptions{})
		return codeOf(err)
	}
	for _, stream := range []string{"permit-1", "$$permit-1", "permit-never"} {
		for _, hard := range []bool{false, true} {
			if got := remove(hard, stream); got != "denied" {
				t.Errorf("delete %s (hard %v): %q", stream, hard, got)
			}
		}
	}
	for metadata, code := range map[string]codes.Code{
		`{"$maxCount":1}`: codes.PermissionDenied, `{"$maxAge":1}`: codes.PermissionDenied,
		`{"$tb":1}`: codes.PermissionDenied, `{"$tb":"odd"}`: codes.PermissionDenied,
		"\uFEFF" + `{"$tb":1}`: codes.PermissionDenied, `{"\u0024tb":1}`: codes.PermissionDenied, `{"$tb":null,"$tb":1}`: codes.PermissionDenied,
		`{"$acl":{},"k":"$tb"}`: codes.OK, `{"$cacheControl":5}`: codes.OK, `{"$tb":null}`: codes.OK, `junk $tb`: codes.OK,
	} {
		_, st, trailers := rawAppend(t, s, appendOptions("$$permit-1", expectAny), rawEvent(func(m *streams.AppendReq_ProposedMessage) {
			m.Data = []byte(metadata)
		}))
		if st.Code() != code || (code != codes.OK) != (strings.Join(trailers.Get("exception"), "") == "access-denied") {
			t.Errorf("metadata %s: %v, trailers %v", metadata, st, trailers)
		}
	}
	mustAppendAt(t, c, "permit-1", revision(1), "c")
	if got := readNames(t, c, "permit-1", forwardsFrom(esdb.Start{}), 10); got != "a b c" {
		t.Errorf("the protected stream holds %q", got)
	}
	if got := remove(false, "other") + " " + remove(true, "other"); got != "ok ok" {
		t.Errorf("another stream: %q", got)
	}
}
