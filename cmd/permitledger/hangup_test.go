package main

import (
	"bufio"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/node"
)

// hungUp is a node with users that a test sends SIGHUP.
type hungUp struct {
	t        *testing.T
	cmd      *exec.Cmd
	lines    chan string // that it logs
	features serverfeatures.ServerFeaturesClient
}

func launchHungUp(t *testing.T, users string) *hungUp {
	t.Helper()
	h := &hungUp{t: t, lines: make(chan string, 100)}
	h.cmd = exec.Command("permitledger", "node", "--data", filepath.Join(t.TempDir(), "log"), "--listen", "127.0.0.1:0", "--users", users)
	logged, err := h.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill() }) // it has mostly ended
	go func() {
		defer close(h.lines)
		for lines := bufio.NewScanner(logged); lines.Scan(); {
			h.lines <- lines.Text()
		}
	}()
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(said), "esdb://"), "?")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h.features = serverfeatures.NewServerFeaturesClient(conn)
	return h
}

// hangUp sends SIGHUP, and waits for what the node logs of it.
func (h *hungUp) hangUp(want string) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		h.t.Fatal(err)
	}
	for line := range h.lines {
		if !strings.Contains(line, "users") {
			continue
		}
		if !strings.Contains(line, want) {
			h.t.Errorf("the node logged %q, want %q", line, want)
		}
		return
	}
	h.t.Fatalf("the node ended at SIGHUP: %v", h.cmd.Wait())
}

// call makes a call as a user.
func (h *hungUp) call(name string) codes.Code {
	h.t.Helper()
	ctx, stop := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer stop()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":the password of "+name)))
	_, err := h.features.GetSupportedMethods(ctx, &shared.Empty{})
	return status.Code(err)
}

func TestNodeReadsUsersFileAgainAtHangup(t *testing.T) {
	var text string
	for name, role := range map[string]node.Role{"ann": node.RoleAdmin, "leo": node.RoleLedger} {
		salt := []byte("of no importance")
		hash, err := pbkdf2.Key(sha256.New, "the password of "+name, salt, 10_000, sha256.Size) // as few rounds as the node takes
		if err != nil {
			t.Fatal(err)
		}
		encode := base64.RawStdEncoding.EncodeToString
		text += fmt.Sprintf("%s:pbkdf2-sha256$10000$%s$%s:%s\n", name, encode(salt), encode(hash), role)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := launchHungUp(t, users)
	calls := func(when string, leo codes.Code) {
		t.Helper()
		for name, want := range map[string]codes.Code{"ann": codes.OK, "leo": leo} {
			if got := h.call(name); got != want {
				t.Errorf("%s, a call of %s: %v, want %v", when, name, got, want)
			}
		}
	}
	calls("at first", codes.OK)
	permitledger(t, "node", "user", "leo", "--disable", "--users", users)
	h.hangUp("users file read again")
	calls("while leo is disabled", codes.Unauthenticated)
	if err := os.WriteFile(users, []byte("leo:"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.hangUp("users file cannot be read")
	calls("while the file cannot be read", codes.Unauthenticated)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.hangUp("users file read again") // the line before was logged once
	calls("when leo is back", codes.OK)
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for line := range h.lines {
		if strings.Contains(line, "users") {
			t.Errorf("the node also logged %q", line)
		}
	}
	if err := h.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// hangUp sends SIGHUP to a service.
func (r *running) hangUp() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
}

func TestServeGoesOnAfterHangup(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := begin(t, onStore(t, filepath.Join(place(t), "one"), l.Addr().String(), "--eventstore-wait", "1h")...)
	for range 3 { // it waits for its event store, and knocks again and again
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		knock, err := l.Accept()
		if err != nil {
			t.Fatalf("SIGHUP ended the start: %v\n%s", err, r.said())
		}
		r.hangUp()
		_ = knock.Close()
	}
	if code := r.terminate(); code != 0 {
		t.Errorf("while it starts, exit code %d", code)
	}

	r = launch(t, serveArgs(t, filepath.Join(place(t), "two"))...)
	for range 5 {
		r.hangUp()
		if status, answer, err := send(t.Context(), r.address, "/accounts", "open", `{"name":"Alex Example"}`); err != nil || status != http.StatusCreated {
			t.Fatalf("after SIGHUP: %d %s, %v", status, answer, err)
		}
	}
	if code := r.terminate(); code != 0 {
		t.Errorf("while it serves, exit code %d", code)
	}
}
