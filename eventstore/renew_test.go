package eventstore_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"permitledger/eventstore"
)

func TestRenewMakesANewSessionWithoutALogLine(t *testing.T) {
	n := start(t)
	var log bytes.Buffer
	s := connect(t, n.Addr(), func(c *eventstore.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.Renew() // before the first session: nothing to replace
	done := appendOne(t, s, "permit-1", eventstore.NoStream())
	first, renewed := s.Session()
	if first != 1 {
		t.Fatalf("session %d before the renewal", first)
	}
	s.Renew()
	<-renewed
	if second, _ := s.Session(); second != 2 {
		t.Errorf("session %d after the renewal", second)
	}
	appendOne(t, s, "permit-1", eventstore.At(done.Revision))
	if strings.Contains(log.String(), "event store") {
		t.Errorf("the renewal was logged:\n%s", log.String())
	}
}
