package eventstore

import (
	"fmt"
	"time"

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
	appends  *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, connection func() Connection) (*metrics, error) {
	m := &metrics{appends: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "permitledger",
		Name:      "appends_total",
		Help:      "Appends to the event store by outcome.",
	}, []string{"outcome"}), refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "permitledger", Subsystem: "eventstore", Name: "refused_total",
		Help: "Requests that the event store refused for lack of a right, including those of the probe, by right.",
	}, []string{"right"})}
	for _, o := range []string{outcomeDone, outcomeConflict, outcomeResent, outcomeFailed} {
		m.appends.WithLabelValues(o)
	}
	for _, right := range Rights() {
		m.refusals.WithLabelValues(string(right))
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.appends, m.refusals, upGauge(connection), awayGauge(connection)} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("event store metrics: %w", err)
		}
	}
	return m, nil
}

func upGauge(connection func() Connection) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "permitledger", Subsystem: "eventstore", Name: "up",
		Help: "1 while the event store can be reached and refuses nothing but single streams, else 0.",
	}, func() float64 {
		if connection().Up {
			return 1
		}
		return 0
	})
}

func awayGauge(connection func() Connection) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "permitledger", Subsystem: "eventstore", Name: "away_seconds",
		Help: "For how long the event store has been away; 0 while it is there.",
	}, func() float64 {
		c := connection()
		if c.Up || c.Since.IsZero() {
			return 0
		}
		return time.Since(c.Since).Seconds()
	})
}

func (m *metrics) refusal(right Right) { m.refusals.WithLabelValues(string(right)).Inc() }

func (m *metrics) appended(outcome string) { m.appends.WithLabelValues(outcome).Inc() }
