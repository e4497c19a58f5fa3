package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/storetest"
)

// foreignEvents writes events that are none of a ledger.
func foreignEvents(t *testing.T, s *eventstore.Store, n uint64) {
	t.Helper()
	var batch []eventstore.Recorded
	for i := range n {
		batch = append(batch, eventstore.Recorded{ID: uuid.New(), Stream: storetest.StreamPrefix + "foreign", Revision: i,
			Type: "Foreign", JSON: true, Data: []byte(`{}`)})
		if len(batch) == 500 || i == n-1 {
			if _, err := s.Verbatim().Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
}

// A ledger is moved to a server that has thousands of foreign events before it,
// as a check of the server leaves them. Its read models are whole there: none
// takes the first page of foreign events for the end of the log.
func TestReadModelsBehindForeignEvents(t *testing.T) {
	const foreign, permits, asks = 3000, 120, 1000
	dir := place(t)
	data := filepath.Join(dir, "data")
	launch(t, "demo", "--data", data, "--listen", "127.0.0.1:0", "--permits", fmt.Sprint(permits), "--log-level", "error").terminate()
	target := launchNode(t, filepath.Join(dir, "target"))
	foreignEvents(t, store(t, target.connection), foreign)
	out, said, code := typed(t, "node", "copy", "--data", data, "--to", target.connection, "--log-level", "error", "--json")
	moved := reported(t, out)
	if code != 0 || moved.LastLedgerNumber == 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, said)
	}
	for _, part := range []string{"log", "projections"} {
		if err := os.RemoveAll(filepath.Join(data, part)); err != nil {
			t.Fatal(err)
		}
	}

	serve := append(realClock(serveArgs(t, data)), "--eventstore", target.connection)
	for asked := 0; asked < asks && !t.Failed(); {
		if err := os.RemoveAll(filepath.Join(data, "projections")); err != nil {
			t.Fatal(err)
		}
		r := launch(t, serve...)
		for status := 0; status != http.StatusOK; asked++ {
			status = fetch(t, r, "/readyz", nil)
			if status == http.StatusOK {
				atHead(t, r, moved.LastLedgerNumber)
			}
		}
		r.terminate()
	}

	on := []string{"--data", data, "--eventstore", target.connection, "--log-level", "error"}
	for _, command := range []string{"verify", "rebuild", "verify"} {
		_, said, code := typed(t, append([]string{"projections", command}, on...)...)
		if code != 0 || strings.Contains(said, " 0 events") {
			t.Errorf("%s: exit code %d\n%s", command, code, said)
		}
	}
	out, _, _ = typed(t, append([]string{"projections", "list", "--json"}, on...)...)
	var list struct{ Items []struct{ Ledger uint64 } }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range list.Items {
		if m.Ledger < moved.LastLedgerNumber {
			t.Errorf("a rebuilt model ends at %d of %d", m.Ledger, moved.LastLedgerNumber)
		}
	}
}

// realClock leaves the simulated clock out.
func realClock(args []string) (real []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == "--demo-clock" {
			i++
			continue
		}
		real = append(real, args[i])
	}
	return real
}

// fetch reads one page line by line and gives its status.
func fetch(t *testing.T, r *running, path string, line func(string)) int {
	t.Helper()
	res, err := http.Get("http://" + r.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if line != nil {
			line(lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// atHead fails unless every read model has come to a ledger number.
func atHead(t *testing.T, r *running, head uint64) {
	t.Helper()
	models := 0
	fetch(t, r, "/metrics", func(line string) {
		labels, ours := strings.CutPrefix(line, "permitledger_projection_ledger_number{")
		if !ours {
			return
		}
		models++
		model, value, _ := strings.Cut(labels, "} ")
		if number, err := strconv.ParseFloat(value, 64); err != nil || uint64(number) < head {
			t.Errorf("/readyz is 200, and %s is at ledger number %s of %d (%v)", model, value, head, err)
		}
	})
	if models == 0 {
		t.Error("no read model shows its ledger number")
	}
}
