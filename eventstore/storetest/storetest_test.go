package storetest_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"permitledger/eventstore/node"
	"permitledger/eventstore/storetest"
)

// openNode runs an embedded node in memory until the test ends.
func openNode(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close the node: %v", err)
		}
	})
	return n
}

func connect(t *testing.T, connectionString string) *storetest.Server {
	t.Helper()
	s, err := storetest.Connect(t.Context(), connectionString)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// checkAll runs every case as a test of its own.
func checkAll(t *testing.T, s *storetest.Server) {
	for _, c := range storetest.Cases() {
		t.Run(c.Number+" "+strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			r := c.Run(t.Context(), s, storetest.Options{Timeout: time.Minute, Patience: 20 * time.Second})
			for _, left := range r.Left {
				t.Errorf("not removed: %s", left)
			}
			switch r.Outcome {
			case storetest.Passed:
			case storetest.NotOffered:
				t.Skipf("NOT OFFERED by this server: %s", c.Rule)
			default:
				t.Errorf("%s\n%s: %s", c.Rule, r.Outcome, strings.Join(r.Because, "\n"))
			}
		})
	}
}

// The embedded node keeps every rule.
func TestEmbeddedNode(t *testing.T) {
	checkAll(t, connect(t, openNode(t).ConnectionString()))
}

// The same on any other server.
func TestServer(t *testing.T) {
	address := os.Getenv("PERMITLEDGER_TEST_ESDB")
	if address == "" {
		t.Skip("NOT RUN: set PERMITLEDGER_TEST_ESDB=esdb://… to hold another server to the same rules")
	}
	checkAll(t, connect(t, address))
}
