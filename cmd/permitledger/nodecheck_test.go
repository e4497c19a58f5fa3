package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/eventstore/node"
)

func openNode(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// leftovers lists the streams of the cases that were not removed.
func leftovers(t *testing.T, n *node.Node) (left []string) {
	t.Helper()
	config, err := esdb.ParseConnectionString(n.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	read, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{}, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	gone := map[string]bool{}
	for {
		e, err := read.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := e.Event.StreamID; strings.HasPrefix(s, "storetest-") {
			gone[s] = e.Event.EventType == "$streamDeleted"
		}
	}
	if len(gone) == 0 {
		t.Error("nothing was written")
	}
	for s, is := range gone {
		if !is {
			left = append(left, s)
		}
	}
	return left
}

// The embedded node keeps the rules, and afterwards nothing of the cases is
// left on it.
func TestNodeCheck(t *testing.T) {
	n := openNode(t)
	contains(t, permitledger(t, "node", "check", "--eventstore", n.ConnectionString(), "--only", "^[24]"),
		"ok           2.1   expectations that hold", "4.13", "0 do not")
	if left := leftovers(t, n); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	var said struct {
		OK    bool
		Cases []struct{ Number, Rule, Outcome string }
	}
	out := permitledger(t, "node", "check", "--eventstore", n.ConnectionString(), "--only", "a batch", "--json")
	if err := json.Unmarshal([]byte(out), &said); err != nil || !said.OK || len(said.Cases) != 1 || said.Cases[0].Outcome != "ok" {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
	contains(t, refused(t, "node", "check", "--eventstore", n.ConnectionString(), "--only", "no such rule"), "fits no rule")
	contains(t, refused(t, "node", "check", "--eventstore", "nonsense"), "connection string")
	if said := refused(t, "node", "check", "--eventstore", "esdb://leo:hidden%zz@127.0.0.1:1"); !strings.Contains(said, "percent-encode") || strings.Contains(said, "hidden") {
		t.Errorf("a password that cannot be read: %s", said)
	}
	contains(t, refused(t, "node", "check", "--eventstore", "esdb://127.0.0.1:1?tls=false"), "See that the event store runs")
}

// Interrupted, it stops soon and still removes what it wrote.
func TestNodeCheckInterrupted(t *testing.T) {
	n := openNode(t)
	cmd := exec.CommandContext(t.Context(), "permitledger", "node", "check", "--parallel", "2", "--eventstore", n.ConnectionString())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ok           2.3") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	contains(t, stderr.String(), "stopped before it was done")
	if left := leftovers(t, n); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
