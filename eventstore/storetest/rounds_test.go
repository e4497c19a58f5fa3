package storetest_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/storetest"
)

// The embedded node keeps every rule in each of many rounds on one node, also
// where every frame of the connection is 50 ms on its way. One after the other
// they take minutes, so they run only where PERMITLEDGER_CHECKS says how many.
func TestEmbeddedNodeKeepsRulesInEveryRound(t *testing.T) {
	text := os.Getenv("PERMITLEDGER_CHECKS")
	if text == "" {
		t.Skip("NOT RUN: set PERMITLEDGER_CHECKS=20 to check the node so many times, at once and with a delay")
	}
	rounds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what     string
		delay    time.Duration
		parallel int
	}{{"at once", 0, 4}, {"with a delay", 50 * time.Millisecond, 16}} {
		t.Run(tc.what, func(t *testing.T) {
			proxy := faultproxy.New(t, openNode(t).Addr())
			proxy.Latency(tc.delay)
			s := connect(t, "esdb://"+proxy.Addr()+"?tls=false")
			for round := range rounds {
				began := time.Now()
				for r := range storetest.Run(t.Context(), s, storetest.Options{Parallel: tc.parallel}, storetest.Cases()...) {
					if r.Outcome != storetest.Passed || len(r.Left) > 0 {
						t.Errorf("round %d: %s %s: %s: %s", round+1, r.Number, r.Name, r.Outcome, strings.Join(append(r.Because, r.Left...), "\n"))
					}
				}
				t.Logf("round %d of %d took %s", round+1, rounds, time.Since(began).Round(time.Millisecond))
			}
		})
	}
}
