package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// A user who may write and not read $all leaves nothing behind.
func TestServeBeforeSetupWritesNothing(t *testing.T) {
	dir := place(t)
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lent := httptest.NewTLSServer(nil) // for its certificate
	lent.Close()
	pair := lent.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	var users []byte
	for name, role := range map[string]node.Role{"admin": node.RoleAdmin, "ledger": node.RoleLedger} {
		line, err := node.UserLine(name, role, "a long password")
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, line+"\n"...)
	}
	n, err := node.Open(t.Context(), node.Options{Dir: filepath.Join(dir, "node"), Listen: "127.0.0.1:0", CertFile: cert,
		KeyFile: file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), UsersFile: file("users", users)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	connection := n.ConnectionString() + "&tlsCaFile=" + url.QueryEscape(cert)
	user, admin := file("user", []byte("ledger:a long password\n")), file("admin", []byte("admin:a long password\n"))
	args := realClock(serveArgs(t, filepath.Join(dir, "data"), "--eventstore", connection, "--eventstore-credentials-file", user))
	contains(t, refused(t, args...), "the event store does not let this user do that", "permitledger setup")

	whole, err := eventstore.WithCredentials(connection, admin)
	if err != nil {
		t.Fatal(err)
	}
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: whole})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{ledger.VaultStream, eventstore.ServiceStream} {
		for r, err := range store.Read(t.Context(), stream, 0) {
			t.Errorf("%s has %s (%v)", stream, r.Type, err)
		}
	}
	permitledger(t, "setup", "--eventstore", connection, "--eventstore-credentials-file", admin, "--user", "ledger")
	launch(t, args...).terminate()
}

// config check names the service that holds the store, and node copy is refused
// by it.
func TestHeldStoreIsNamed(t *testing.T) {
	t.Setenv(claimScaleVariable, "0.2")
	dir := place(t)
	address, _ := nodeProcess(t, filepath.Join(dir, "log"))
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	check := func(data string) string {
		return permitledger(t, "config", "check", "--data", data, "--listen", "127.0.0.1:0", "--eventstore", "esdb://"+address+"?tls=false")
	}
	contains(t, check(two), "no service has claimed it")
	r := launch(t, onStore(t, one, address)...)
	began := time.Now()
	contains(t, check(one), "claimed by process ")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("config check took %s", took)
	}
	launch(t, serveArgs(t, filepath.Join(dir, "source"))...).terminate()
	contains(t, refused(t, "node", "copy", "--data", filepath.Join(dir, "source"), "--to", "esdb://"+address+"?tls=false"),
		eventstore.ErrClaimed.Error(), "Stop that one")
	if code := r.terminate(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, r.said())
	}
	contains(t, check(one), "no service has claimed it")
}

// A start on a server whose claim stream was tombstoned names that stream.
func TestTombstonedClaimIsNamed(t *testing.T) {
	dir := place(t)
	address, _ := nodeProcess(t, filepath.Join(dir, "log"))
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: "esdb://" + address + "?tls=false"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Verbatim().Tombstone(t.Context(), eventstore.ServiceStream); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, onStore(t, filepath.Join(dir, "one"), address)...), "was deleted for good (tombstoned)", "node copy")
}
