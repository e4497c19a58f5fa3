package eventstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"permitledger/eventstore"
)

// recordedAt is a batch of one event with an envelope that says when.
func recordedAt(id uuid.UUID, at time.Time) []eventstore.Proposed {
	meta, _ := json.Marshal(map[string]any{"schema": 1, "actor": map[string]string{"id": "x", "role": "system"}, "recordedAt": at, "commandId": "c"})
	return []eventstore.Proposed{{ID: id, Type: "Test", Data: []byte(`{}`), Metadata: meta}}
}

func locate(t *testing.T, s *eventstore.Store, p eventstore.Place, want eventstore.Whereabouts) {
	t.Helper()
	if got, _, err := s.Locate(t.Context(), p); err != nil || got != want {
		t.Errorf("%+v is %d, %v; want %d", p, got, err, want)
	}
}

func TestLocateDistinguishesMovedLogFromRewrittenLog(t *testing.T) {
	n, s := fresh(t)
	if _, ok := s.Newest(); ok {
		t.Error("a store without appends has a newest one")
	}
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	id := uuid.New()
	appendOne(t, s, "permit-1", eventstore.NoStream())
	if _, err := s.Append(t.Context(), "permit-2", eventstore.NoStream(), recordedAt(id, noon)); err != nil {
		t.Fatal(err)
	}
	write(t, foreign(t, n), "elsewhere")
	seen, ok := s.Newest()
	if !ok || seen.ID != id.String() || seen.Stream != "permit-2" || !seen.Clock.Equal(noon) {
		t.Fatalf("the newest append is %+v", seen)
	}
	seen.Ledger = 2
	locate(t, s, seen, eventstore.InPlace)
	moved := seen
	moved.Position += 1000
	locate(t, s, moved, eventstore.Moved)
	moved.Ledger = 3
	locate(t, s, moved, eventstore.Rewritten)
	earlier := seen
	earlier.Clock = noon.Add(-time.Second)
	locate(t, s, earlier, eventstore.Rewritten)
	other := seen
	other.ID = uuid.NewString()
	locate(t, s, other, eventstore.Missing)
	other = seen
	other.Stream = "permit-9"
	locate(t, s, other, eventstore.Missing)
	other.Position += 1000
	locate(t, s, other, eventstore.Missing)
}

func TestLocateLooksInTheWholeLogWhereTheStreamIsDeleted(t *testing.T) {
	n, s := fresh(t)
	appendOne(t, s, "permit-1", eventstore.NoStream())
	appendOne(t, s, "permit-2", eventstore.NoStream())
	seen, _ := s.Newest()
	seen.Ledger = 2
	c := foreign(t, n)
	if _, err := c.DeleteStream(t.Context(), "permit-2", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	locate(t, s, seen, eventstore.InPlace)
	if _, err := c.TombstoneStream(t.Context(), "permit-2", esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	locate(t, s, seen, eventstore.InPlace)
	seen.Position++
	locate(t, s, seen, eventstore.Missing)
}

func TestSubscribeOnEndsWithItsSession(t *testing.T) {
	s := connect(t, start(t).Addr(), func(c *eventstore.Config) { c.TryTimeout = 500 * time.Millisecond })
	appendOne(t, s, "permit-1", eventstore.NoStream())
	on, _ := s.Session()
	caughtUp, ended := make(chan struct{}, 1), make(chan error)
	go func() {
		ended <- s.SubscribeOn(t.Context(), on, 0, funcs{caughtUp: func() error { caughtUp <- struct{}{}; return nil }})
	}()
	<-caughtUp
	s.Renew()
	if err := <-ended; !errors.Is(err, eventstore.ErrReplaced) {
		t.Errorf("the subscription ended with %v", err)
	}
}

func TestAppendTriesAgainWhenAGuardsSessionWasReplaced(t *testing.T) {
	_, s := fresh(t)
	var asked []eventstore.SessionID
	s.AddGuard(func(_ context.Context, on eventstore.SessionID) error {
		asked = append(asked, on)
		if on == 1 {
			s.Renew()
			return eventstore.ErrReplaced
		}
		return nil
	})
	appendOne(t, s, "permit-1", eventstore.NoStream())
	if len(asked) != 2 || asked[1] != 2 {
		t.Errorf("the guard was asked on %v", asked)
	}
}
