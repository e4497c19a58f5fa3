package node

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/metadata"
)

// serverVersion is the EventStoreDB whose behaviour is followed. Clients
// compare it, and read only numbers between its dots.
const serverVersion = "24.10.0"

// featureService serves event_store.client.server_features.ServerFeatures.
type featureService struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

// GetSupportedMethods names what clients may use. BatchAppend is left out,
// though it is served, so that those who prefer it use Append.
func (featureService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	method := func(service, name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: service, MethodName: name, Features: features}
	}
	const (
		groupsName   = "event_store.client.persistent_subscriptions.persistentsubscriptions"
		streamsName  = "event_store.client.streams.streams"
		gossipName   = "event_store.client.gossip.gossip"
		featuresName = "event_store.client.server_features.serverfeatures"
	)
	methods := []*serverfeatures.SupportedMethod{
		method(streamsName, "read", "position", "events"),
		method(streamsName, "append"),
		method(streamsName, "delete"),
		method(streamsName, "tombstone"),
		method(groupsName, "restartsubsystem"),
		method(gossipName, "read"),
		method(featuresName, "getsupportedmethods"),
	}
	for _, name := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list"} {
		methods = append(methods, method(groupsName, name, "stream", "all"))
	}
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: serverVersion, Methods: methods}, nil
}

// gossipService serves event_store.client.gossip.Gossip: a cluster of one.
type gossipService struct {
	gossip.UnimplementedGossipServer
	*Node
}

// Read names this node as the leader.
func (s gossipService) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port := s.reachable()
	// Whoever got here knows an address that reaches the node from there, under
	// a name that the certificate has.
	if dialled := metadata.ValueFromIncomingContext(ctx, ":authority"); s.Addr() != "" && len(dialled) == 1 {
		if h, p, err := net.SplitHostPort(dialled[0]); err == nil {
			host, port = h, p
		}
	}
	number, _ := strconv.ParseUint(port, 10, 16)
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   idToWire(s.instance, false),
		TimeStamp:    ticks(time.Now()),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)},
	}}}, nil
}

// reachable is a host and port under which a client on this machine finds the
// node; the client's default where it only listens on a socket. With TLS it is
// a name that the certificate has, if there is one.
func (n *Node) reachable() (host, port string) {
	host, port, err := net.SplitHostPort(n.Addr())
	if err != nil {
		return "localhost", "2113"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if n.leaf != nil && n.leaf.VerifyHostname(host) != nil && len(n.leaf.DNSNames) > 0 {
		host = n.leaf.DNSNames[0]
	}
	return host, port
}
