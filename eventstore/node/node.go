// Package node is an event store that runs inside the program and speaks the
// gRPC protocol of EventStoreDB, so that the official client works with it as
// with a real cluster: in a demonstration, in a test, in a small installation.
//
// It is one node and never a cluster, has users and access lists only where it
// is given a file of users, runs no projections, and never removes an event
// from its log: what is deleted or truncated is hidden, as it is on a real
// server before it is scavenged. It knows nothing of what its streams are for.
//
// Begin reading here, then sequencer.go for how something is written,
// commitcheck.go for when it is not, read.go and subscribe.go for how it is
// read, persistent.go for the subscriptions that the node keeps track of,
// tls.go and authorize.go for who may, and key.go, record.go and engine.go for
// how it lies on disk.
package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // for clients that compress
	"google.golang.org/grpc/keepalive"
)

const (
	// firstPosition lies above 0, which clients take for "before any event".
	firstPosition = 64

	// maxMessage is the original server's bound on one message.
	maxMessage = 16<<20 - 10000

	// closeWait is how long Close lets requests finish.
	closeWait = 4 * time.Second

	// handshakeWait is how long a new connection may take to speak gRPC.
	handshakeWait = 10 * time.Second

	// maxStreams is how many calls a TCP connection may have under way. The
	// next ones wait in the client.
	maxStreams = 100
)

// Options says where a node keeps its log and how it is reached.
type Options struct {
	// Dir is the folder of the store. Empty means in memory: for tests.
	Dir string
	// Listen is a TCP address such as "127.0.0.1:2113", or with port 0 for any
	// free one. Empty means no TCP. An address that other machines reach needs
	// a certificate and users.
	Listen string
	// CertFile and KeyFile are PEM files: the certificate that TCP is served
	// with, followed by those between it and its authority, and its key. Empty
	// means no TLS.
	CertFile, KeyFile string
	// UsersFile says who may do what, in lines as UserLine makes them. Empty
	// means that whoever connects may read and write everything. By the socket
	// one may do so in any case. ReloadUsers reads it again.
	UsersFile string
	// AnyoneMayWrite lets Listen be an address that other machines reach
	// without a certificate and users.
	AnyoneMayWrite bool
	// Socket is the path of a unix socket, which only the user that runs the
	// node can connect to. Empty means none.
	Socket string
	// Protect names the streams whose events may never be deleted or
	// truncated. Nil means none.
	Protect func(stream string) bool
	// Logger is told what an operator should know. Nil discards it.
	Logger *slog.Logger
	// Registerer is where the node's metrics go. Nil means nowhere.
	Registerer prometheus.Registerer
	// Now is the clock that stamps events and ages them. Nil means the
	// system's.
	Now func() time.Time
	// FS is the file system under Dir. Nil means the operating system's.
	FS vfs.FS

	// Tests hold the time of persistent subscriptions in their hands: how long
	// a consumer has had an event is not a matter of Now, which may be a
	// simulated clock.
	wall  func() time.Time
	beats <-chan time.Time
}

// Node is a running event store.
type Node struct {
	engine    *engine
	tail      *tail
	sequencer *sequencer
	groups    *groupSet
	metrics   *metrics
	log       *slog.Logger
	now       func() time.Time
	instance  uuid.UUID

	servers   []*grpc.Server // one for each listener
	listeners []*connections
	serving   sync.WaitGroup
	addr      string
	socket    string
	leaf      *x509.Certificate // that TCP is served with; nil for no TLS
	usersFile string
	callers   *authenticator // nil for no users

	closing   chan struct{} // closed when Close begins; ends subscriptions
	closeOnce sync.Once
	closeErr  error
}

// Open opens the store and serves it. It waits a little for another process
// that still holds the store, as one just killed does. When it returns the
// node is listening.
func Open(ctx context.Context, o Options) (*Node, error) {
	o.setDefaults()
	s, err := o.secure()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register the node's metrics: %w", err)
	}
	e, err := openEngine(ctx, o.Dir, o.FS, o.Logger)
	if err != nil {
		return nil, err
	}
	n := &Node{
		engine: e, metrics: m, log: o.Logger, now: o.Now,
		instance: uuid.New(), closing: make(chan struct{}),
	}
	if err := n.start(o, s); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.Default
		if o.Dir == "" {
			o.FS = vfs.NewMem()
		}
	}
	if o.Dir == "" {
		o.Dir = "store"
	}
}

