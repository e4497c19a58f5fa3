package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"permitledger/eventstore/node"
	"permitledger/eventstore/storetest"
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
		"ok           2.1   expectations that hold", "4.13", " and 0 do not.", " 0 differ,")
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

// A rule that could not be checked counts where the ledger needs it, and not
// where only other programs do.
func TestNodeCheckCountsForbiddenRulesOfTheLedgerOnly(t *testing.T) {
	dir := place(t)
	connection := securedNode(t, dir)
	check := []string{"node", "check", "--eventstore", connection, "--eventstore-credentials-file", filepath.Join(dir, "ledger.credentials"), "--only", "^(6.2|8.1) "}
	said, failed, code := typed(t, check...)
	if code != 1 {
		t.Errorf("a user who may not read $all: exit code %d", code)
	}
	contains(t, said, "FORBIDDEN    6.2 ", "FORBIDDEN    8.1 ", "Of 1 rules that the ledger needs 0 hold and 0 do not.", "and 1 are forbidden to this user")
	contains(t, failed, "1 rules could not be checked", "check as an admin")
	letRead(t, dir, connection)
	said, failed, code = typed(t, check...)
	if code != 0 {
		t.Errorf("a user who may not make groups: exit code %d, %s", code, failed)
	}
	contains(t, said, "ok           6.2 ", "FORBIDDEN    8.1 ")
	var document struct{ OK bool }
	said, _, _ = typed(t, append(check, "--json")...)
	if err := json.Unmarshal([]byte(said), &document); err != nil || !document.OK {
		t.Errorf("as JSON: %v\n%s", err, said)
	}
}

// Of rules that do not hold only those that the ledger needs forbid the server.
func TestNodeCheckForbidsAServerOnlyForRulesOfTheLedger(t *testing.T) {
	needed := storetest.Case{Number: "1.1", Name: "one", Rule: "The ledger needs it."}
	others := storetest.Case{Number: "1.2", Name: "two", Rule: "Others need it.", OtherPrograms: "The ledger makes no such call."}
	for _, tc := range []struct {
		what    string
		results []storetest.Result
		ok      bool
		says    string
	}{
		{"all hold", []storetest.Result{{Case: needed}, {Case: others}}, true, ""},
		{"one of others differs", []storetest.Result{{Case: needed}, {Case: others, Outcome: storetest.Differs}}, true, ""},
		{"one of others is forbidden", []storetest.Result{{Case: needed}, {Case: others, Outcome: storetest.Forbidden}}, true, ""},
		{"one of others is not offered", []storetest.Result{{Case: others, Outcome: storetest.NotOffered}}, true, ""},
		{"one of the ledger fails", []storetest.Result{{Case: needed, Outcome: storetest.Failed}, {Case: others}}, false, "do not put a ledger on this server"},
		{"one of the ledger fails, one is forbidden", []storetest.Result{{Case: needed, Outcome: storetest.Failed}, {Case: needed, Outcome: storetest.Forbidden}}, false, "do not put a ledger on this server"},
		{"one of the ledger is forbidden", []storetest.Result{{Case: needed, Outcome: storetest.Forbidden}}, false, "check as an admin"},
		{"one of others was interrupted", []storetest.Result{{Case: needed}, {Case: others, Outcome: storetest.Interrupted}}, false, "1 rules were not checked"},
		{"something is left", []storetest.Result{{Case: others, Outcome: storetest.Differs, Left: []string{"s"}}}, true, "not everything written could be removed again"},
	} {
		var sum checkSum
		for _, r := range tc.results {
			sum.add(r)
		}
		said := ""
		if err := sum.err(); err != nil {
			said = err.Error()
		}
		if sum.held() != tc.ok || (said == "") != (tc.says == "") || !strings.Contains(said, tc.says) {
			t.Errorf("%s: ok is %t, the error %q", tc.what, sum.held(), said)
		}
	}
	var line strings.Builder
	tell(&line, storetest.Result{Case: others, Outcome: storetest.Differs, Because: []string{"seen something else"}})
	contains(t, line.String(), "DIFFERS      1.2   two", "rule: Others need it.", "seen something else", "Only other programs need this rule. The ledger makes no such call.")
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
