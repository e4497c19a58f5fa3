package node

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/storetest"
)

// secured is a node with TLS and three users.
type secured struct {
	*Node
	ca *authority
}

func openSecured(t testing.TB, o Options) secured {
	t.Helper()
	s := secured{ca: newAuthority(t)}
	o.CertFile, o.KeyFile = s.ca.issue(t, nil)
	if o.UsersFile == "" {
		o.UsersFile = writeUsers(t, map[string]Role{"ann": RoleAdmin, "leo": RoleLedger, "rita": RoleReader})
	}
	s.Node = openNode(t, o)
	return s
}

// as gives the official client for a user, by a connection string as an
// operator writes it; "" for one without credentials.
func (s secured) as(t testing.TB, name string) *esdb.Client {
	t.Helper()
	return s.client(t, "esdb", name, passwordOf(name), s.ca.file)
}

func (s secured) client(t testing.TB, scheme, name, password, ca string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(s.connection(scheme, name, password, ca))
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// connection is a connection string for a user; "" for nobody.
func (s secured) connection(scheme, name, password, ca string) string {
	u := url.URL{Scheme: scheme, Host: s.Addr(), RawQuery: "tls=true&tlsCAFile=" + url.QueryEscape(ca)}
	if name != "" {
		u.User = url.UserPassword(name, password)
	}
	return u.String()
}

// dial connects the generated clients, without credentials.
func (s secured) dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	creds, err := credentials.NewClientTLSFromFile(s.ca.file, "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func tryAppend(t testing.TB, c *esdb.Client, stream, name string) error {
	t.Helper()
	_, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{}, named(name)...)
	return err
}

func tryRead(t testing.TB, c *esdb.Client, stream string) error {
	t.Helper()
	_, err := readStream(t, c, stream, esdb.ReadStreamOptions{}, 10)
	return err
}

func tryReadAll(t testing.TB, c *esdb.Client) error {
	t.Helper()
	r, err := c.ReadAll(timeout(t), esdb.ReadAllOptions{}, 10)
	if err != nil {
		return err
	}
	_, err = collect(r)
	return err
}

func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := codeOf(err); got != want {
		t.Errorf("%s: %s, want %s (%v)", what, got, want, err)
	}
}

