package eventstore

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes by which appends are counted.
const (
	outcomeDone     = "done"
	outcomeConflict = "conflict"
	outcomeResent   = "unknown-resent" // counted once for each time it is sent again
	outcomeFailed   = "failed"
)

type metrics struct {
	appends *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{appends: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "permitledger",
		Name:      "appends_total",
		Help:      "Appends to the event store by outcome.",
	}, []string{"outcome"})}
	for _, o := range []string{outcomeDone, outcomeConflict, outcomeResent, outcomeFailed} {
		m.appends.WithLabelValues(o)
	}
	if reg != nil {
		if err := reg.Register(m.appends); err != nil {
			return nil, fmt.Errorf("event store metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) appended(outcome string) { m.appends.WithLabelValues(outcome).Inc() }
