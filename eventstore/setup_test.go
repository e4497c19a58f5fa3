package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// signedIn gives the connection string of a user of a secured node.
func signedIn(t *testing.T, n *node.Node, ca, name string) string {
	t.Helper()
	connection, err := eventstore.WithCredentials(n.ConnectionString()+"&tlsCaFile="+url.QueryEscape(ca), file(t, "credentials", []byte(name+":"+secret+name)))
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// as is a user's store on a secured node.
func as(t *testing.T, n *node.Node, ca, name string) *eventstore.Store {
	t.Helper()
	return connect(t, n.Addr(), func(c *eventstore.Config) { c.ConnectionString = signedIn(t, n, ca, name) })
}

// official is a user's own client.
func official(t *testing.T, n *node.Node, ca, name string) *esdb.Client {
	t.Helper()
	return client(t, signedIn(t, n, ca, name))
}

func putJSON(t *testing.T, c *esdb.Client, stream, text string) {
	t.Helper()
	_, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
		esdb.EventData{EventType: "$settings", ContentType: esdb.ContentTypeJson, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
}

// newest is the last event of a stream, as its JSON.
func newest(t *testing.T, c *esdb.Client, stream string) string {
	t.Helper()
	rs, err := c.ReadStream(t.Context(), stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	e, err := rs.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return string(e.OriginalEvent().Data)
}

// After it is set up the ledger's user can do what the ledger does, and no more;
// others can do nothing to its streams.
func TestSetUpGivesTheLedgerItsRights(t *testing.T) {
	n, ca := secured(t)
	admin, leo, otto := as(t, n, ca, "ann"), as(t, n, ca, "leo"), as(t, n, ca, "otto")
	setup := eventstore.Setup{User: "leo", Groups: []eventstore.Group{testGroup}}

	if _, err := leo.SetUp(t.Context(), setup); !errors.Is(err, eventstore.ErrDenied) {
		t.Errorf("set up by an ordinary user: %v", err)
	}
	done, err := admin.SetUp(t.Context(), setup)
	if err != nil || len(done) != 4 {
		t.Fatalf("set up: %q, %v", done, err)
	}
	if done, err = admin.SetUp(t.Context(), setup); err != nil || len(done) != 0 {
		t.Errorf("set up again: %q, %v", done, err)
	}

	appended := appendOne(t, leo, "permit-1", eventstore.NoStream())
	if head, err := leo.Head(t.Context()); err != nil || head != appended.Position {
		t.Errorf("the ledger's user reads $all up to %d, %v", head, err)
	}
	given := make(chan struct{})
	consuming(t, leo, crew{consume: func(context.Context, eventstore.Recorded) error { close(given); return nil }})
	<-given
	if status, err := leo.GroupStatus(t.Context(), testGroup.Name); err != nil || status.Consumers != 1 {
		t.Errorf("its user sees the group as %+v, %v", status, err)
	}
	if err := leo.ReplayParked(t.Context(), testGroup.Name); !errors.Is(err, eventstore.ErrDenied) {
		t.Errorf("replayed by an ordinary user: %v", err)
	}
	if _, err := official(t, n, ca, "leo").DeleteStream(t.Context(), "permit-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err == nil {
		t.Error("the ledger's user may delete")
	}
	if _, err := official(t, n, ca, "leo").SetStreamMetadata(t.Context(), "permit-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.StreamMetadata{}); err == nil {
		t.Error("the ledger's user may truncate")
	}

	if _, err := otto.Append(t.Context(), "permit-2", eventstore.NoStream(), proposed(1)); !errors.Is(err, eventstore.ErrDenied) {
		t.Errorf("another user appends: %v", err)
	}
	for _, err := range otto.Read(t.Context(), "permit-1", 0) {
		if !errors.Is(err, eventstore.ErrDenied) {
			t.Errorf("another user reads: %v", err)
		}
	}
	if _, err := otto.Head(t.Context()); !errors.Is(err, eventstore.ErrDenied) {
		t.Errorf("another user reads $all: %v", err)
	}
	if err := otto.Consume(t.Context(), testGroup, crew{}); !errors.Is(err, eventstore.ErrDenied) {
		t.Errorf("another user consumes: %v", err)
	}
}

// The ledger's user writes to the stream of checks, which keeps one event and
// has no access list of its own.
func TestSetUpBoundsTheStreamOfChecks(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	const metadata = "$$permitledger-check"
	putJSON(t, client, metadata, `{"theirs":1,"$maxCount":7,"$acl":{"$w":"otto"}}`)
	for range 2 {
		if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := newest(t, client, metadata); got != `{"$maxCount":1,"theirs":1}` {
		t.Errorf("the metadata are %s", got)
	}
	leo := official(t, n, ca, "leo")
	for range 3 {
		write(t, leo, "permitledger-check")
	}
	rs, err := leo.ReadStream(t.Context(), "permitledger-check", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	if e, err := rs.Recv(); err != nil || e.OriginalEvent().EventNumber != 2 {
		t.Errorf("the first event that is kept: %+v, %v", e, err)
	}
}

// The first user keeps the right to read $all when the ledger gets a second one,
// and streams may have access lists of their own: all are named.
func TestAccessListsOtherUsers(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	access := func(user string) eventstore.Access {
		t.Helper()
		a, err := admin.Access(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	want := func(got, want eventstore.Access) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("access (-want +got):\n%s", diff)
		}
	}
	none := []eventstore.StreamAccess{}
	want(access("leo"), eventstore.Access{User: eventstore.UserUnknown, ReadAll: []string{}, Write: []string{"$all"}, Streams: none})
	for _, user := range []string{"otto", "leo"} {
		if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: user, Replace: true}); err != nil {
			t.Fatal(err)
		}
	}
	putJSON(t, client, "$$permit-1", `{"$acl":{"$w":["leo","rita"]}}`)
	putJSON(t, client, "$$permit-2", `{"$acl":{"$w":["rita"]}}`)
	putJSON(t, client, "$$permit-2", `{"$acl":{"$r":["rita"]}}`)
	putJSON(t, client, "$$orders-1", `{"$acl":{"$w":["rita"]}}`)
	putJSON(t, client, "$$permit-3", `{"$acl":{"$w":[]}}`)
	want(access("leo"), eventstore.Access{User: eventstore.UserUnknown, ReadAll: []string{"otto"}, Write: []string{},
		Streams: []eventstore.StreamAccess{{Stream: "permit-1", Write: []string{"rita"}}}})
	want(access("otto"), eventstore.Access{User: eventstore.UserUnknown, ReadAll: []string{"leo"}, Write: []string{"leo"},
		Streams: []eventstore.StreamAccess{{Stream: "permit-1", Write: []string{"leo", "rita"}}}})
}

// An EventStoreDB server keeps its users in streams; here an admin writes them.
func TestAccessSaysWhetherTheUserExists(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	state := func() eventstore.UserState {
		t.Helper()
		a, err := admin.Access(t.Context(), "leo")
		if err != nil {
			t.Fatal(err)
		}
		return a.User
	}
	for _, step := range []struct {
		stream, text string
		want         eventstore.UserState
	}{
		{"orders-1", `{}`, eventstore.UserUnknown},
		{"$users", `"admin"`, eventstore.UserMissing},
		{"$user-leo", `{"loginName":"leo","disabled":false}`, eventstore.UserThere},
		{"$user-leo", `{"loginName":"leo","disabled":true}`, eventstore.UserDisabled},
	} {
		putJSON(t, client, step.stream, step.text)
		if got := state(); got != step.want {
			t.Errorf("once %s has %s: %s, want %s", step.stream, step.text, got, step.want)
		}
	}
	if _, err := client.DeleteStream(t.Context(), "$user-leo", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != eventstore.UserMissing {
		t.Errorf("once it is deleted: %s", got)
	}
}

// A server that lets everybody in has no access lists to speak of.
func TestAccessOnAnOpenServer(t *testing.T) {
	_, s := fresh(t)
	if _, err := s.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Access(t.Context(), "leo")
	want := eventstore.Access{User: eventstore.UserUnknown, Open: true, ReadAll: []string{"$all"}, Write: []string{"$all"}, Streams: []eventstore.StreamAccess{}}
	if diff := cmp.Diff(want, a); err != nil || diff != "" {
		t.Errorf("%v, access (-want +got):\n%s", err, diff)
	}
}

// What an admin has set before is kept, and not given up without being asked.
func TestSetUpKeepsWhatIsThere(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	setup := eventstore.Setup{User: "leo"}
	putJSON(t, client, "$settings", `{"$systemStreamAcl":{"$r":"otto"},"$userStreamAcl":{"$w":["otto"]},"theirs":1}`)
	putJSON(t, client, "$$$all", `{"$acl":{"$r":"otto","$w":[]},"$cacheControl":7}`)

	done, err := admin.SetUp(t.Context(), setup)
	if !errors.Is(err, eventstore.ErrOtherDefaults) || !strings.Contains(err.Error(), `{"$w":["otto"]}`) || len(done) != 0 {
		t.Errorf("with other defaults: %q, %v", done, err)
	}
	setup.Replace = true
	if done, err = admin.SetUp(t.Context(), setup); err != nil || len(done) != 3 {
		t.Fatalf("replaced: %q, %v", done, err)
	}
	for stream, want := range map[string][]string{
		"$settings": {`"theirs":1`, `"$systemStreamAcl":{"$r":"otto"}`, `"$w":["$admins","leo"]`, `"$d":["$admins"]`},
		"$$$all":    {`"$cacheControl":7`, `"$r":["otto","leo"]`, `"$w":[]`, `"$mr":["$admins","leo"]`},
	} {
		text := newest(t, client, stream)
		if i := slices.IndexFunc(want, func(part string) bool { return !strings.Contains(text, part) }); i >= 0 {
			t.Errorf("%s is %s, without %s", stream, text, want[i])
		}
	}
	if done, err = admin.SetUp(t.Context(), setup); err != nil || len(done) != 0 {
		t.Errorf("again: %q, %v", done, err)
	}
}

// A null says as little as a member that is not there.
func TestSetUpTakesNullForNothing(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	for _, there := range [][2]string{
		{`null`, `null`},
		{`{"$userStreamAcl":null,"$systemStreamAcl":null}`, `{"$acl":null}`},
		{`{"$systemStreamAcl":{"$r":null}}`, `{"$acl":{"$r":null}}`},
	} {
		putJSON(t, client, "$settings", there[0])
		putJSON(t, client, "$$$all", there[1])
		if done, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil || len(done) < 2 {
			t.Fatalf("set up on %s: %q, %v", there, done, err)
		}
		if got, want := newest(t, client, "$$$all"), `{"$acl":{"$mr":["$admins","leo"],"$r":["$admins","leo"]}}`; got != want {
			t.Errorf("set up on %s the access list of $all is %s, want %s", there, got, want)
		}
	}
}

// Who reads $all because the default for system streams says so goes on
// reading it: a list of its own goes before that default.
func TestSetUpKeepsWhoReadsAllByDefault(t *testing.T) {
	n, ca := secured(t)
	admin, otto, client := as(t, n, ca, "ann"), as(t, n, ca, "otto"), official(t, n, ca, "ann")
	putJSON(t, client, "$settings", `{"$systemStreamAcl":{"$r":["$admins","otto"],"$mr":"otto"}}`)
	if _, err := otto.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil || len(done) != 3 {
		t.Fatalf("set up: %q, %v", done, err)
	}
	if _, err := otto.Head(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := newest(t, client, "$$$all"), `{"$acl":{"$mr":["otto","leo"],"$r":["$admins","otto","leo"]}}`; got != want {
		t.Errorf("the access list of $all is %s, want %s", got, want)
	}
	// Nothing is written where the default gives the right to the user already.
	if done, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil || len(done) != 0 {
		t.Errorf("again: %q, %v", done, err)
	}
}

// A subscription that loses the right to read $all goes on by itself once the
// right is given again, and misses nothing.
func TestSubscriptionGoesOnWhenTheRightIsGivenAgain(t *testing.T) {
	n, ca := secured(t)
	admin, client, leo := as(t, n, ca, "ann"), official(t, n, ca, "ann"), as(t, n, ca, "leo")
	if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err != nil {
		t.Fatal(err)
	}
	given := newest(t, client, "$$$all")
	following, seen := make(chan struct{}), make(chan string, 1<<17)
	begun := sync.OnceFunc(func() { close(following) })
	go func() {
		_ = leo.Subscribe(t.Context(), 0, funcs{
			event:    func(r eventstore.Recorded) error { seen <- r.Stream; return nil },
			caughtUp: func() error { begun(); return nil },
		})
	}()
	<-following
	putJSON(t, client, "$$$all", `{"$acl":{"$r":"$admins"}}`)
	written := 0
	for ; leo.Connection().Up; written++ { // the node looks at rights when there is something to give, once a second
		appendOne(t, admin, fmt.Sprintf("permit-%d", written), eventstore.NoStream())
	}
	if _, err := leo.Head(t.Context()); !errors.Is(err, eventstore.ErrDenied) || !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("reading $all: %v", err)
	}
	putJSON(t, client, "$$$all", given)
	appendOne(t, admin, fmt.Sprintf("permit-%d", written), eventstore.NoStream())
	for i := range written + 1 {
		if got, want := <-seen, fmt.Sprintf("permit-%d", i); got != want {
			t.Fatalf("event %d is of %s", i, got)
		}
	}
	if c := leo.Connection(); !c.Up || len(leo.Refused()) != 0 {
		t.Errorf("afterwards: %+v, %v", c, leo.Refused())
	}
}

func TestWhatIsNotSetUp(t *testing.T) {
	n, ca := secured(t)
	admin, client := as(t, n, ca, "ann"), official(t, n, ca, "ann")
	for _, name := range []string{"", "$admins", "$all"} {
		if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: name}); err == nil {
			t.Errorf("set up for %q", name)
		}
	}
	putJSON(t, client, "$settings", `[1]`)
	if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err == nil || !strings.Contains(err.Error(), "$settings") {
		t.Errorf("with settings that are no object: %v", err)
	}
	putJSON(t, client, "$settings", `{}`)
	putJSON(t, client, "$$$all", `{"$acl":{"$r":7}}`)
	if _, err := admin.SetUp(t.Context(), eventstore.Setup{User: "leo"}); err == nil || !strings.Contains(err.Error(), "$$$all") {
		t.Errorf("with an access list that cannot be read: %v", err)
	}
}
