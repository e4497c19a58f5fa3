package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"permitledger/eventstore/direct"
)

const persistentService = "event_store.client.persistent_subscriptions.persistentsubscriptions"

// answerTime is how long a server may take to say what it is.
const answerTime = 10 * time.Second

// Server is a server to be checked, reached by the official client and, for
// what that cannot show, by a connection of our own.
type Server struct {
	// Version is what the server says it is.
	Version string

	client  *esdb.Client
	conn    *grpc.ClientConn
	streams streams.StreamsClient
	methods []string // "service/method", in lower case
}

// Connect reaches a server that the client's own connection string names.
func Connect(ctx context.Context, connectionString string) (*Server, error) {
	config, err := esdb.ParseConnectionString(connectionString)
	if err == nil {
		err = config.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	config.Logger = esdb.NoopLogging()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := dialLeader(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Server{conn: conn, streams: streams.NewStreamsClient(conn)}
	if err := s.ask(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if s.client, err = esdb.NewClient(config); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// ask finds out what the server is and offers.
func (s *Server) ask(ctx context.Context) error {
	offered, err := serverfeatures.NewServerFeaturesClient(s.conn).GetSupportedMethods(ctx, &shared.Empty{})
	if err != nil {
		return fmt.Errorf("the server does not say what it offers: %w", err)
	}
	s.Version = offered.GetEventStoreServerVersion()
	for _, m := range offered.GetMethods() {
		s.methods = append(s.methods, strings.ToLower(m.GetServiceName()+"/"+m.GetMethodName()))
	}
	return nil
}

// Offers tells whether the server says that it has a gRPC service.
func (s *Server) Offers(service string) bool {
	return slices.ContainsFunc(s.methods, func(m string) bool { return strings.HasPrefix(m, service+"/") })
}

// ErrMayNotDelete means that nothing written for a check could be removed again.
var ErrMayNotDelete = errors.New("this user may not delete streams")

// MayDelete asks for the right to clean up before there is anything to clean.
// It leaves the tombstone of a stream that nobody wrote to, and nothing at all
// when the right is missing: then the error is ErrMayNotDelete.
func (s *Server) MayDelete(ctx context.Context) error {
	_, err := s.client.TombstoneStream(ctx, StreamPrefix+uuid.NewString(), esdb.TombstoneStreamOptions{})
	if codeOf(err) == "denied" {
		return ErrMayNotDelete
	}
	return err
}

// Close ends both connections.
func (s *Server) Close() error {
	return errors.Join(s.client.Close(), s.conn.Close())
}

// dialLeader connects to the one node that is named, or to the leader of the
// cluster: only there is one's own write certain to be read.
func dialLeader(ctx context.Context, config *esdb.Configuration) (*grpc.ClientConn, error) {
	address, err := direct.Leader(ctx, config)
	if err != nil {
		return nil, err
	}
	return direct.Dial(config, address, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
}
