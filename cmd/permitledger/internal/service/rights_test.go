package service_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// guarded is a service on a node with TLS and users. The service signs in as
// ledger, with a file of credentials.
type guarded struct {
	t       *testing.T
	dir     string
	node    *node.Node
	admin   *esdb.Client
	service *service.Service
	client  client
	log     lines
}

// lines counts what is logged beside requests.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
	n  int
}

// Write takes one line.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Contains(p, []byte("msg=request ")) {
		l.n++
		l.b.Write(p)
	}
	return len(p), nil
}

// take gives the lines since it was called last, and their number.
func (l *lines) take() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, text := l.n, l.b.String()
	l.n = 0
	l.b.Reset()
	return n, text
}

func guard(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, dir: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ca := g.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	g.users(g.user("ledger", node.RoleLedger, "first"))
	g.node, err = node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0", CertFile: ca, UsersFile: filepath.Join(g.dir, "users"),
		KeyFile: g.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.node.Close() })
	_, address, _ := strings.Cut(g.node.ConnectionString(), "://")
	connection := func(user string) string { return "esdb://" + user + address + "&discoveryInterval=10&tlsCaFile=" + ca }
	g.setUp(connection("admin:admin@"))
	g.write("credentials", "ledger:first")
	g.service = start(t, func(cfg *service.Config) {
		cfg.EventStore, cfg.Credentials, cfg.DemoClock = connection(""), filepath.Join(g.dir, "credentials"), time.Time{}
		cfg.Logger = slog.New(slog.NewTextHandler(&g.log, nil))
	})
	g.client = newClient(t, g.service)
	return g
}

// setUp prepares the node for the ledger's user, as an admin.
func (g *guarded) setUp(connection string) {
	g.t.Helper()
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: connection})
	if err != nil {
		g.t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.SetUp(g.t.Context(), eventstore.Setup{User: "ledger", Groups: reactors.Groups()}); err != nil {
		g.t.Fatal(err)
	}
	conf, err := esdb.ParseConnectionString(connection)
	if err != nil {
		g.t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	if g.admin, err = esdb.NewClient(conf); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = g.admin.Close() })
}

