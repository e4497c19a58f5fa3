package eventstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// start runs a node in memory.
func start(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(context.Background(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// connect opens a store that is patient enough for a busy machine.
func connect(t *testing.T, address string, change ...func(*eventstore.Config)) *eventstore.Store {
	t.Helper()
	cfg := eventstore.Config{
		ConnectionString: "esdb://" + address + "?tls=false&discoveryInterval=10",
		Bound:            30 * time.Second,
		Wait:             30 * time.Second,
		MaxBackoff:       50 * time.Millisecond,
		Logger:           slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := eventstore.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fresh is a node and a store on it.
func fresh(t *testing.T) (*node.Node, *eventstore.Store) {
	t.Helper()
	n := start(t)
	return n, connect(t, n.Addr())
}

// foreign is the official client itself, for what the store does not do.
func foreign(t *testing.T, n *node.Node) *esdb.Client {
	t.Helper()
	return client(t, n.ConnectionString())
}

func client(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t *testing.T, c *esdb.Client, stream string) {
	t.Helper()
	_, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
		esdb.EventData{EventType: "Foreign", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
}

// proposed is a batch of n events.
func proposed(n int) []eventstore.Proposed {
	batch := make([]eventstore.Proposed, n)
	for i := range batch {
		id := uuid.New()
		data, _ := json.Marshal(map[string]string{"n": fmt.Sprint(i), "of": id.String()})
		batch[i] = eventstore.Proposed{ID: id, Type: "Test", Data: data, Metadata: []byte(`{"m":1}`)}
	}
	return batch
}

func appendOne(t *testing.T, s *eventstore.Store, stream string, expected eventstore.Expected) eventstore.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), stream, expected, proposed(1))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

type sequence = func(func(eventstore.Recorded, error) bool)

func collect(t *testing.T, events sequence) []eventstore.Recorded {
	t.Helper()
	var all []eventstore.Recorded
	for r, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func ids(events []eventstore.Recorded) []uuid.UUID {
	out := make([]uuid.UUID, len(events))
	for i, e := range events {
		out[i] = e.ID
	}
	return out
}

// outcomes reads how many appends were counted by outcome.
func outcomes(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "permitledger_appends_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return counts
}
