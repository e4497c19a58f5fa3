package storetest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
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
	seeds := make([]string, 0, len(config.GossipSeeds))
	for _, seed := range config.GossipSeeds {
		seeds = append(seeds, net.JoinHostPort(seed.Host, strconv.Itoa(int(seed.Port))))
	}
	if len(seeds) == 0 {
		if !config.DnsDiscover {
			return dial(config, config.Address)
		}
		seeds = append(seeds, config.Address)
	}
	var failures []error
	for _, seed := range seeds {
		leader, err := askLeader(ctx, config, seed)
		if err == nil {
			return dial(config, leader)
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func askLeader(ctx context.Context, config *esdb.Configuration, seed string) (string, error) {
	conn, err := dial(config, seed)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTime/2)
	defer cancel()
	info, err := gossip.NewGossipClient(conn).Read(ctx, &shared.Empty{})
	if err != nil {
		return "", fmt.Errorf("ask %s for the members of the cluster: %w", seed, err)
	}
	for _, m := range info.GetMembers() {
		if m.GetIsAlive() && m.GetState() == gossip.MemberInfo_Leader {
			return net.JoinHostPort(m.GetHttpEndPoint().GetAddress(), strconv.Itoa(int(m.GetHttpEndPoint().GetPort()))), nil
		}
	}
	return "", fmt.Errorf("%s knows of no leader", seed)
}

func dial(config *esdb.Configuration, address string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20))}
	if config.DisableTLS {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		secure := &tls.Config{InsecureSkipVerify: config.SkipCertificateVerification, RootCAs: config.RootCAs}
		if config.UserCertFile != "" {
			pair, err := tls.LoadX509KeyPair(config.UserCertFile, config.UserKeyFile)
			if err != nil {
				return nil, err
			}
			secure.Certificates = append(secure.Certificates, pair)
		}
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
		if config.Username != "" {
			options = append(options, grpc.WithPerRPCCredentials(password{config.Username, config.Password}))
		}
	}
	return grpc.NewClient(address, options...)
}

// password sends basic authentication, as the official client does.
type password struct{ name, word string }

// GetRequestMetadata is asked for each call.
func (p password) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(p.name+":"+p.word))}, nil
}

// RequireTransportSecurity keeps the password off an open wire.
func (p password) RequireTransportSecurity() bool { return true }
