package bare

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"permitledger/eventstore"
)

// What an append may expect of its stream besides a revision.
const (
	NoStream int64 = -1 // that it is not there
	Any      int64 = -2 // nothing
)

// Client is the official client as it is: what it loses is not found again,
// what it does not know it panics over, and nothing is retried. It is safe for
// concurrent use.
type Client struct {
	client *esdb.Client
	raw    *grpc.ClientConn // for what the official client cannot say
}

// Message is one message of the answer to a read.
type Message struct {
	decoded *streams.ReadResp
	encoded message
}

// Connect prepares a client for a connection string or, where that is empty,
// for a socket.
func Connect(connectionString, socket string) (*Client, error) {
	if connectionString == "" {
		connectionString = "esdb://localhost?tls=false"
	}
	conf, err := esdb.ParseConnectionString(connectionString)
	if err != nil {
		return nil, fmt.Errorf("connection string: %v", err)
	}
	if socket != "" {
		conf.Address = "unix://" + socket
	}
	conf.Logger = esdb.NoopLogging()
	raw, err := dial(conf)
	if err != nil {
		return nil, err
	}
	client, err := esdb.NewClient(conf)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &Client{client, raw}, nil
}

// dial opens a connection of gRPC's own to the first address that the
// configuration names.
func dial(conf *esdb.Configuration) (*grpc.ClientConn, error) {
	address := conf.Address
	if address == "" && len(conf.GossipSeeds) > 0 {
		address = conf.GossipSeeds[0].String()
	}
	options := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage))}
	if conf.DisableTLS {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			InsecureSkipVerify: conf.SkipCertificateVerification, RootCAs: conf.RootCAs})))
	}
	if conf.Username != "" {
		options = append(options, grpc.WithPerRPCCredentials(basic{conf.Username, conf.Password}))
	}
	return grpc.NewClient(address, options...)
}

// Close closes the connections. Nothing may be under way.
func (c *Client) Close() error { return errors.Join(c.client.Close(), c.raw.Close()) }

// Append writes a batch, expecting a revision, NoStream or Any.
func (c *Client) Append(ctx context.Context, stream string, expected int64, batch ...eventstore.Proposed) (eventstore.Position, error) {
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}
	switch {
	case expected == NoStream:
		options.ExpectedRevision = esdb.NoStream{}
	case expected >= 0:
		options.ExpectedRevision = esdb.Revision(uint64(expected))
	}
	events := make([]esdb.EventData, len(batch))
	for i, p := range batch {
		events[i] = esdb.EventData{EventID: p.ID, EventType: p.Type, ContentType: esdb.ContentTypeJson, Data: p.Data, Metadata: p.Metadata}
	}
	result, err := c.client.AppendToStream(ctx, stream, options, events...)
	if err != nil {
		return 0, err
	}
	return eventstore.Position(result.CommitPosition), nil
}

// ReadStream drains a stream and counts its events. One that is not there has
// none.
func (c *Client) ReadStream(ctx context.Context, stream string) (int, error) {
	rs, err := c.client.ReadStream(ctx, stream, esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	n := 0
	err = drain(rs, func(*esdb.RecordedEvent) { n++ })
	if e, ok := errors.AsType[*esdb.Error](err); ok && e.Code() == esdb.ErrorCodeResourceNotFound {
		return 0, nil
	}
	return n, err
}

// ReadAll drains $all and hands on every event.
func (c *Client) ReadAll(ctx context.Context, each func(eventstore.Recorded)) error {
	rs, err := c.client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxInt64)
	if err != nil {
		return err
	}
	return drain(rs, func(e *esdb.RecordedEvent) {
		each(eventstore.Recorded{ID: e.EventID, Stream: e.StreamID, Revision: e.EventNumber,
			Position: eventstore.Position(e.Position.Commit), Type: e.EventType, Data: e.Data, Metadata: e.UserMetadata})
	})
}

func drain(rs *esdb.ReadStream, each func(*esdb.RecordedEvent)) error {
	defer rs.Close()
	for {
		e, err := rs.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Event != nil {
			each(e.Event)
		}
	}
}

// errDropped ends a subscription for which the client gave no reason.
var errDropped = errors.New("the subscription was dropped")

// CatchUp follows the ledger's streams from after a position to the end of the
// log, as the store does, and counts their events.
func (c *Client) CatchUp(ctx context.Context, after eventstore.Position) (int, error) {
	n := 0
	err := c.Follow(ctx, after, func(uuid.UUID) { n++ }, func() bool { return false })
	return n, err
}

// Follow follows the ledger's streams from after a position, as the store does,
// and tells the id of each event. It ends when it has caught up and is told not
// to go on.
func (c *Client) Follow(ctx context.Context, after eventstore.Position, event func(id uuid.UUID), caughtUp func() bool) error {
	var from esdb.AllPosition = esdb.Start{} // 0 is no event's position
	if after > 0 {
		from = esdb.Position{Commit: uint64(after), Prepare: uint64(after)}
	}
	sub, err := c.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
		From:            from,
		MaxSearchWindow: 512, CheckpointInterval: 1,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: eventstore.LedgerPrefixes()},
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }()
	for {
		switch got := sub.Recv(); {
		case got.SubscriptionDropped != nil:
			return errors.Join(errDropped, got.SubscriptionDropped.Error)
		case got.EventAppeared != nil:
			event(got.EventAppeared.OriginalEvent().EventID)
		case got.CaughtUp != nil:
			if !caughtUp() {
				return nil
			}
		}
	}
}

// Drain reads $all from a position on over bare gRPC, decodes every message
// and counts them.
func (c *Client) Drain(ctx context.Context, from eventstore.Position) (int, error) {
	n := 0
	err := c.receive(ctx, from, func(*streams.ReadResp) error {
		n++
		return nil
	})
	return n, err
}

// Capture is Drain that keeps the messages as they came.
func (c *Client) Capture(ctx context.Context, from eventstore.Position) ([]Message, error) {
	var all []Message
	err := c.receive(ctx, from, func(m *streams.ReadResp) error {
		encoded, err := proto.Marshal(m)
		all = append(all, Message{m, encoded})
		return err
	})
	return all, err
}

func (c *Client) receive(ctx context.Context, from eventstore.Position, each func(*streams.ReadResp) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := streams.NewStreamsClient(c.raw).Read(ctx, readAll(uint64(from)))
	if err != nil {
		return err
	}
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

// Delete hides a stream, which has to be there.
func (c *Client) Delete(ctx context.Context, stream string) error {
	_, err := c.client.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	return err
}

// basic is a name and password as EventStoreDB takes them.
type basic struct{ user, password string }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b.user+":"+b.password))}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: whether
// the line is safe is the connection string's to say.
func (basic) RequireTransportSecurity() bool { return false }
