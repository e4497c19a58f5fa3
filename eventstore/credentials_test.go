package eventstore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// secret is a password with everything in it that a connection string trips
// over.
const secret = "pass, word@:/?#%41&+€"

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// secured is a node with TLS and users; ca is the file that clients trust.
func secured(t *testing.T) (n *node.Node, ca string) {
	t.Helper()
	n, ca, _ = securedBy(t)
	return n, ca
}

// userLine is a user's line in a users file, with as few rounds as the node
// takes: a busy machine is slow.
func userLine(t *testing.T, name string, role node.Role, password string) string {
	t.Helper()
	salt := []byte("of no importance")
	hash, err := pbkdf2.Key(sha256.New, password, salt, 10_000, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s:pbkdf2-sha256$10000$%s$%s:%s\n", name, encode(salt), encode(hash), role)
}

// securedBy is secured, and gives the users file as well.
func securedBy(t *testing.T) (n *node.Node, ca, users string) {
	t.Helper()
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
	var lines string
	for name, role := range map[string]node.Role{"ann": node.RoleAdmin, "leo": node.RoleLedger, "otto": node.RoleLedger, "rita": node.RoleReader} {
		lines += userLine(t, name, role, secret+name)
	}
	users = file(t, "users", []byte(lines))
	ca = file(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	n, err = node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0", CertFile: ca, UsersFile: users,
		KeyFile: file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, ca, users
}

// journal keeps what is logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// The store works over TLS with credentials from a file; what its user may not
// do it says with the right that is missing; and the password is told nobody.
func TestStoreOverTLSWithCredentials(t *testing.T) {
	n, ca := secured(t)
	var log journal
	as := func(credentials string) *eventstore.Store {
		connection, err := eventstore.WithCredentials(n.ConnectionString()+"&tlsCaFile="+url.QueryEscape(ca), file(t, "credentials", []byte(credentials)))
		if err != nil {
			t.Fatal(err)
		}
		return connect(t, n.Addr(), func(c *eventstore.Config) {
			c.ConnectionString = connection
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
	}
	said := func(what string, err error, is error, says ...string) {
		t.Helper()
		if !errors.Is(err, is) {
			t.Errorf("%s: %v, want %v", what, err, is)
			return
		}
		for _, want := range says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", what, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "pass, word") {
			t.Errorf("%s: the password stands in %q", what, err)
		}
	}
	ann, leo, rita, who := as("ann:"+secret+"ann\n"), as("leo:"+secret+"leo"), as("rita:"+secret+"rita"), as("leo:"+secret)
	ctx := t.Context()
	_, err := leo.Append(ctx, "permit-1", eventstore.NoStream(), proposed(2))
	said("leo appends", err, nil)
	_, err = ann.Head(ctx)
	said("ann reads $all", err, nil)
	_, err = leo.Head(ctx)
	said("leo reads $all", err, eventstore.ErrDenied, "($r)", "$all", "An admin", "$settings")
	_, err = rita.Append(ctx, "permit-1", eventstore.NoStream(), proposed(1))
	said("rita appends", err, eventstore.ErrDenied, "($w)", "permit-1", "role reader")
	_, err = who.Append(ctx, "permit-1", eventstore.NoStream(), proposed(1))
	said("a mistaken password appends", err, eventstore.ErrCredentials, "connection string")
	_, err = who.Head(ctx)
	said("a mistaken password reads", err, eventstore.ErrCredentials)
	if strings.Contains(log.String(), "pass, word") || strings.Contains(log.String(), "pass%2C") {
		t.Errorf("the password is logged:\n%s", log.String())
	}
	if !strings.Contains(log.String(), "event store connected") {
		t.Error("nothing is logged at all")
	}
}

// Faults of connection strings and credentials files are told without the
// password.
func TestCredentialsAreNotRepeated(t *testing.T) {
	for connection, want := range map[string]string{
		"esdb://leo:hidden%zz@host:2113":         "percent-encode",
		"esdb://leo:hidden/x@host:2113":          "percent-encode",
		"esdb://leo:hidden@ho st:2113":           "connection string",
		"esdb://leo:hidden@host:port":            "port",
		"http://leo:hidden@host:2113":            "invalid scheme",
		"esdb://leo:hidden@host:2113?tls=maybe":  "must be either true or false",
		"esdb://:hidden@host:2113":               "percent-encode",
		"esdb://leo:hidden@a:1,b:x?tls=true":     "port",
		"esdb://leo:hidden@host?tlsCaFile=nofil": "nofil",
		"esdb://leo:hidden@host?tls=false":       "without TLS",
	} {
		_, refused := eventstore.Connect(eventstore.Config{ConnectionString: connection})
		_, unread := eventstore.WithCredentials(connection, "") // whoever has it from there may use another client
		for _, err := range []error{refused, unread} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v, want %q", connection, err, want)
			}
		}
		if shown := eventstore.Redacted(connection); strings.Contains(shown, "hidden") || !strings.Contains(shown, "ho") && !strings.Contains(shown, "a:1") {
			t.Errorf("%s is shown as %s", connection, shown)
		}
	}
	if got := eventstore.Redacted("esdb://a:1,b:2?tls=true"); got != "esdb://a:1,b:2?tls=true" {
		t.Errorf("without credentials: %s", got)
	}
	open := file(t, "open", []byte("leo:hidden"))
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ connection, path, want string }{
		{"esdb://leo:x@host", file(t, "c", []byte("leo:hidden")), "both in the connection string and in a file"},
		{"", file(t, "c", []byte("leo:hidden")), "goes with a connection string"},
		{"esdb://host", open, "chmod 600"},
		{"esdb://host", open + "x", "no such file"},
		{"esdb://host", file(t, "c", []byte("hidden")), "not one line"},
		{"esdb://host", file(t, "c", []byte("leo:")), "not one line"},
		{"esdb://host", file(t, "c", []byte("leo:hidden\nann:hidden")), "not one line"},
	} {
		_, err := eventstore.WithCredentials(c.connection, c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s with %s: %v, want %q", c.connection, c.path, err, c.want)
		}
	}
	for _, connection := range []string{"esdb://host:2113?tls=true", "esdb+discover://host", "esdb://a:1,b:2,c:3?tls=true"} {
		with, err := eventstore.WithCredentials(connection, file(t, "c", []byte("leo:"+secret+"\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		conf, err := esdb.ParseConnectionString(with)
		if err != nil || conf.Username != "leo" || conf.Password != secret {
			t.Errorf("%s: %v", connection, err)
		}
	}
	if got, err := eventstore.WithCredentials("esdb://host", ""); got != "esdb://host" || err != nil {
		t.Errorf("without a file: %s, %v", got, err)
	}
}
