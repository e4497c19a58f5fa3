// Package direct connects to an event store without the official client, for
// calls that the client does not have: BatchAppend, and the malformed requests
// of a check. It reads the client's own configuration, so that a connection
// string means the same to both.
//
// A connection is gRPC's own. It is not watched and not replaced: its user
// closes it after a failure and asks for the leader again.
package direct

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Leader returns the address of the one host that the configuration names, or
// else of the member that leads as the gossip of a seed says.
func Leader(ctx context.Context, conf *esdb.Configuration) (string, error) {
	seeds := make([]string, 0, len(conf.GossipSeeds))
	for _, seed := range conf.GossipSeeds {
		seeds = append(seeds, net.JoinHostPort(seed.Host, strconv.Itoa(int(seed.Port))))
	}
	if len(seeds) == 0 {
		if !conf.DnsDiscover {
			return conf.Address, nil
		}
		seeds = append(seeds, conf.Address)
	}
	var failures []error
	for _, seed := range seeds {
		leader, err := askLeader(ctx, conf, seed)
		if err == nil {
			return leader, nil
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

func askLeader(ctx context.Context, conf *esdb.Configuration, seed string) (string, error) {
	conn, err := Dial(conf, seed)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(conf.GossipTimeout)*time.Second)
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

// Dial prepares a connection to an address with the TLS, the CA file, the user
// certificate and the credentials of the configuration. Like the client it
// sends no password without TLS.
func Dial(conf *esdb.Configuration, address string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	if conf.DisableTLS {
		return grpc.NewClient(address, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	}
	secure := &tls.Config{InsecureSkipVerify: conf.SkipCertificateVerification, RootCAs: conf.RootCAs}
	if conf.UserCertFile != "" {
		pair, err := tls.LoadX509KeyPair(conf.UserCertFile, conf.UserKeyFile)
		if err != nil {
			return nil, fmt.Errorf("user certificate: %w", err)
		}
		secure.Certificates = append(secure.Certificates, pair)
	}
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if conf.Username != "" {
		options = append(options, grpc.WithPerRPCCredentials(basic{conf.Username, conf.Password}))
	}
	return grpc.NewClient(address, options...)
}

// basic sends basic authentication, as the official client does.
type basic struct{ name, password string }

// GetRequestMetadata is asked for each call.
func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b.name+":"+b.password))}, nil
}

// RequireTransportSecurity keeps the password off an open wire.
func (basic) RequireTransportSecurity() bool { return true }
