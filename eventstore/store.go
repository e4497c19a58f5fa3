package eventstore

import (
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says where the log is and how long to try.
type Config struct {
	// ConnectionString is EventStoreDB's own, for example
	// "esdb://127.0.0.1:2113?tls=false" or, for a cluster,
	// "esdb+discover://user:password@cluster.example:2113". What stands in it is
	// never logged, and WithCredentials takes user and password from a file.
	ConnectionString string
	// CredentialsFile is a file with one line user:password for a connection
	// string that has none. It is read again once the server refuses what it
	// held, and by Store.Reload; so are the certificates. See WithCredentials.
	CredentialsFile string
	// Socket is the path of a unix socket on which the embedded node listens.
	// It wins over the host of the connection string, which may then be empty.
	Socket string
	// Logger gets a line when the connection is lost and found again; when it is
	// first made, at the level of debugging. It never gets anything of an event.
	// Nil is silence.
	Logger *slog.Logger
	// Registerer gets the metrics of the store. Nil keeps them unregistered.
	Registerer prometheus.Registerer
	// TryTimeout is how long one attempt to append may take before its
	// outcome counts as unknown. Default 5 s, and at most Bound.
	TryTimeout time.Duration
	// Bound is how long an append whose outcome is unknown is sent again, or
	// ReadAll is taken up again without any progress, before ErrUnavailable; and
	// how long Handle decides anew after conflicts. Default 15 s.
	Bound time.Duration
	// Wait is for what nobody should wait longer for than a cluster takes to
	// change its leader: a read of one stream is taken up again for so long
	// without any progress, and while the store is away nothing new is begun
	// that much after it went away. Default 3 s, and at most Bound.
	Wait time.Duration
	// MaxBackoff is the longest pause between attempts. The first is a few
	// milliseconds. Default 1 s.
	MaxBackoff time.Duration
}

// Store is the log, over the official client. It is safe for concurrent use.
type Store struct {
	cfg     Config
	conn    *connector
	logger  *slog.Logger
	metrics *metrics
	damage  atomic.Pointer[damage] // the first that was met
	claim   atomic.Pointer[Claim]  // nil: this process has claimed nothing
	refused *refusals
	guards  []Guard // of appends to the ledger's streams
	newest  atomic.Pointer[acknowledged]
}

// Connect prepares a store. It does not wait for the server: the first call
// does, and a server that is away and comes back is found again by itself.
func Connect(cfg Config) (*Store, error) {
	if cfg.TryTimeout <= 0 {
		cfg.TryTimeout = 5 * time.Second
	}
	if cfg.Bound <= 0 {
		cfg.Bound = 15 * time.Second
	}
	if cfg.MaxBackoff <= 0 {
		cfg.MaxBackoff = time.Second
	}
	if cfg.Wait <= 0 {
		cfg.Wait = 3 * time.Second
	}
	cfg.TryTimeout, cfg.Wait = min(cfg.TryTimeout, cfg.Bound), min(cfg.Wait, cfg.Bound)
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	from, conf, err := newOrigin(cfg, logger)
	if err != nil {
		return nil, err
	}
	if conf.Username != "" && conf.DisableTLS {
		logger.Warn("the connection string has a user and tls=false: without TLS the user and the password are not sent")
	}
	s := &Store{cfg: cfg, conn: newConnector(conf, cfg.TryTimeout, logger), logger: logger}
	s.conn.origin = from
	if s.metrics, err = newMetrics(cfg.Registerer, s.Connection); err != nil {
		return nil, err
	}
	s.refused = newRefusals(s)
	return s, nil
}

// clientConfig always starts from the client's parser: a zero configuration
// of the client allows no attempt to connect at all.
func clientConfig(cfg Config) (*esdb.Configuration, error) {
	raw := cfg.ConnectionString
	if raw == "" && cfg.Socket != "" {
		raw = "esdb://localhost?tls=false"
	}
	conf, err := parseConnection(raw)
	if err != nil {
		return nil, err
	}
	if cfg.Socket != "" {
		conf.Address = SocketAddress(cfg.Socket)
		conf.GossipSeeds, conf.DnsDiscover, conf.DisableTLS = nil, false, true
	}
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("connection string: %v", err)
	}
	// Whatever is decided is decided on what the leader knows.
	conf.NodePreference = esdb.NodePreferenceLeader
	return conf, nil
}

// SocketAddress is the address of a unix socket as gRPC reads it: a URL, in which
// a path with a "#", a "?" or a "%" would mean another one.
func SocketAddress(path string) string { return (&url.URL{Scheme: "unix", Path: path}).String() }

// Close ends all reads and subscriptions, waits a moment for appends under
// way, and refuses everything afterwards. Close it before the server.
func (s *Store) Close() error {
	s.conn.close(s.cfg.TryTimeout)
	return nil
}
