package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/eventstore"
)

// fenced gives the commands of a page in docs, from a heading on, at most n of
// them.
func fenced(t *testing.T, page, heading string, n int) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), heading)
	if !ok {
		t.Fatalf("%s has no %q", page, heading)
	}
	for _, block := range regexp.MustCompile("(?s) *```sh\n(.*?) *```").FindAllStringSubmatch(section, n) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// securedNode runs a node with TLS, a user admin and a user ledger, as
// operating.md tells to, and gives its connection string. What belongs to it is
// in dir, with a file of credentials for each user.
func securedNode(t *testing.T, dir string) (connection string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("THE GUIDES TO A SECURED NODE AND TO MOVING ARE NOT TESTED HERE: they need openssl, which this machine does not have")
	}
	blocks := fenced(t, "operating.md", "## A node that other machines reach", 2)
	script := "set -e\n" + strings.Replace(blocks[0], "store.example.org", "localhost", 1) + blocks[1]
	script = strings.Replace(script, "permitledger node --listen 0.0.0.0:2113", "exec permitledger node --listen 0.0.0.0:0", 1)
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	said := launchLone(t, cmd).connection
	address, ok := strings.CutPrefix(said, "esdb://")
	if !ok || !strings.HasPrefix(address, "localhost:") || !strings.Contains(address, "tls=true") {
		t.Fatalf("the node says that it is reached by %q", said)
	}
	for _, user := range []string{"admin", "ledger"} {
		password, err := os.ReadFile(filepath.Join(dir, user+".password"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, user+".credentials"), []byte(user+":"+string(password)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return said + "&tlsCaFile=" + filepath.Join(dir, "ca.pem")
}

// An operator who follows operating.md has a node with TLS and users, which
// the ledger's client reaches.
func TestTheGuideToSecuringANode(t *testing.T) {
	dir := place(t)
	connection := securedNode(t, dir)
	address := strings.TrimPrefix(connection, "esdb://")
	for user, want := range map[string]string{"admin": "", "ledger": "may not read stream \"$all\""} {
		password, err := os.ReadFile(filepath.Join(dir, user+".password"))
		if err != nil {
			t.Fatal(err)
		}
		head := func(password string) error {
			s, err := eventstore.Connect(eventstore.Config{ConnectionString: fmt.Sprintf("esdb://%s:%s@%s", user, password, address)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
			defer stop()
			_, err = s.Head(ctx)
			return err
		}
		err = head(strings.TrimSpace(string(password)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s reads $all: %v, want %q", user, err, want)
		}
		if err := head("mistaken"); err == nil || strings.Contains(err.Error(), "mistaken") {
			t.Errorf("%s with another password: %v", user, err)
		}
	}
	serveOn(t, dir, connection)
	checkOn(t, dir, connection)
}

// checkOn holds the node to the rules, as an admin, and as a user who may not
// do what that needs.
func checkOn(t *testing.T, dir, connection string) {
	t.Helper()
	check := func(user string) []string {
		return []string{"node", "check", "--eventstore", connection, "--eventstore-credentials-file", filepath.Join(dir, user+".credentials")}
	}
	contains(t, permitledger(t, check("admin")...), " and 0 do not.", " 0 differ, 0 are about what the server does not offer, and 0 are forbidden")
	contains(t, refused(t, append(check("ledger"), "--only", "^1.1 ")...), "check as an admin", "nothing was written")
	contains(t, refused(t, append(check("nobody"), "--only", "^1.1 ")...), "credentials file", "nobody.credentials")
}

// serveOn runs the service as the user ledger: without any right, with the right
// to read alone, and after setup.
func serveOn(t *testing.T, dir, connection string) {
	t.Helper()
	as := func(user string) []string {
		return []string{"--eventstore", connection, "--eventstore-credentials-file", filepath.Join(dir, user+".credentials")}
	}
	serve := append([]string{"serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-level", "error"}, as("ledger")...)
	contains(t, refused(t, serve...), "does not let this user do that", "($r)", "permitledger setup")
	check := append([]string{"config", "check", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"}, as("ledger")...)
	contains(t, refused(t, check...), "FAULT  event store", "read ($r) $all", "permitledger setup")
	setup := append([]string{"setup", "--user", "ledger"}, as("admin")...)
	contains(t, refused(t, append([]string{"setup", "--user", "ledger"}, as("ledger")...)...), "does not let this user do that", "an admin's right", "Run it again with an admin's credentials")

	letRead(t, dir, connection)
	r := launch(t, serve...)
	ready(t, r, "degraded", "permitledger-settlements", "permitledger setup")
	r.terminate()

	contains(t, permitledger(t, setup...), "default access list", "made the persistent subscription permitledger-settlements")
	access := "This server cannot be asked whether the user ledger exists.\n" +
		"Beside admins and ledger, these may read $all: nobody.\n" +
		"Beside admins and ledger, these may write the ledger's streams: nobody.\n"
	if did, said, code := typed(t, setup...); code != 0 || did != access || !strings.Contains(said, "Nothing had to be done") {
		t.Errorf("a second setup: %d, %s, it did %s", code, said, did)
	}
	contains(t, permitledger(t, check...), "ok  event store")
	contains(t, permitledger(t, append(setup, "--json", "--log-level", "error")...), `"done": []`, `"user": "cannot be asked"`, `"readAll": []`)
	r = launch(t, serve...)
	ready(t, r, "ok")
	contains(t, refused(t, "reactors", "replay", "permitledger-settlements", "--data", filepath.Join(dir, "data")), "--eventstore, as an admin")
	contains(t, permitledger(t, append([]string{"reactors", "list"}, as("ledger")...)...), "permitledger-settlements  at work  1")
	contains(t, refused(t, append([]string{"reactors", "replay", "permitledger-settlements"}, as("ledger")...)...), "an admin's right")
	if _, said, code := typed(t, append([]string{"reactors", "replay", "permitledger-settlements"}, as("admin")...)...); code != 0 || !strings.Contains(said, "0 parked events") {
		t.Errorf("replayed by an admin: %d, %s", code, said)
	}
}

// letRead lets the ledger's user read $all, as an admin may by hand.
func letRead(t *testing.T, dir, connection string) {
	t.Helper()
	admin, err := eventstore.WithCredentials(connection, filepath.Join(dir, "admin.credentials"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := esdb.ParseConnectionString(admin)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.AppendToStream(t.Context(), "$settings", esdb.AppendToStreamOptions{}, esdb.EventData{
		EventType: "update-default-acl", ContentType: esdb.ContentTypeJson,
		Data: []byte(`{"$systemStreamAcl":{"$r":["$admins","ledger"]}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ready asks a service how it is until it says all of this.
func ready(t *testing.T, r *running, says ...string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var body []byte
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		body, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && !slices.ContainsFunc(says, func(want string) bool { return !strings.Contains(string(body), want) }) {
			return
		}
	}
	t.Fatalf("/readyz says %s, want %q; the service says %s", body, says, r.said())
}

// What was told to stop before it was done has failed, for whoever goes by the
// exit code.
func TestACommandThatIsStoppedHasFailed(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	p := &program{ctx: ctx, stdout: io.Discard, stderr: io.Discard, logger: slog.New(slog.DiscardHandler)}
	nowhere := "esdb://127.0.0.1:1?tls=false"
	for name, run := range map[string]func(*program) error{
		"setup":           setupCommand{EventStore: nowhere, User: "ledger"}.Run,
		"reactors list":   listReactors{ledgerFlags: ledgerFlags{EventStore: nowhere}}.Run,
		"reactors replay": replayParking{Name: "permitledger-settlements", ledgerFlags: ledgerFlags{EventStore: nowhere}}.Run,
	} {
		if err := run(p); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s ends with %v, which counts as done", name, err)
		}
	}
}
