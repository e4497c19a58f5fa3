// Package api is the HTTP interface of the ledger: JSON in and out under
// /api/v1, described in docs/openapi.yaml.
//
// It holds no rule and keeps nothing. A request is taken apart in the one
// order that the interface promises (who, whether they may, how large and of
// which type, whether it can be read), handed to the desk as a call, and the
// desk's answer is shown as the caller may see it. What the ledger refuses is
// an error of the domain; problem.go says which status each becomes.
//
// Begin reading at routes.go, the table of everything that can be asked, and
// then at server.serve in pipeline.go, through which every request goes.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/domain"
	"permitledger/domain/property"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/access"
	"permitledger/projections/accounts"
	"permitledger/projections/audit"
	"permitledger/projections/reviews"
	"permitledger/projections/search"
)

// Config is what the interface works with.
type Config struct {
	// Desk takes the commands and folds what is read from streams. Needed.
	Desk *desk.Desk
	// Runner has the read models accounts, reviews, search, access and audit, which the lists,
	// Min-Position and /readyz are answered from. Needed.
	Runner *projections.Runner
	// Tokens says who may call, and in which role.
	Tokens Tokens
	// Demo moves the simulated clock. Nil without one: its routes are then 404.
	Demo Demo
	// Limits bound how fast one caller may send commands. The zero Limits are
	// off, as they should be on loopback with a simulated clock.
	Limits Limits
	// Because lists what does not work beside the read models, such as an event
	// store that is away, for /readyz. It holds no personal data. Nil lists nothing.
	Because func() []string
	// Whole knows whether the log has all that was seen of it. Nil: it has.
	Whole *known.Watch
	// Registry gets the metrics of HTTP and is shown at /metrics. Nil is a
	// registry of its own.
	Registry *prometheus.Registry
	// Logger gets a line for each request: route, status, duration and role,
	// never a path, a query, a body or a name. Nil is silence.
	Logger *slog.Logger
}

// Demo is what can be done with a simulated clock. Both are commands like all
// others: the same call again changes nothing and gives the same answer. They
// return when what they brought about is in the log.
type Demo interface {
	// MoveClock puts the clock forward: to an instant when one is given, else
	// by a duration, which is not negative. Where the clock would not go
	// forward it is refused with RuleClock. It answers with the clock's time,
	// and with the position of the last event that was due on the way.
	MoveClock(ctx context.Context, call desk.Call, to *time.Time, advance time.Duration) (now time.Time, pos eventstore.Position, err error)
	// Instruct tells the simulated payment provider what to do with the next
	// requests for money of an account.
	Instruct(ctx context.Context, call desk.Call, account domain.AccountID, next []string) (eventstore.Position, error)
}

// server is the interface over one desk. It is safe for concurrent use.
type server struct {
	Config
	accounts accounts.Reader
	reviews  reviews.Reader
	people   search.Reader
	looks    access.Reader
	audit    audit.Reader
	metrics  *metrics
	limiter  *limiter
	rebuilds rebuilds
}

// New makes the handler of the whole interface.
func New(cfg Config) http.Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	owner := func(subject string) string { return desk.OwnerKey(cfg.Desk.Pepper, subject) }
	s := &server{
		Config:   cfg,
		accounts: accounts.NewReader(cfg.Runner.Projection(accounts.Name), owner),
		reviews:  reviews.NewReader(cfg.Runner.Projection(reviews.Name)),
		people:   search.NewReader(cfg.Runner.Projection(search.Name)),
		looks:    access.NewReader(cfg.Runner.Projection(access.Name)),
		audit:    audit.NewReader(cfg.Runner.Projection(audit.Name)),
		metrics:  newMetrics(cfg.Registry),
		limiter:  newLimiter(cfg.Limits),
	}
	return s.router()
}

// How long a request may take. A command's is what the rules for the places of
// a property take it to be.
const (
	commandTime = property.RequestLife
	readTime    = 30 * time.Second
)

// NewServer makes an HTTP server for a handler, with time limits: a slow or
// silent client holds no connection for long.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute, // a document over a slow line
		WriteTimeout:      commandTime + 3*time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
