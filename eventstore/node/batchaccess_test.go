package node

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const deniedBatch = "PermissionDenied AccessDenied"

// batches is a call as a user; "" for somebody without credentials.
func (s secured) batches(t *testing.T, name, password string) batches {
	t.Helper()
	ctx := timeout(t)
	if name != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
	}
	call, err := streams.NewStreamsClient(s.dial(t)).BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return batches{t, call}
}

// One call writes to many streams, and each batch is let in or not by itself.
// Among the others is one of several messages.
func TestBatchesOfUsers(t *testing.T) {
	s := openSecured(t, Options{})
	for _, tc := range []struct{ name, open, closed, closedMeta, system string }{
		{"ann", "ok 0", "ok 0", "ok 1", "ok 0"},
		{"leo", "ok 0", deniedBatch, "ok 1", deniedBatch},
		{"rita", deniedBatch, deniedBatch, deniedBatch, deniedBatch},
		{"", deniedBatch, deniedBatch, deniedBatch, deniedBatch},
	} {
		closed := "closed to all but admins, tried by " + tc.name
		setMetadata(t, s.as(t, "ann"), closed, `{"$acl":{"$w":"$admins","$mw":"leo"}}`)
		b := s.batches(t, tc.name, passwordOf(tc.name))
		b.send(
			firstOfBatch("open", "open to "+tc.name, expectAny),
			wholeBatch("closed", closed, expectAny, "x"),
			firstOfBatch("all", "$all", expectAny, "x"),
			moreOfBatch("open", "x"),
			wholeBatch("metadata", "$$"+closed, expectAny, "x"),
			wholeBatch("system", "$of "+tc.name, expectAny, "x"),
			lastOfBatch("all", "y"),
			lastOfBatch("open"),
		)
		got := map[string]string{}
		for range 5 {
			name, words, _ := strings.Cut(b.next(), ": ")
			got[name] = words
		}
		for batch, want := range map[string]string{
			"open": tc.open, "closed": tc.closed, "metadata": tc.closedMeta, "system": tc.system, "all": deniedBatch,
		} {
			if got[batch] != want {
				t.Errorf("%q, %s: %q, want %q", tc.name, batch, got[batch], want)
			}
		}
		b.ends()
	}
	if _, err := s.batches(t, "leo", "wrong").Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a wrong password: %v", err)
	}
}

// The right is asked for with each batch, not once for the call.
func TestARightTakenAwayEndsBatches(t *testing.T) {
	s := openSecured(t, Options{})
	b := s.batches(t, "leo", passwordOf("leo"))
	b.send(wholeBatch("before", "s", expectAny, "a"))
	if got := b.next(); got != "before: ok 0" {
		t.Error(got)
	}
	setMetadata(t, s.as(t, "ann"), "s", `{"$acl":{"$w":"$admins"}}`)
	b.send(wholeBatch("after", "s", expectAny, "b"))
	resp, err := b.Recv()
	if err != nil || batchWords(resp) != deniedBatch || !strings.Contains(resp.GetError().GetMessage(), `User "leo" may not write to stream "s"`) {
		t.Errorf("after the right was taken away: %v, %v", resp, err)
	}
}
