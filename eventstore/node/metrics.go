package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the node does.
type metrics struct {
	writes        *prometheus.CounterVec
	outcomes      [len(operationNames)][len(outcomeNames)]prometheus.Counter
	events        prometheus.Counter
	bytes         prometheus.Counter
	commits       prometheus.Histogram
	subscriptions prometheus.Gauge
}

// The labels of writes. The last outcome is for those that failed.
var (
	operationNames = [...]string{opAppend: "append", opSoftDelete: "delete", opTombstone: "tombstone"}
	outcomeNames   = [...]string{
		verdictWrite: "written", verdictIdempotent: "repeated", verdictWrong: "wrong-expected-revision",
		verdictDeleted: "stream-deleted", verdictDeleted + 1: "failed",
	}
)

// newMetrics registers the node's metrics, unless there is nowhere to.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventstore_node_writes_total", Help: "Writes by operation and outcome.",
		}, []string{"operation", "outcome"}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventstore_node_events_written_total", Help: "Events committed to the log.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventstore_node_bytes_written_total", Help: "Bytes of the events committed to the log.",
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "eventstore_node_commit_seconds", Help: "Time to put a group of writes on disk.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventstore_node_subscriptions", Help: "Catch-up subscriptions being served.",
		}),
	}
	for op, name := range operationNames {
		for v, outcome := range outcomeNames {
			m.outcomes[op][v] = m.writes.WithLabelValues(name, outcome)
		}
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.writes, m.events, m.bytes, m.commits, m.subscriptions} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) committed(b *batch, took time.Duration) {
	m.events.Add(float64(b.count))
	m.bytes.Add(float64(b.bytes))
	m.commits.Observe(took.Seconds())
}

func (m *metrics) write(op operation, out outcome) {
	v := int(out.verdict)
	if out.err != nil {
		v = len(outcomeNames) - 1
	}
	m.outcomes[op][v].Inc()
}

// subscribed counts a subscription until the function it returns is called.
func (m *metrics) subscribed() func() {
	m.subscriptions.Inc()
	return m.subscriptions.Dec
}
