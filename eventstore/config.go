package eventstore

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where the log is and how long to try.
type Config struct {
	// ConnectionString is EventStoreDB's own, for example
	// "esdb://127.0.0.1:2113?tls=false" or, for a cluster,
	// "esdb+discover://user:password@cluster.example:2113".
	ConnectionString string
	// Socket is the path of a unix socket on which the embedded node listens.
	// It wins over the host of the connection string, which may then be empty.
	Socket string
	// Logger gets a line when the connection is lost and found again. It never
	// gets anything of an event. Nil is silence.
	Logger *slog.Logger
	// Registerer gets the metrics of the store. Nil keeps them unregistered.
	Registerer prometheus.Registerer
	// TryTimeout is how long one attempt to append may take before its
	// outcome counts as unknown. Default 5 s.
	TryTimeout time.Duration
	// Bound is how long an append whose outcome is unknown is sent again, or a
	// read is taken up again without any progress, before ErrUnavailable.
	// Default 15 s.
	Bound time.Duration
	// MaxBackoff is the longest pause between attempts. The first is a few
	// milliseconds. Default 1 s.
	MaxBackoff time.Duration
}
