package node

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

const (
	suiteSwitch = "PERMITLEDGER_CLIENT_SUITE"
	suiteModule = "github.com/EventStore/EventStore-Client-Go/v4"
)

// suiteContainers takes the place of the file with which the client's suite
// starts its servers.
//
//go:embed testdata/containers_test.go.txt
var suiteContainers []byte

// suiteWithout are the tests that are not run: a node has no projections, and
// client certificates are a commercial plug-in.
const suiteWithout = "^(TestProjections|TestPlugins)$"

// suiteFails are the other tests of the suite that cannot pass here, and why.
var suiteFails = map[string]string{
	"TestStreams/ReadStreamTests/readStreamEventsForwardsFromZeroPosition":         "wants the events of a fixture database",
	"TestStreams/ReadStreamTests/readStreamEventsBackwardsFromEndPosition":         "wants the events of a fixture database",
	"TestStreams/SubscriptionTests/allSubscriptionWithFilterDeliversCorrectEvents": "wants the byte positions of a fixture database",
	"TestExpectations/ReadAllTests/readAllEventsForwardsFromZeroPosition(":         "wants the byte positions of a fixture database",
	"TestExpectations/ReadAllTests/readAllEventsForwardsFromNonZeroPosition":       "wants the byte positions of a fixture database",
	"TestExpectations/ReadAllTests/readAllEventsBackwardsFromZeroPosition":         "wants the byte positions of a fixture database",
	"TestExpectations/ReadAllTests/readAllEventsBackwardsFromNonZeroPosition":      "wants the byte positions of a fixture database",
	"TestExpectations/ReadAllTests/readAllEventsWithCredentialsOverride":           "reads from a position at which no event begins",
}

// TestClientSuite runs the official client's own tests against a node, in
// clear as anybody and over TLS as the user that they have.
func TestClientSuite(t *testing.T) {
	if os.Getenv(suiteSwitch) != "1" {
		t.Skipf("SKIPPED: the official client's own suite; set %s=1 to run it (it downloads the suite's dependencies)", suiteSwitch)
	}
	t.Parallel()
	t.Run("in clear", func(t *testing.T) {
		t.Parallel()
		n := openNode(t, Options{Dir: t.TempDir()})
		checkSuite(t, n, connect(t, n), copySuite(t), "EVENTSTORE_INSECURE=true")
	})
	t.Run("over TLS", func(t *testing.T) {
		t.Parallel()
		users := writeUsersWith(t, map[string]Role{"admin": RoleAdmin}, func(string) string { return "changeit" })
		s := openSecured(t, Options{Dir: t.TempDir(), UsersFile: users})
		work := copySuite(t)
		// Where the suite looks for the server's own certificate, and for that
		// of an authority that did not sign it.
		for name, file := range map[string]string{"node/node.crt": s.ca.file, "untrusted-ca/ca.crt": newAuthority(t).file} {
			pem, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(work, "certs", filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, pem, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		checkSuite(t, s.Node, s.client(t, "esdb", "admin", "changeit", s.ca.file), work, "EVENTSTORE_INSECURE=false")
	})
}

// checkSuite runs the suite, and knows what must come of each of its tests.
func checkSuite(t *testing.T, n *Node, c *esdb.Client, work, mode string) {
	t.Helper()
	for i := range 60 {
		mustAppendAt(t, c, "dataset20M-0", revisionBefore(i*100), numbered("e", i*100, 100)...)
	}
	out := runSuite(t, work, "NODE_ENDPOINT="+n.Addr(), mode)
	passed, failed := suiteResults(t, out)
	for _, name := range failed {
		if suiteFails[name] == "" {
			t.Errorf("%s failed", name)
		}
	}
	for _, name := range passed {
		if suiteFails[name] != "" {
			t.Errorf("%s passed, although it %s", name, suiteFails[name])
		}
	}
	if len(passed) < 80 {
		t.Errorf("only %d tests passed:\n%s", len(passed), out)
	}
	t.Logf("%d passed; %d failed as they must:", len(passed), len(failed))
	for _, name := range failed {
		t.Logf("  %s: %s", name, suiteFails[name])
	}
	if t.Failed() {
		t.Logf("output of the suite:\n%s", out)
	}
}

func revisionBefore(next int) esdb.ExpectedRevision {
	if next == 0 {
		return esdb.NoStream{}
	}
	return esdb.Revision(uint64(next - 1))
}

// copySuite copies the client's module aside, for its tests to run there.
func copySuite(t *testing.T) (dir string) {
	t.Helper()
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", suiteModule).Output()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(strings.TrimSpace(string(module)))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "esdb", "containers_test.go"), suiteContainers, 0o644); err != nil {
		t.Fatal(err)
	}
	return work
}

func runSuite(t *testing.T, work string, env ...string) []byte {
	t.Helper()
	suite := exec.Command("go", "test", "-mod=mod", "-count=1", "-timeout=100s", "-json", "-skip", suiteWithout, "./esdb")
	suite.Dir = work
	suite.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	suite.Stderr = os.Stderr
	out, err := suite.Output() // it fails wherever one test does
	if len(out) == 0 {
		t.Fatalf("the suite did not run: %v", err)
	}
	return out
}

// suiteResults lists the leaf tests that passed and that failed.
func suiteResults(t *testing.T, out []byte) (passed, failed []string) {
	t.Helper()
	results := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Test != "" && slices.Contains([]string{"pass", "fail", "skip"}, e.Action) {
			results[e.Test] = e.Action
		}
	}
	for name, action := range results {
		leaf := true
		for other := range results {
			leaf = leaf && !strings.HasPrefix(other, name+"/")
		}
		switch {
		case leaf && action == "pass":
			passed = append(passed, name)
		case leaf && action == "fail":
			failed = append(failed, name)
		case leaf:
			fmt.Fprintln(t.Output(), "skipped by the suite itself:", name)
		}
	}
	slices.Sort(passed)
	slices.Sort(failed)
	return passed, failed
}

// TestIdleConnection waits with nothing to do but the client's pings, one every
// ten seconds: by default a gRPC server ends a connection after three of them.
func TestIdleConnection(t *testing.T) {
	if os.Getenv(suiteSwitch) != "1" {
		t.Skipf("SKIPPED: it takes 35 s; set %s=1 to run it", suiteSwitch)
	}
	t.Parallel()
	c := connect(t, openNode(t, Options{}))
	sub, err := c.SubscribeToStream(t.Context(), "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	received := make(chan *esdb.SubscriptionEvent)
	go func() {
		for range 2 { // caught up, and the event
			received <- sub.Recv()
		}
	}()
	if e := <-received; e.CaughtUp == nil {
		t.Fatalf("received %+v first", e)
	}
	select {
	case e := <-received:
		t.Fatalf("received %+v while nothing happened", e)
	case <-time.After(35 * time.Second):
	}
	mustAppend(t, c, "s", "a")
	if e := <-received; e.EventAppeared == nil {
		t.Errorf("received %+v", e)
	}
}
