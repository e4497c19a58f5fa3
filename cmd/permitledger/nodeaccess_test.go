package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/eventstore"
)

// An operator who follows operating.md has a node with TLS and users, which
// the ledger's client reaches.
func TestTheGuideToSecuringANode(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("THE GUIDE TO SECURING A NODE IS NOT TESTED HERE: it needs openssl, which this machine does not have")
	}
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(guide), "## A node that other machines reach")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, 2)
	dir := place(t)
	script := "set -e\n" + strings.Replace(blocks[0][1], "store.example.org", "localhost", 1) + blocks[1][1]
	script = strings.Replace(script, "permitledger node --listen 0.0.0.0:2113", "exec permitledger node --listen 0.0.0.0:0", 1)
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the node did not start: %v\n%s", err, stderr.String())
	}
	address, ok := strings.CutPrefix(strings.TrimSpace(said), "esdb://")
	if !ok || !strings.HasPrefix(address, "localhost:") || !strings.Contains(address, "tls=true") {
		t.Fatalf("the node says that it is reached by %q", said)
	}
	for user, want := range map[string]string{"admin": "", "ledger": "may not read stream \"$all\""} {
		password, err := os.ReadFile(filepath.Join(dir, user+".password"))
		if err != nil {
			t.Fatal(err)
		}
		head := func(password string) error {
			s, err := eventstore.Connect(eventstore.Config{ConnectionString: fmt.Sprintf("esdb://%s:%s@%s&tlsCaFile=%s", user, password, address, filepath.Join(dir, "ca.pem"))})
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
	serveOn(t, dir, "esdb://"+address+"&tlsCaFile="+filepath.Join(dir, "ca.pem"))
}

// serveOn runs the service as the user ledger, first without and then with the
// right that the guide names.
func serveOn(t *testing.T, dir, connection string) {
	t.Helper()
	for _, user := range []string{"admin", "ledger"} {
		password, err := os.ReadFile(filepath.Join(dir, user+".password"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, user+".credentials"), []byte(user+":"+string(password)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-level", "error", "--eventstore", connection, "--eventstore-credentials-file", filepath.Join(dir, "ledger.credentials")}
	contains(t, refused(t, args...), "does not let this user do that", "($r)", "An admin")

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
	r := launch(t, args...)
	response, err := http.Get("http://" + r.address + "/api/v1/tariff")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the tariff is answered with %s", response.Status)
	}
}