// start finds the end of the log, begins to write after it, and serves.
func (n *Node) start(o Options, s security) error {
	if err := n.startSequencer(o.Protect); err != nil {
		return err
	}
	if s.certificate != nil {
		n.leaf = s.certificate.Leaf
	}
	n.usersFile = o.UsersFile
	if s.users != nil {
		n.callers = newAuthenticator(s.users, n.now)
	}
	n.startGroups(o)
	if err := n.listen(o.Listen, o.Socket); err != nil {
		return err
	}
	options := append(append(s.options(n), keepAlive()...),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ForceServerCodecV2(newFrameCodec()),
		grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(handshakeWait),
	)
	for _, l := range n.listeners {
		n.serve(l, options)
	}
	return nil
}

// serve serves one listener.
func (n *Node) serve(l *connections, options []grpc.ServerOption) {
	if l.places != nil { // by TCP; the socket carries all that the service itself reads
		options = append(options[:len(options):len(options)], grpc.MaxConcurrentStreams(maxStreams))
	}
	server := grpc.NewServer(options...)
	streams.RegisterStreamsServer(server, streamService{Node: n})
	persistent.RegisterPersistentSubscriptionsServer(server, persistentService{Node: n})
	serverfeatures.RegisterServerFeaturesServer(server, featureService{})
	gossip.RegisterGossipServer(server, gossipService{Node: n})
	n.servers = append(n.servers, server)
	n.serving.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.log.Error("stopped listening", "address", l.Addr().String(), "error", err)
		}
	})
}

// keepAlive accepts the pings of clients, also while they are idle. This client
// pings every ten seconds, others as often as once a second. A ping a little
// earlier than that is accepted too.
func keepAlive() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
	}
}

func (n *Node) startSequencer(protect func(string) bool) error {
	view, err := n.engine.read(everything)
	if err != nil {
		return err
	}
	end, clock, err := view.tail()
	n.nameBeyond(view)
	view.close()
	if err != nil {
		return err
	}
	n.tail = newTail(end)
	n.sequencer = &sequencer{
		engine: n.engine, tail: n.tail, logger: n.log, metrics: n.metrics,
		now: n.now, protect: protect,
		queue: make(chan *write, maxGroupWrites),
		stop:  make(chan struct{}), ended: make(chan struct{}),
		next: end, clock: clock,
		recent: newRecentIDs(recentBudget),
	}
	go n.sequencer.run()
	return nil
}

// Checkpoint copies the store as it is at this moment into a new folder, while
// it goes on. A node can be opened on the copy. Files are shared by hard links
// where the file system has them.
func (n *Node) Checkpoint(dir string) error {
	if err := n.engine.checkpoint(dir); err != nil {
		return fmt.Errorf("copy the event store to %s: %w", dir, err)
	}
	return nil
}

// Close ends subscriptions, lets other requests finish for a few seconds,
// breaks off the rest and closes the store. It may be called twice.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

// breakOff ends what would not end by itself. Closing the connections comes
// first: the server waits for a peer that is silent in its handshake.
func (n *Node) breakOff() {
	broken := 0
	for _, l := range n.listeners {
		broken += l.breakOff()
	}
	if broken > 0 {
		n.log.Warn("connections were broken off: their peers did not end them in time", "connections", broken, "after", closeWait)
	}
	for _, server := range n.servers {
		server.Stop()
	}
}

func (n *Node) close() error {
	close(n.closing)
	if n.groups != nil {
		n.groups.shutdown()
	}
	hard := time.AfterFunc(closeWait, n.breakOff)
	var stopping sync.WaitGroup
	for _, server := range n.servers {
		stopping.Go(server.GracefulStop)
	}
	stopping.Wait()
	hard.Stop()
	for _, l := range n.listeners {
		_ = l.Close() // most are closed by the server already
	}
	n.serving.Wait()
	if n.sequencer != nil {
		n.sequencer.shutdown()
	}
	return n.engine.close()
}
