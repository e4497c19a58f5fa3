package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permitledger/cmd/permitledger/internal/bench"
	"permitledger/eventstore/node"
)

// Every measure gives figures, and the table and the JSON have the same ones.
// How good they are is not asked: this is no place to measure.
func TestBenchMeasuresEverything(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"bench", "--json", "--rounds", "1", "--permits", "20", "--appends", "500", "--duration", "100ms"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr.String())
	}
	var report bench.Report
	strict := json.NewDecoder(&stdout)
	strict.DisallowUnknownFields()
	if err := strict.Decode(&report); err != nil {
		t.Fatal(err)
	}
	if report.Version != release || report.Permits != 20 || report.Events < 100 || report.CPUs < 1 || len(report.LeftOut) != 0 {
		t.Errorf("the report says of itself %+v", report)
	}
	var table bytes.Buffer
	if err := report.Print(&table); err != nil {
		t.Fatal(err)
	}
	measured := map[string]bool{}
	for _, r := range report.Results {
		measured[r.Measure] = true
		positive(t, r)
		if !strings.Contains(table.String(), "\n"+strings.TrimSpace(r.Measure+" "+r.Variant)+" ") {
			t.Errorf("the table has no line for %s %s", r.Measure, r.Variant)
		}
	}
	for _, name := range bench.Names() {
		if !measured[name] {
			t.Errorf("%s was not measured", name)
		}
		if !strings.Contains(stderr.String(), name) {
			t.Errorf("no progress of %s was shown", name)
		}
	}
}

// positive holds every figure of a result that it must have above zero.
func positive(t *testing.T, r bench.Result) {
	t.Helper()
	var figures []float64
	switch {
	case r.Measure == "replay-memory":
		figures = []float64{r.BytesPerPermit}
	case r.Measure == "append-memory":
		figures = []float64{r.BytesAfterTenth, r.BytesAfterAll}
	case len(r.ReferenceByRound) == 0:
		t.Errorf("%s has no reference", r.Measure)
	default:
		figures = []float64{r.OursPerSecond, r.ReferencePerSecond, r.Ratio, r.OursByRound[0], r.ReferenceByRound[0]}
	}
	for _, latency := range []*float64{r.ReferenceP99, r.ReferenceP50} {
		// Of live an event may be seen before its writer hears of it.
		if latency != nil && r.Measure != "live" {
			figures = append(figures, *latency)
		}
	}
	if slices.ContainsFunc(figures, func(v float64) bool { return v <= 0 }) {
		t.Errorf("a figure is not positive: %+v", r)
	}
}

// A server that asks for TLS and a user is measured like another, and the
// password stands in a file.
func TestBenchOfAServerWithUsers(t *testing.T) {
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
	certFile := file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	var users []byte
	for name, role := range map[string]node.Role{"admin": node.RoleAdmin, "ledger": node.RoleLedger} {
		line, err := node.UserLine(name, role, "a: long password")
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, line+"\n"...)
	}
	n, err := node.Open(t.Context(), node.Options{Dir: filepath.Join(dir, "node"), Listen: "127.0.0.1:0", CertFile: certFile,
		KeyFile: file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), UsersFile: file("users", users)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	args := []string{"bench", "--rounds", "1", "--duration", "50ms", "--eventstore", n.ConnectionString() + "&tlsCaFile=" + certFile}
	contains(t, permitledger(t, append(args, "--eventstore-credentials-file", file("credentials", []byte("admin:a: long password\n")))...),
		"append 128 writers", "read-all messages", "catch-up", "live 1000/s", "handle 16 writers", "left out: append-memory")
	contains(t, refused(t, append(args, "--eventstore-credentials-file", file("ledger", []byte("ledger:a: long password\n")))...), "may not read stream \"$all\"")
	contains(t, refused(t, append(args, "--eventstore-credentials-file", file("mistaken", []byte("admin:mistaken\n")))...), "does not take this user name and password")
}

func TestBenchAsItIsTyped(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--only", "read-all", "--rounds", "1", "--duration", "10ms"}, 0, "read-all"},
		{[]string{"--only", "speed"}, 1, "account-view"},
		{[]string{"--rounds", "0"}, 2, "above zero"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"bench"}, tc.args...), &stdout, &stderr)
		said := stdout.String()
		if tc.code != 0 {
			said = stderr.String()
		}
		if code != tc.code || !strings.Contains(said, tc.says) {
			t.Errorf("bench %v: exit code %d:\n%s", tc.args, code, said)
		}
	}
	var help bytes.Buffer
	run([]string{"bench", "--help"}, &help, &help)
	for _, name := range bench.Names() {
		if !strings.Contains(help.String(), name) {
			t.Errorf("--help does not name %s", name)
		}
	}
}
