package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"permitledger/eventstore/faultproxy"
)

// nodeProcess runs the node in a process of its own, until the end of the test
// or the kill, and gives its address.
func nodeProcess(t *testing.T, data string) (address string, kill func()) {
	t.Helper()
	cmd := exec.Command("permitledger", "node", "--listen", "127.0.0.1:0", "--data", data, "--log-level", "error")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the node did not start: %v", err)
	}
	address, _, _ = strings.Cut(strings.TrimPrefix(said, "esdb://"), "?")
	return address, kill
}

// onStore is the command line of a service with an event store of its own.
func onStore(t *testing.T, data, address string, more ...string) []string {
	t.Helper()
	args := []string{"--eventstore", "esdb://" + address + "?tls=false&discoveryInterval=10", "--log-level", "info"}
	var without []string // a shared log has one time
	for _, arg := range serveArgs(t, data) {
		if arg != "--demo-clock" && arg != "2026-03-02T09:00:00Z" {
			without = append(without, arg)
		}
	}
	return append(append(without, args...), more...)
}

// asked sends a read as the resident, and gives its status, headers and body.
func asked(t *testing.T, address, path string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alex")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

// A service that is started before its event store waits for it, for as long as
// it says, and can be stopped meanwhile.
func TestServeWaitsForItsEventStore(t *testing.T) {
	dir := place(t)
	address, _ := nodeProcess(t, filepath.Join(dir, "log"))
	proxy := faultproxy.New(t, address)
	proxy.Refuse()
	contains(t, refused(t, onStore(t, filepath.Join(dir, "one"), proxy.Addr(), "--eventstore-wait", "200ms")...),
		"waiting for the event store", "waited 200ms for esdb://"+proxy.Addr(), "the event store is not available", "See that the event store runs")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := begin(t, onStore(t, filepath.Join(dir, "one"), l.Addr().String(), "--eventstore-wait", "1h")...)
	knock, err := l.Accept() // it is waiting now, and hears nothing
	if err != nil {
		t.Fatal(err)
	}
	defer knock.Close()
	if code := r.terminate(); code != 0 {
		t.Errorf("told to stop, it ends with exit code %d", code)
	}

	r = begin(t, onStore(t, filepath.Join(dir, "one"), proxy.Addr(), "--eventstore-wait", "1h")...)
	proxy.Up()
	select {
	case <-r.serves:
	case <-r.silent:
		t.Fatalf("it did not wait:\n%s", r.said())
	}
}

// The store goes away, and even its process is another one when it comes back.
func TestAnOutageFromOutside(t *testing.T) {
	dir := place(t)
	log := filepath.Join(dir, "log")
	address, kill := nodeProcess(t, log)
	proxy := faultproxy.New(t, address)
	r := launch(t, onStore(t, filepath.Join(dir, "data"), proxy.Addr())...)
	status, opened, err := send(t.Context(), r.address, "/accounts", "open", `{"name":"Alex Example"}`)
	if err != nil || status != http.StatusCreated {
		t.Fatal(status, opened, err)
	}
	_, account, _ := strings.Cut(opened, `"accountId":"`)
	account, _, _ = strings.Cut(account, `"`)
	change := func() (int, string) {
		status, answer, err := send(t.Context(), r.address, "/accounts/"+account+"/change-details", "change", `{"phone":"01632 960001"}`)
		if err != nil {
			t.Fatal(err)
		}
		return status, answer
	}
	_, _, before := asked(t, r.address, "/api/v1/accounts/"+account)

	proxy.Down()
	kill()
	if status, answer := change(); status != http.StatusServiceUnavailable {
		t.Errorf("a command is answered %d %s", status, answer)
	}
	status, header, during := asked(t, r.address, "/api/v1/accounts/"+account)
	if status != http.StatusOK || during != before || header.Get("Ledger-As-Of") == "" {
		t.Errorf("a read is answered %d %s, before it was %s", status, during, before)
	}
	if _, _, ready := asked(t, r.address, "/readyz"); !strings.Contains(ready, `"degraded"`) || !strings.Contains(ready, "the event store is away since ") {
		t.Errorf("/readyz: %s", ready)
	}

	again, _ := nodeProcess(t, log)
	proxy.Retarget(again)
	proxy.Up()
	var first string
	for status := http.StatusServiceUnavailable; status != http.StatusOK; {
		if status, first = change(); status != http.StatusOK && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			t.Fatal(status, first)
		}
	}
	if _, second := change(); second != first || !strings.Contains(first, `"revision":1`) {
		t.Errorf("the same command is answered %s, first it was %s", second, first)
	}
	if _, _, ready := asked(t, r.address, "/readyz"); !strings.Contains(ready, `"ok"`) {
		t.Errorf("/readyz: %s", ready)
	}
	if n := strings.Count(r.said(), "event store connection lost"); n != 1 || strings.Contains(r.said(), "level=ERROR") {
		t.Errorf("one outage is told %d times:\n%s", n, r.said())
	}
}
