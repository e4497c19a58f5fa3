package node

import (
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// A node that strangers could reach and write to, or send passwords to in
// clear, does not open.
func TestExposedNodesAreRefused(t *testing.T) {
	cert, key := newAuthority(t).issue(t, nil)
	users := writeUsers(t, map[string]Role{"ann": RoleAdmin})
	for _, c := range []struct {
		name string
		o    Options
		want error // nil: it opens
	}{
		{"nothing on loopback", Options{Listen: "127.0.0.1:0"}, nil},
		{"nothing on a loopback name", Options{Listen: "localhost:0"}, nil},
		{"nothing on another loopback", Options{Listen: "127.9.9.9:0"}, nil},
		{"users without TLS on loopback", Options{Listen: "127.0.0.1:0", UsersFile: users}, nil},
		{"TLS without users on loopback", Options{Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key}, nil},
		{"nothing everywhere", Options{Listen: "0.0.0.0:0"}, ErrExposed},
		{"nothing everywhere, in short", Options{Listen: ":0"}, ErrExposed},
		{"nothing on IPv6", Options{Listen: "[::]:0"}, ErrExposed},
		{"TLS without users everywhere", Options{Listen: "0.0.0.0:0", CertFile: cert, KeyFile: key}, ErrExposed},
		{"users without TLS everywhere", Options{Listen: "0.0.0.0:0", UsersFile: users}, ErrPasswordsInClear},
		{"both everywhere", Options{Listen: "0.0.0.0:0", UsersFile: users, CertFile: cert, KeyFile: key}, nil},
		{"asked for in so many words", Options{Listen: "0.0.0.0:0", AnyoneMayWrite: true}, nil},
	} {
		if err := c.o.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: Check gives %v, want %v", c.name, err, c.want)
		}
		n, err := Open(t.Context(), c.o)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if n != nil {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is wrong with the files is said with the file and what to do.
func TestCertificateFaults(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, nil)
	other, otherKey := ca.issue(t, nil)
	expired, expiredKey := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early, earlyKey := ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	nameless, namelessKey := ca.issue(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
	open := writeFile(t, "open.key", "")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	rubbish := writeFile(t, "rubbish.pem", "rubbish")
	for _, c := range []struct {
		cert, key string
		wants     []string
	}{
		{cert, "", []string{"go together"}},
		{"", key, []string{"go together"}},
		{cert + "x", key, []string{cert + "x", "no such file"}},
		{cert, key + "x", []string{key + "x", "no such file"}},
		{cert, otherKey, []string{cert, otherKey, "do not make a pair"}},
		{other, key, []string{other, key, "do not make a pair"}},
		{rubbish, key, []string{rubbish, "PEM"}},
		{cert, rubbish, []string{rubbish, "PEM"}},
		{cert, open, []string{"chmod 600 " + open}},
		{expired, expiredKey, []string{expired, "expired on", "get a new one"}},
		{early, earlyKey, []string{early, "valid only from", "clock"}},
		{nameless, namelessKey, []string{nameless, "subject alternative name"}},
	} {
		_, err := Open(t.Context(), Options{Listen: "127.0.0.1:0", CertFile: c.cert, KeyFile: c.key})
		if err == nil {
			t.Errorf("%s and %s are taken", c.cert, c.key)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	_, err := Open(t.Context(), Options{UsersFile: writeUsers(t, map[string]Role{"ann": RoleAdmin}), AnyoneMayWrite: true})
	if err == nil || !strings.Contains(err.Error(), "contradict") {
		t.Errorf("users and anyone: %v", err)
	}
}