func TestUsersOverTLS(t *testing.T) {
	s := openSecured(t, Options{})
	ann, leo, rita, nobody := s.as(t, "ann"), s.as(t, "leo"), s.as(t, "rita"), s.as(t, "")

	wantCode(t, "leo appends", tryAppend(t, leo, "s", "a"), "ok")
	wantCode(t, "rita reads", tryRead(t, rita, "s"), "ok")
	wantCode(t, "rita appends", tryAppend(t, rita, "s", "b"), "denied")
	wantCode(t, "nobody reads", tryRead(t, nobody, "s"), "denied")
	wantCode(t, "nobody appends", tryAppend(t, nobody, "s", "b"), "denied")
	wantCode(t, "ann reads $all", tryReadAll(t, ann), "ok")
	wantCode(t, "leo reads $all", tryReadAll(t, leo), "denied")
	wantCode(t, "leo reads $settings", tryRead(t, leo, "$settings"), "denied")
	wantCode(t, "ann reads $settings", tryRead(t, ann, "$settings"), "not found")

	setMetadata(t, ann, "s", `{"$acl":{"$r":["leo"],"$w":"$admins","$mr":"$all"}}`)
	wantCode(t, "leo appends where only admins may", tryAppend(t, leo, "s", "b"), "denied")
	wantCode(t, "leo reads", tryRead(t, leo, "s"), "ok")
	wantCode(t, "rita reads", tryRead(t, rita, "s"), "denied")
	wantCode(t, "rita reads the metadata", tryRead(t, rita, "$$s"), "ok")

	mustAppend(t, leo, "t", "c")
	_, err := ann.AppendToStream(timeout(t), "$settings", esdb.AppendToStreamOptions{}, esdb.EventData{
		EventType: "update-default-acl", ContentType: esdb.ContentTypeJson,
		Data: []byte(`{"$userStreamAcl":{"$r":"$all","$w":"leo","$d":"$admins","$mr":"$all","$mw":"$admins"},"$systemStreamAcl":{"$r":["$admins","leo"],"$w":"$admins","$d":"$admins","$mr":"$admins","$mw":"$admins"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "leo reads $all with the right", tryReadAll(t, leo), "ok")
	wantCode(t, "rita reads $all", tryReadAll(t, rita), "denied")
	_, err = leo.DeleteStream(timeout(t), "t", esdb.DeleteStreamOptions{})
	wantDenied(t, "leo deletes", err, `"$d`, "delete")
	_, err = leo.TombstoneStream(timeout(t), "t", esdb.TombstoneStreamOptions{})
	wantDenied(t, "leo tombstones", err, "$d")
	_, err = leo.SubscribeToAll(timeout(t), esdb.SubscribeToAllOptions{})
	wantCode(t, "leo subscribes to $all", err, "ok")
	_, err = ann.DeleteStream(timeout(t), "t", esdb.DeleteStreamOptions{})
	wantCode(t, "ann deletes", err, "ok")
}

// wantDenied looks inside what the client wraps.
func wantDenied(t testing.TB, what string, err error, says ...string) {
	t.Helper()
	var e *esdb.Error
	if !errors.As(err, &e) || e.Code() != esdb.ErrorCodeAccessDenied {
		t.Errorf("%s: %v, want access denied", what, err)
		return
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), strings.TrimPrefix(want, `"`)) {
			t.Errorf("%s: %q does not say %q", what, err, want)
		}
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	s := openSecured(t, Options{})
	for _, c := range []struct{ name, password string }{
		{"leo", "mistaken"}, {"leo", passwordOf("leo") + " "}, {"LEO", passwordOf("leo")},
		{"who", passwordOf("leo")}, {"leo", strings.Repeat("x", 4000)}, {"ann", passwordOf("leo")},
	} {
		client := s.client(t, "esdb", c.name, c.password, s.ca.file)
		for what, err := range map[string]error{"append": tryAppend(t, client, "s", "a"), "read": tryRead(t, client, "s")} {
			var e *esdb.Error
			if !errors.As(err, &e) || e.Code() != esdb.ErrorCodeUnauthenticated {
				t.Errorf("%s as %.10s with %.10s: %v", what, c.name, c.password, err)
			}
			if err != nil && strings.Contains(err.Error(), c.password) {
				t.Errorf("the password stands in %q", err)
			}
		}
	}
	// Whoever does not trust the authority, or comes without TLS, does not even
	// get so far.
	for _, client := range []*esdb.Client{
		s.client(t, "esdb", "leo", passwordOf("leo"), newAuthority(t).file),
		insecureClient(t, s.Addr()),
	} {
		var e *esdb.Error
		if err := tryAppend(t, client, "s", "a"); !errors.As(err, &e) || e.Code() != esdb.ErrorUnavailable {
			t.Errorf("another authority, or no TLS: %v", err)
		}
	}
	wantCode(t, "discovery", tryAppend(t, s.client(t, "esdb+discover", "leo", passwordOf("leo"), s.ca.file), "s", "a"), "ok")
}

func insecureClient(t testing.TB, address string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString("esdb://" + address + "?tls=false&maxDiscoverAttempts=2&discoveryInterval=1")
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The answers as they are on the wire.
func TestRefusalsOnTheWire(t *testing.T) {
	s := openSecured(t, Options{})
	conn := s.dial(t)
	client := streams.NewStreamsClient(conn)
	del := func(headers ...string) (codes.Code, metadata.MD) {
		var trailer metadata.MD
		_, err := client.Delete(metadata.AppendToOutgoingContext(timeout(t), headers...), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("$s")},
			ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
		}}, grpc.Trailer(&trailer))
		return status.Code(err), trailer
	}
	header := func(plain string) string { return base64.StdEncoding.EncodeToString([]byte(plain)) }
	right := "Basic " + header("leo:"+passwordOf("leo"))
	for _, c := range []struct {
		headers []string
		want    codes.Code
	}{
		{nil, codes.PermissionDenied},
		{[]string{"authorization", right}, codes.PermissionDenied},
		{[]string{"authorization", "basic " + header("leo:"+passwordOf("leo"))}, codes.PermissionDenied},
		{[]string{"authorization", "Basic " + header("ann:"+passwordOf("ann"))}, codes.FailedPrecondition}, // let in: no such stream
		{[]string{"authorization", right, "authorization", right}, codes.Unauthenticated},
		{[]string{"authorization", "Bearer x"}, codes.Unauthenticated},
		{[]string{"authorization", "Basic"}, codes.Unauthenticated},
		{[]string{"authorization", "Basic ?"}, codes.Unauthenticated},
		{[]string{"authorization", ""}, codes.Unauthenticated},
		{[]string{"authorization", "Basic " + header("leo")}, codes.Unauthenticated},
		{[]string{"authorization", "Basic " + header(":")}, codes.Unauthenticated},
	} {
		code, trailer := del(c.headers...)
		if code != c.want {
			t.Errorf("%q: %v, want %v", c.headers, code, c.want)
		}
		if denied := strings.Join(trailer.Get("exception"), ""); (denied == "access-denied") != (code == codes.PermissionDenied) {
			t.Errorf("%q: the exception is %q", c.headers, denied)
		}
	}
	// A large batch that is refused is read to its end, so that its sender gets
	// the reason.
	big := make([]esdb.EventData, 900)
	for i := range big {
		big[i] = esdb.EventData{EventType: "e", Data: make([]byte, 1000)}
	}
	for name, want := range map[string]esdb.ErrorCode{"rita": esdb.ErrorCodeAccessDenied, "who": esdb.ErrorCodeUnauthenticated} {
		_, err := s.as(t, name).AppendToStream(timeout(t), "s", esdb.AppendToStreamOptions{}, big...)
		var e *esdb.Error
		if !errors.As(err, &e) || e.Code() != want {
			t.Errorf("%s appends much: %v", name, err)
		}
	}
	info, err := gossip.NewGossipClient(conn).Read(timeout(t), &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if end := info.Members[0].HttpEndPoint; end.Address != "127.0.0.1" {
		t.Errorf("the node says that it is at %v", end)
	}
}

// A link does not lead to what its reader may not read.
func TestLinksKeepToTheRights(t *testing.T) {
	s := openSecured(t, Options{})
	ann, leo := s.as(t, "ann"), s.as(t, "leo")
	mustAppend(t, ann, "open", "o")
	mustAppend(t, ann, "secret", "s")
	setMetadata(t, ann, "secret", `{"$acl":{"$r":"$admins"}}`)
	for _, target := range []string{"0@open", "0@secret"} {
		_, err := leo.AppendToStream(timeout(t), "links", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "$>", Data: []byte(target)})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := esdb.ReadStreamOptions{ResolveLinkTos: true}
	if got, want := readNames(t, leo, "links", o, 10), "$>>o $>>-"; got != want {
		t.Errorf("leo reads %q, want %q", got, want)
	}
	if got, want := readNames(t, ann, "links", o, 10), "$>>o $>>s"; got != want {
		t.Errorf("ann reads %q, want %q", got, want)
	}
}

// The node's own user needs no password on the socket, and no certificate.
func TestTheSocketIsTheOwners(t *testing.T) {
	s := openSecured(t, Options{Listen: "127.0.0.1:0", Socket: t.TempDir() + "/node.sock"})
	config, err := esdb.ParseConnectionString("esdb://localhost?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	config.Address, config.Logger = "unix://"+s.Socket(), esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	wantCode(t, "append", tryAppend(t, client, "s", "a"), "ok")
	wantCode(t, "read $all", tryReadAll(t, client), "ok")
}

// A password is hashed once, not with every call, however many come at once;
// and again when its time is up.
func TestPasswordsAreHashedOnce(t *testing.T) {
	users, err := readUsers(writeUsers(t, map[string]Role{"leo": RoleLedger}))
	if err != nil {
		t.Fatal(err)
	}
	clock := &clock{at: time.Now()}
	a := newAuthenticator(users, clock.now)
	verify := func(password string) *user {
		u, err := a.verify(context.Background(), "leo", password)
		if err != nil {
			t.Error(err)
		}
		return u
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if verify(passwordOf("leo")) != users["leo"] {
				t.Error("the right password is refused")
			}
		})
	}
	all.Wait()
	// From now on a hash that is wrong is not noticed, as nobody looks at it.
	good := users["leo"].hash
	users["leo"].hash = make([]byte, hashBytes)
	if verify(passwordOf("leo")) == nil {
		t.Error("the password was hashed again")
	}
	if verify("another password") != nil {
		t.Error("another password is taken")
	}
	clock.advance(2 * verifiedFor)
	if verify(passwordOf("leo")) != nil {
		t.Error("the password is remembered for ever")
	}
	users["leo"].hash = good
	if verify(passwordOf("leo")) == nil {
		t.Error("the right password is refused")
	}
	for range cap(a.hashing) {
		a.hashing <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.verify(ctx, "leo", "wrong"); err == nil {
		t.Error("who gave up is still answered")
	}
}

// A node with TLS and users keeps the rules for whoever may do what they need.
func TestSecuredNodeKeepsTheRules(t *testing.T) {
	s := openSecured(t, Options{})
	server, err := storetest.Connect(t.Context(), s.connection("esdb", "ann", passwordOf("ann"), s.ca.file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for r := range storetest.Run(t.Context(), server, storetest.Options{Parallel: 8, Patience: patience}, storetest.Cases()...) {
		if r.Outcome != storetest.Passed || len(r.Left) > 0 {
			t.Errorf("%s %s: %s: %s %v", r.Number, r.Name, r.Outcome, strings.Join(r.Because, "\n"), r.Left)
		}
	}
}