// write puts content into a file of the test's folder.
func (g *guarded) write(name, content string) (path string) {
	g.t.Helper()
	path = filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// user is a line of the users file, hashed with few rounds.
func (g *guarded) user(name string, role node.Role, password string) string {
	g.t.Helper()
	salt := []byte("of no importance")
	hash, err := pbkdf2.Key(sha256.New, password, salt, 10_000, sha256.Size)
	if err != nil {
		g.t.Fatal(err)
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s:pbkdf2-sha256$10000$%s$%s:%s", name, encode(salt), encode(hash), role)
}

// users gives the node these users beside its admin.
func (g *guarded) users(lines ...string) {
	g.t.Helper()
	g.write("users", strings.Join(append(lines, g.user("admin", node.RoleAdmin, "admin")), "\n")+"\n")
	if g.node == nil {
		return
	}
	if err := g.node.ReloadUsers(); err != nil {
		g.t.Fatal(err)
	}
}

// put writes an event with this content to a system stream, as the admin.
func (g *guarded) put(stream, content string) {
	g.t.Helper()
	_, err := g.admin.AppendToStream(g.t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
		esdb.EventData{EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(content)})
	if err != nil {
		g.t.Fatal(err)
	}
}

// newest is the content of the last event of a stream.
func (g *guarded) newest(stream string) string {
	g.t.Helper()
	rs, err := g.admin.ReadStream(g.t.Context(), stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		g.t.Fatal(err)
	}
	defer rs.Close()
	e, err := rs.Recv()
	if err != nil {
		g.t.Fatal(err)
	}
	return string(e.OriginalEvent().Data)
}

// under sends commands and reads from several goroutines until stop is called,
// and gives every answer to each.
func (g *guarded) under(each func(route string, a answer)) (stop func()) {
	ctx, cancel := context.WithCancel(g.t.Context())
	var all sync.WaitGroup
	account := g.client.as("sam").post("/accounts", `{"name":"Sam Example"}`).want(201).str("accountId")
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				each("open", g.client.as("alex").post("/accounts", `{"name":"Alex Example"}`))
				each("own", g.client.as("sam").get("/accounts/"+account))
				each("staff", g.client.as("olga").get("/accounts/"+account))
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// A right is lost in each of five ways while the service works under load:
// commands are done or answered 503, reads go on, /readyz names the cause, and
// everything recovers without a restart.
func TestServiceOutlivesLostRights(t *testing.T) {
	g := guard(t)
	settings, all := g.newest("$settings"), g.newest("$$$all")
	known := g.user("ledger", node.RoleLedger, "first")
	disabled, err := node.UserLineDisabled(known, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		name       string
		take, give func()
		because    string
		copied     bool // residents read from the copy
	}{
		{"user disabled", func() { g.users(disabled) }, func() { g.users(known) }, "the credentials", true},
		{"user deleted", func() { g.users() }, func() { g.users(known) }, "the credentials", true},
		{"right to write taken away", func() { g.put("$settings", `{"$userStreamAcl":{"$r":["$admins","ledger"],"$w":"$admins"}}`) },
			func() { g.put("$settings", settings) }, "the right to write to ($w) the ledger's streams", false},
		{"right to read $all taken away", func() { g.put("$$$all", `{"$acl":{"$r":"$admins"}}`) },
			func() { g.put("$$$all", all) }, "the right to read ($r) $all", false},
		{"password changed", func() { g.users(g.user("ledger", node.RoleLedger, "second")) },
			func() { g.write("credentials", "ledger:second") }, "the credentials", true},
	} {
		t.Run(way.name, func(t *testing.T) {
			g.lose(t, way.take, way.give, way.because, way.copied)
		})
	}
}

// lose takes a right away under load, looks at the answers, and gives it again.
func (g *guarded) lose(t *testing.T, take, give func(), because string, copied bool) {
	g.log.take()
	began := time.Now()
	var mu sync.Mutex
	counts := map[string]int{} // by route and status
	odd := map[string]string{}
	heard := make(chan string, 1000)
	stop := g.under(func(route string, a answer) {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprintf("%s %d", route, a.status)
		counts[key]++
		switch {
		case a.status == http.StatusServiceUnavailable && route != "own" && a.body["code"] == "unavailable":
			if after := a.header.Get("Retry-After"); after != "10" {
				odd[key] = "Retry-After " + after
			}
			if a.header.Get("Ledger-As-Of") != "" {
				odd[key] = "an error says as of when it is"
			}
		case a.status == http.StatusOK && route == "own" && a.header.Get("Ledger-As-Of") != "":
			key = "own from the copy"
		case a.status == http.StatusOK, a.status == http.StatusCreated, a.status == http.StatusTooManyRequests:
		default:
			odd[key] = string(a.raw)
		}
		select {
		case heard <- key:
		default:
		}
	})
	until := func(what string, n int) {
		for n > 0 {
			if <-heard == what {
				n--
			}
		}
	}
	until("open 201", 5)
	unread := g.client.as("sam").post("/accounts", `{"name":"Another Example"}`).want(201).str("accountId")
	take()
	until("open 503", 20)
	g.client.as("olga").get("/accounts/" + unread).unavailable() // the reading cannot be recorded
	if copied {
		until("own from the copy", 3)
	} else {
		until("own 200", 3)
	}
	if strings.Contains(because, "$all") { // which this read needs, to be sure that it has everything
		looks := g.client.as("sam").get("/accounts/" + unread + "/access").want(200)
		if looks.header.Get("Ledger-As-Of") == "" {
			t.Error("a read that could not look at $all does not say as of when it is")
		}
	}
	ready := g.client.as("").get("/readyz").want(200).is("state", "degraded")
	if got := string(ready.raw); !strings.Contains(got, because) || strings.Contains(got, "away since") {
		t.Errorf("it is degraded because %s, want %s", got, because)
	}
	if metrics := string(g.client.as("").get("/metrics").want(200).raw); !strings.Contains(metrics, "permitledger_eventstore_up 0") {
		t.Error("the metrics say that the event store is up")
	}
	give()
	mu.Lock()
	for len(heard) > 0 {
		<-heard
	}
	mu.Unlock()
	until("open 201", 20)
	stop()
	if err := g.service.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	g.client.as("").get("/readyz").want(200).is("state", "ok")
	if len(odd) > 0 {
		t.Errorf("other answers: %v", odd)
	}
	n, text := g.log.take()
	if minutes := int(time.Since(began)/time.Minute) + 1; n > 10*minutes {
		t.Errorf("%d lines are logged in %d minutes", n, minutes)
	}
	t.Logf("%v in %s; %d log lines:\n%s", counts, time.Since(began).Round(time.Millisecond), n, text)
}
