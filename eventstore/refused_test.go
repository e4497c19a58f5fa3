package eventstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// observed is leo's store on a secured node that is set up for leo, with
// credentials from a file.
type observed struct {
	t           *testing.T
	node        *node.Node
	ca, users   string
	credentials string // file
	admin       *eventstore.Store
	client      *esdb.Client // of the admin
	leo         *eventstore.Store
	reg         *prometheus.Registry
	log         *journal
}

func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{t: t, reg: prometheus.NewRegistry(), log: &journal{}}
	o.node, o.ca, o.users = securedBy(t)
	o.admin, o.client = as(t, o.node, o.ca, "ann"), official(t, o.node, o.ca, "ann")
	if _, err := o.admin.SetUp(t.Context(), eventstore.Setup{User: "leo", Groups: []eventstore.Group{testGroup}}); err != nil {
		t.Fatal(err)
	}
	o.credentials = file(t, "credentials", []byte("leo:"+secret+"leo\n"))
	o.leo = connect(t, o.node.Addr(), func(c *eventstore.Config) {
		c.ConnectionString = o.node.ConnectionString() + "&discoveryInterval=10&tlsCaFile=" + url.QueryEscape(o.ca)
		c.CredentialsFile, c.Registerer = o.credentials, o.reg
		c.Logger = slog.New(slog.NewTextHandler(o.log, nil))
	})
	return o
}

// write puts other content into a file that is there.
func (o *observed) write(path, content string) {
	o.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// password gives leo another password on the server.
func (o *observed) password(password string) {
	o.t.Helper()
	o.write(o.users, userLine(o.t, "leo", node.RoleLedger, password)+userLine(o.t, "ann", node.RoleAdmin, secret+"ann"))
	if err := o.node.ReloadUsers(); err != nil {
		o.t.Fatal(err)
	}
}

// refused fails the test unless an error is a refusal of this kind.
func (o *observed) refused(err, kind error, says string) {
	o.t.Helper()
	if !errors.Is(err, kind) || !errors.Is(err, eventstore.ErrRefused) || !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), says) {
		o.t.Errorf("%v, want %v and %q", err, kind, says)
	}
}

// logged fails the test unless the log has so many lines with these words, and
// none of a connection that was lost.
func (o *observed) logged(words string, n int) {
	o.t.Helper()
	if log := o.log.String(); strings.Count(log, words) != n || strings.Contains(log, "connection lost") {
		o.t.Errorf("%q is not logged %d times:\n%s", words, n, log)
	}
}

// The right to write is taken away: appends are refused, one line says so,
// reads go on, and appends do when the right is given again.
func TestAppendsAreRefusedUntilTheRightToWriteIsGiven(t *testing.T) {
	o := observe(t)
	appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	given := newest(t, o.client, "$settings")
	putJSON(t, o.client, "$settings", `{"$userStreamAcl":{"$r":["$admins","leo"],"$w":"$admins"}}`)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			_, err := o.leo.Append(t.Context(), fmt.Sprintf("permit-%d", 100+i), eventstore.NoStream(), proposed(1))
			o.refused(err, eventstore.ErrDenied, "($w)")
		})
	}
	all.Wait()
	if got := len(collect(t, o.leo.Read(t.Context(), "permit-1", 0))); got != 1 {
		t.Errorf("%d events are read", got)
	}
	if _, err := o.leo.Head(t.Context()); err != nil {
		t.Error(err)
	}
	c, refused := o.leo.Connection(), o.leo.Refused()
	if c.Up || len(refused) != 1 || refused[0].Stream != "" || !c.Since.Equal(refused[0].Since) || !strings.Contains(refused[0].String(), "write to ($w) the ledger's streams") {
		t.Errorf("%+v, %v", c, refused)
	}
	if gauge(t, o.reg, "permitledger_eventstore_up") != 0 {
		t.Error("the metric says that it is up")
	}
	err := o.leo.Consume(t.Context(), testGroup, crew{})
	o.refused(err, eventstore.ErrDenied, "($w)")

	putJSON(t, o.client, "$settings", given)
	if err := o.leo.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendOne(t, o.leo, "permit-100", eventstore.NoStream())
	if !o.leo.Connection().Up || gauge(t, o.reg, "permitledger_eventstore_up") != 1 {
		t.Error("afterwards it is not up")
	}
	o.logged("event store refuses", 2) // and "refuses no longer"
	if n := len(collect(t, o.admin.Verbatim().Read(t.Context(), eventstore.CheckStream, 0))); n != 1 {
		t.Errorf("%s has %d events", eventstore.CheckStream, n)
	}
}

