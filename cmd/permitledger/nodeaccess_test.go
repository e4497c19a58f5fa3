package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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
}
