package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// patience bounds whatever a test waits for; nothing should ever take it.
const patience = 30 * time.Second

// openNode runs a node until the test ends, in memory unless o says otherwise.
func openNode(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Listen == "" && o.Socket == "" {
		o.Listen = "127.0.0.1:0"
	}
	n, err := Open(t.Context(), o)
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

// connect gives the official client for a node.
func connect(t testing.TB, n *Node) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(n.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	if n.Addr() == "" {
		config.Address = "unix://" + n.Socket()
	}
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// stub gives the generated client, for requests that the official one cannot
// express.
func stub(t testing.TB, n *Node) streams.StreamsClient {
	t.Helper()
	return streams.NewStreamsClient(dial(t, n))
}

func dial(t testing.TB, n *Node) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// named makes JSON events whose ids follow from their names, so that the same
// name twice is the same event.
func named(names ...string) []esdb.EventData {
	events := make([]esdb.EventData, len(names))
	for i, name := range names {
		events[i] = esdb.EventData{
			EventID:     uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)),
			EventType:   "type-" + name,
			ContentType: esdb.ContentTypeJson,
			Data:        []byte(strconv.Quote(name)),
			Metadata:    []byte(`{"m":1}`),
		}
	}
	return events
}

// numbered names n events from start on.
func numbered(prefix string, start, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, start+i)
	}
	return names
}

func nameOf(e *esdb.RecordedEvent) string {
	if e == nil {
		return "-"
	}
	if name, err := strconv.Unquote(string(e.Data)); err == nil {
		return name
	}
	return e.EventType
}

// mustAppend writes events whatever the stream's revision is.
func mustAppend(t testing.TB, c *esdb.Client, stream string, names ...string) *esdb.WriteResult {
	t.Helper()
	return mustAppendAt(t, c, stream, esdb.Any{}, names...)
}

func mustAppendAt(t testing.TB, c *esdb.Client, stream string, want esdb.ExpectedRevision, names ...string) *esdb.WriteResult {
	t.Helper()
	result, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: want}, named(names...)...)
	if err != nil {
		t.Fatalf("append %v to %q at %v: %v", names, stream, want, err)
	}
	return result
}

func setMetadata(t testing.TB, c *esdb.Client, stream, json string) {
	t.Helper()
	_, err := c.AppendToStream(timeout(t), "$$"+stream, esdb.AppendToStreamOptions{}, esdb.EventData{
		EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(json),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readNames reads a stream and gives its events' names as one line.
func readNames(t testing.TB, c *esdb.Client, stream string, o esdb.ReadStreamOptions, count uint64) string {
	t.Helper()
	events, err := readStream(t, c, stream, o, count)
	if err != nil {
		return codeOf(err)
	}
	return join(events)
}

func readStream(t testing.TB, c *esdb.Client, stream string, o esdb.ReadStreamOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	t.Helper()
	r, err := c.ReadStream(timeout(t), stream, o, count)
	if err != nil {
		return nil, err
	}
	return collect(r)
}

func readAll(t testing.TB, c *esdb.Client, o esdb.ReadAllOptions, count uint64) []*esdb.ResolvedEvent {
	t.Helper()
	r, err := c.ReadAll(timeout(t), o, count)
	if err != nil {
		t.Fatal(err)
	}
	events, err := collect(r)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func collect(r *esdb.ReadStream) ([]*esdb.ResolvedEvent, error) {
	defer r.Close()
	var events []*esdb.ResolvedEvent
	for {
		e, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

func join(events []*esdb.ResolvedEvent) string {
	var names []string
	for _, e := range events {
		name := nameOf(e.Event)
		if e.Link != nil {
			name = nameOf(e.Link) + ">" + name
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// codeOf names the client's error code, as the tables of expectations do.
func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	var e *esdb.Error
	if !errors.As(err, &e) {
		if strings.Contains(err.Error(), "is deleted.") {
			return "deleted" // subscriptions hand the server's status on as it is
		}
		return "error: " + err.Error()
	}
	switch e.Code() {
	case esdb.ErrorCodeWrongExpectedVersion:
		return "wrong"
	case esdb.ErrorCodeStreamDeleted:
		return "deleted"
	case esdb.ErrorCodeResourceNotFound:
		return "not found"
	case esdb.ErrorCodeAccessDenied:
		return "denied"
	case esdb.ErrorCodeUnsupportedFeature:
		return "unsupported"
	case esdb.ErrorCodeConnectionClosed:
		return "closed"
	}
	return fmt.Sprintf("code %d", e.Code())
}