// One stream has an access list of its own: only appends to it are refused, and
// it is named.
func TestOneStreamIsRefusedByItsOwnList(t *testing.T) {
	o := observe(t)
	appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	putJSON(t, o.client, "$$permit-1", `{"$acl":{"$w":"$admins"}}`)
	_, err := o.leo.Append(t.Context(), "permit-1", eventstore.At(0), proposed(1))
	o.refused(err, eventstore.ErrDenied, "permit-1")
	appendOne(t, o.leo, "permit-2", eventstore.NoStream())
	refused := o.leo.Refused()
	if !o.leo.Connection().Up || len(refused) != 1 || refused[0].Stream != "permit-1" || refused[0].Right != eventstore.RightWrite {
		t.Errorf("%+v, %v", o.leo.Connection(), refused)
	}
	putJSON(t, o.client, "$$permit-1", `{"$acl":{"$w":"leo"}}`)
	for err := errors.ErrUnsupported; err != nil; { // it is asked for again once a second at first
		if _, err = o.leo.Append(t.Context(), "permit-1", eventstore.At(0), proposed(1)); err != nil {
			o.refused(err, eventstore.ErrDenied, "permit-1")
		}
	}
	if refused := o.leo.Refused(); len(refused) != 0 {
		t.Errorf("afterwards: %v", refused)
	}
	o.logged("event store refuses", 2)
}

// A stream may be closed to readers only. Reads go on by themselves once it is
// opened, however often they were refused, and the event in it is not missing.
func TestReadsOfOneStreamGoOnWhenItIsOpened(t *testing.T) {
	o := observe(t)
	at := appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	id := collect(t, o.leo.Read(t.Context(), "permit-1", 0))[0].ID.String()
	putJSON(t, o.client, "$$permit-1", `{"$acl":{"$r":"$admins"}}`)
	read := func() (err error) {
		for _, err = range o.leo.Read(t.Context(), "permit-1", 0) {
		}
		return err
	}
	o.refused(read(), eventstore.ErrDenied, "permit-1")
	place := eventstore.Place{Stream: "permit-1", ID: id, Position: at.Position}
	if where, _, err := o.leo.Locate(t.Context(), place); err != nil || where != eventstore.InPlace {
		t.Errorf("the event of the closed stream is %v, %v", where, err)
	}
	putJSON(t, o.client, "$$permit-1", `{"$acl":{"$r":"leo"}}`)
	for read() != nil { // it is asked for again once a second at first
	}
	for range 50 {
		if err := read(); err != nil {
			t.Fatalf("after the stream was opened: %v", err)
		}
	}
	if refused := o.leo.Refused(); len(refused) != 0 {
		t.Errorf("afterwards: %v", refused)
	}
}

// A try without an answer may have been written. A refusal of the next one does
// not say that it was not.
func TestRefusalAfterUnknownOutcomeLeavesItUnknown(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated} {
		odd := &oddServer{append: func(try int) (*streams.AppendResp, error) {
			if try == 0 {
				return nil, status.Error(codes.Aborted, "Operation timed out")
			}
			return nil, status.Error(code, "no")
		}}
		_, err := odd.serve(t).Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
		if !errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrDenied) || errors.Is(err, eventstore.ErrCredentials) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// The password is changed in the file first and then on the server: nothing is
// refused, and no connection is lost.
func TestPasswordIsChangedWithoutARefusal(t *testing.T) {
	o := observe(t)
	appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	before, _ := o.leo.Session()
	o.write(o.credentials, "leo:another "+secret)
	o.leo.Reload(t.Context()) // too early: the server has the old one
	appendOne(t, o.leo, "permit-2", eventstore.NoStream())
	o.logged("those in use are kept", 1)
	if now, _ := o.leo.Session(); now != before {
		t.Error("it goes on with credentials that the server refuses")
	}

	o.password("another " + secret)
	appendOne(t, o.leo, "permit-3", eventstore.NoStream())
	if _, err := o.leo.Head(t.Context()); err != nil {
		t.Error(err)
	}
	if now, _ := o.leo.Session(); now == before || !o.leo.Connection().Up {
		t.Error("there is no new session")
	}
	o.logged("event store refuses the right", 0)
	o.logged("credentials and certificates read again", 1)
	o.leo.Reload(t.Context()) // nothing has changed
	o.logged("credentials and certificates read again", 1)
}

