package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// usersFile is a users file that a test rewrites.
type usersFile struct {
	t     testing.TB
	path  string
	lines map[string]string // by name
}

func newUsersFile(t testing.TB) *usersFile {
	t.Helper()
	f := &usersFile{t: t, path: writeFile(t, "users", ""), lines: map[string]string{}}
	for name, role := range map[string]Role{"ann": RoleAdmin, "leo": RoleLedger, "rita": RoleReader} {
		f.lines[name] = lineOf(t, name, role, passwordOf(name))
	}
	f.write()
	return f
}

func lineOf(t testing.TB, name string, role Role, password string) string {
	t.Helper()
	line, err := userLine(name, role, password, leastRounds)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func (f *usersFile) write() {
	f.t.Helper()
	var text strings.Builder
	for _, line := range f.lines {
		text.WriteString(line + "\n")
	}
	f.writeText(text.String())
}

func (f *usersFile) writeText(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// mark disables a user, or enables one again.
func (f *usersFile) mark(name string, disabled bool) {
	f.t.Helper()
	line, err := UserLineDisabled(f.lines[name], disabled)
	if err != nil {
		f.t.Fatal(err)
	}
	f.lines[name] = line
}

func wantErrorCode(t testing.TB, what string, err error, want esdb.ErrorCode) {
	t.Helper()
	var e *esdb.Error
	if !errors.As(err, &e) || e.Code() != want {
		t.Errorf("%s: %v, want the code %v", what, err, want)
	}
}

// A user whose line changed is refused as soon as the file was read again, also
// with a password that was verified before; a user whose line did not change
// goes on.
func TestReloadUsersForgetsVerifiedPasswordOfChangedUser(t *testing.T) {
	for name, change := range map[string]func(f *usersFile){
		"disabled":     func(f *usersFile) { f.mark("leo", true) },
		"deleted":      func(f *usersFile) { delete(f.lines, "leo") },
		"new password": func(f *usersFile) { f.lines["leo"] = lineOf(t, "leo", RoleLedger, "another password") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newUsersFile(t)
			s := openSecured(t, Options{UsersFile: f.path})
			ann, leo := s.as(t, "ann"), s.as(t, "leo")
			mustAppend(t, leo, "s", "a")
			mustAppend(t, ann, "s", "b")

			before := f.lines["leo"]
			change(f)
			f.write()
			wantCode(t, "append before the file is read again", tryAppend(t, leo, "s", "c"), "ok")
			if err := s.ReloadUsers(); err != nil {
				t.Fatal(err)
			}
			wantErrorCode(t, "append after it", tryAppend(t, leo, "s", "d"), esdb.ErrorCodeUnauthenticated)
			wantErrorCode(t, "read after it", tryRead(t, leo, "s"), esdb.ErrorCodeUnauthenticated)
			wantCode(t, "append of the other user", tryAppend(t, ann, "s", "e"), "ok")
			if name == "new password" {
				wantCode(t, "append with the new password", tryAppend(t, s.client(t, "esdb", "leo", "another password", s.ca.file), "s", "f"), "ok")
			}

			f.lines["leo"] = before
			f.write()
			if err := s.ReloadUsers(); err != nil {
				t.Fatal(err)
			}
			wantCode(t, "append after the line is back", tryAppend(t, leo, "s", "g"), "ok")
		})
	}
}

func TestReloadUsersAddsUserAndChangesRole(t *testing.T) {
	f := newUsersFile(t)
	s := openSecured(t, Options{UsersFile: f.path})
	leo, eve := s.as(t, "leo"), s.as(t, "eve")
	mustAppend(t, leo, "s", "a")
	wantErrorCode(t, "append of a new user", tryAppend(t, eve, "s", "b"), esdb.ErrorCodeUnauthenticated)
	f.lines["eve"] = lineOf(t, "eve", RoleLedger, passwordOf("eve"))
	f.lines["leo"] = lineOf(t, "leo", RoleReader, passwordOf("leo"))
	f.write()
	if err := s.ReloadUsers(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "append of the new user", tryAppend(t, eve, "s", "c"), "ok")
	wantCode(t, "append of a user who now only reads", tryAppend(t, leo, "s", "d"), "denied")
}

// A file that cannot be read changes nothing, and is logged by the caller alone.
func TestReloadUsersKeepsUsersWhenFileIsUnreadable(t *testing.T) {
	f := newUsersFile(t)
	var log bytes.Buffer
	s := openSecured(t, Options{UsersFile: f.path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	leo := s.as(t, "leo")
	mustAppend(t, leo, "s", "a")
	for name, c := range map[string]struct {
		spoil func()
		want  string
	}{
		"missing":        {func() { _ = os.Remove(f.path) }, "no such file"},
		"empty":          {func() { f.writeText("") }, "names nobody"},
		"malformed":      {func() { f.writeText(f.lines["ann"] + "\nleo:x\n") }, "line 2"},
		"open to others": {func() { f.write(); _ = os.Chmod(f.path, 0o644) }, "chmod 600"},
	} {
		c.spoil()
		err := s.ReloadUsers()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "users stay as they were") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		wantCode(t, name+": append", tryAppend(t, leo, "s", "b"), "ok")
		_ = os.Remove(f.path)
	}
	if got := log.String(); strings.Contains(got, "users file") {
		t.Errorf("the node logged %q", got)
	}
}

func TestReloadUsersWithoutUsersFileDoesNothing(t *testing.T) {
	if err := openNode(t, Options{}).ReloadUsers(); err != nil {
		t.Error(err)
	}
}

// A password that was being hashed while the user changed is not remembered.
func TestVerificationUnderWayIsForgottenWhenUserChanges(t *testing.T) {
	f := newUsersFile(t)
	read := func() map[string]*user {
		users, err := readUsers(f.path)
		if err != nil {
			t.Fatal(err)
		}
		return users
	}
	a := newAuthenticator(read(), time.Now)
	digest := a.digest("leo", passwordOf("leo"))
	old, _ := a.lookUp("leo")
	if changed := a.replace(read()); changed != 0 {
		t.Errorf("%d users changed, although the file is the same", changed)
	}
	a.remember(old, digest)
	if a.remembered("leo", digest) == nil {
		t.Error("a user who did not change is forgotten")
	}
	f.mark("leo", true)
	f.write()
	if changed := a.replace(read()); changed != 1 {
		t.Errorf("%d users changed, want 1", changed)
	}
	a.remember(old, digest)
	if a.remembered("leo", digest) != nil {
		t.Error("a user who was disabled meanwhile is remembered")
	}
	if u, err := a.verify(context.Background(), "leo", passwordOf("leo")); u != nil || err != nil {
		t.Errorf("a disabled user is let in: %v, %v", u, err)
	}
}

// received is the next event of a subscription, by name, or how it ended.
func received(sub *esdb.Subscription) string {
	for {
		switch e := sub.Recv(); {
		case e.SubscriptionDropped != nil:
			return "dropped: " + e.SubscriptionDropped.Error.Error()
		case e.EventAppeared != nil:
			return e.EventAppeared.OriginalEvent().EventType
		case e.CaughtUp != nil:
			return "caught up"
		}
	}
}

// subscribed is a subscription to a stream, or to $all for "", that has caught
// up.
func subscribed(t testing.TB, c *esdb.Client, stream string) *esdb.Subscription {
	t.Helper()
	var sub *esdb.Subscription
	var err error
	if stream == "" {
		sub, err = c.SubscribeToAll(timeout(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	} else {
		sub, err = c.SubscribeToStream(timeout(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	for got := received(sub); got != "caught up"; got = received(sub) {
		if strings.HasPrefix(got, "dropped") {
			t.Fatal(got)
		}
	}
	return sub
}

func TestSubscriptionOutlivesUserWhoIsDisabled(t *testing.T) {
	f := newUsersFile(t)
	s := openSecured(t, Options{UsersFile: f.path})
	ann, leo := s.as(t, "ann"), s.as(t, "leo")
	mustAppend(t, ann, "s", "a")
	sub := subscribed(t, leo, "s")
	f.mark("leo", true)
	f.write()
	if err := s.ReloadUsers(); err != nil {
		t.Fatal(err)
	}
	wantErrorCode(t, "read", tryRead(t, leo, "s"), esdb.ErrorCodeUnauthenticated)
	mustAppend(t, ann, "s", "b")
	if got := received(sub); got != "type-b" {
		t.Errorf("the open subscription got %q, want type-b", got)
	}
}

// The right to read ends with the access list that takes it away: nothing has to
// be written to the stream for that, and no time has to pass.
func TestSubscriptionEndsAtOnceWhenRightIsTakenAway(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		take   func(ann *esdb.Client)
	}{
		"stream, its own list": {"s", func(ann *esdb.Client) { setMetadata(t, ann, "s", `{"$acl":{"$r":"$admins"}}`) }},
		"stream, the default":  {"s", func(ann *esdb.Client) { setDefaults(t, ann, `{"$userStreamAcl":{"$r":"$admins"}}`) }},
		"all, its own list":    {"", func(ann *esdb.Client) { setMetadata(t, ann, "$all", `{"$acl":{"$r":"$admins"}}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSecured(t, Options{})
			ann, leo := s.as(t, "ann"), s.as(t, "leo")
			mustAppend(t, ann, "s", "a")
			setMetadata(t, ann, "$all", `{"$acl":{"$r":["$admins","leo"]}}`)
			sub := subscribed(t, leo, c.stream)
			setMetadata(t, ann, "other", `{"a":1}`) // another list changes nothing
			mustAppend(t, ann, "s", "b")
			got := received(sub)
			for got == "$metadata" {
				got = received(sub)
			}
			if got != "type-b" {
				t.Fatalf("got %q, want type-b", got)
			}
			c.take(ann)
			if got := received(sub); !strings.Contains(got, "Access Denied") {
				t.Errorf("after the right was taken away: %q", got)
			}
		})
	}
}

func setDefaults(t testing.TB, c *esdb.Client, lists string) {
	t.Helper()
	_, err := c.AppendToStream(timeout(t), settingsStream, esdb.AppendToStreamOptions{},
		esdb.EventData{EventType: "update-default-acl", ContentType: esdb.ContentTypeJson, Data: []byte(lists)})
	if err != nil {
		t.Fatal(err)
	}
}

// A consumer that is connected to a group goes on without the right, and is not
// let in again.
func TestGroupMemberGoesOnWhenRightIsTakenAway(t *testing.T) {
	clock := &clock{at: time.Now()}
	s := openSecured(t, Options{Now: clock.now})
	ann, leo := s.as(t, "ann"), s.as(t, "leo")
	createGroup(t, ann, "s", "g", esdb.Start{}, settings())
	m := joinGroup(t, leo, "s", "g", 10)
	mustAppend(t, ann, "s", "a")
	m.accept("a")
	setMetadata(t, ann, "s", `{"$acl":{"$r":"$admins"}}`)
	clock.advance(time.Hour)
	mustAppend(t, ann, "s", "b")
	m.accept("b")
	_, err := leo.SubscribeToPersistentSubscription(timeout(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, "join again", err, "denied")
}

func TestWriteIsRefusedWhenRightIsTakenAway(t *testing.T) {
	s := openSecured(t, Options{})
	ann, leo := s.as(t, "ann"), s.as(t, "leo")
	setDefaults(t, ann, `{"$userStreamAcl":{"$r":"$all","$w":["leo","$admins"]}}`)
	mustAppend(t, leo, "s", "a")
	setDefaults(t, ann, `{"$userStreamAcl":{"$r":"$all","$w":"$admins"}}`)
	wantCode(t, "append", tryAppend(t, leo, "s", "b"), "denied")
	wantCode(t, "read", tryRead(t, leo, "s"), "ok")
}