// A credentials file that cannot be read keeps the credentials in use, and is
// logged once.
func TestUnreadableCredentialsFileKeepsTheOld(t *testing.T) {
	o := observe(t)
	appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	o.write(o.credentials, "no password")
	o.leo.Reload(t.Context())
	o.leo.Reload(t.Context())
	appendOne(t, o.leo, "permit-2", eventstore.NoStream())
	o.logged("those in use are kept", 1)
	if strings.Contains(o.log.String(), "pass, word") {
		t.Error("the password is logged")
	}
}

// The server has another password than the file: everything is refused until
// the file has it too.
func TestRequestsAreRefusedUntilFileHasPassword(t *testing.T) {
	o := observe(t)
	appendOne(t, o.leo, "permit-1", eventstore.NoStream())
	o.password("another " + secret)
	_, err := o.leo.Append(t.Context(), "permit-1", eventstore.At(0), proposed(1))
	o.refused(err, eventstore.ErrCredentials, "connection string or the file")
	_, err = o.leo.Head(t.Context())
	o.refused(err, eventstore.ErrCredentials, "")
	for _, err := range o.leo.Read(t.Context(), "permit-1", 0) {
		o.refused(err, eventstore.ErrCredentials, "")
	}
	_, err = o.leo.GroupStatus(t.Context(), testGroup.Name)
	o.refused(err, eventstore.ErrCredentials, "")
	if refused := o.leo.Refused(); len(refused) != 1 || refused[0].Right != eventstore.RightCredentials || o.leo.Connection().Up {
		t.Errorf("%v", refused)
	}
	o.write(o.credentials, "leo:another "+secret)
	o.leo.Reload(t.Context())
	if err := o.leo.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendOne(t, o.leo, "permit-1", eventstore.At(0))
	o.logged("event store refuses", 2)
}

// The file of the authority has another certificate than the server's. The
// search for the server reads it again.
func TestAuthorityIsReadAgainWhileTheServerIsSearched(t *testing.T) {
	n, ca := secured(t)
	_, other := secured(t)
	right, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	authority := file(t, "ca.pem", wrong)
	var log journal
	s := connect(t, n.Addr(), func(c *eventstore.Config) {
		c.ConnectionString = n.ConnectionString() + "&discoveryInterval=10&tlsCaFile=" + url.QueryEscape(authority)
		c.CredentialsFile = file(t, "credentials", []byte("ann:"+secret+"ann"))
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Wait = 1
	})
	for s.Connection().Reason == "" { // until it has met the wrong one
		_, _ = s.Head(t.Context())
	}
	if err := os.WriteFile(authority, right, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "read again") {
		t.Errorf("logged:\n%s", log.String())
	}
}

// Every right that the ledger needs is tried, and each that is missing is named.
func TestTryRightsNamesMissingRights(t *testing.T) {
	o := observe(t)
	for name, c := range map[string]struct {
		store *eventstore.Store
		want  []string
	}{
		"the ledger's user": {store: o.leo},
		"another":           {as(t, o.node, o.ca, "otto"), []string{"read ($r) $all", "read ($r) the ledger's streams", "write to ($w) the ledger's streams"}},
		"a wrong password": {connect(t, o.node.Addr(), func(c *eventstore.Config) {
			c.ConnectionString = o.node.ConnectionString() + "&tlsCaFile=" + url.QueryEscape(o.ca)
			c.CredentialsFile = file(t, "credentials", []byte("leo:wrong"))
		}), []string{"user name and password"}},
	} {
		refused, err := c.store.TryRights(t.Context())
		if err != nil || len(refused) != len(c.want) {
			t.Errorf("%s: %v, %v", name, refused, err)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(refused[i].Error(), want) {
				t.Errorf("%s: %v, want %q", name, refused[i], want)
			}
		}
	}
}
