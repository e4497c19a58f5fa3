package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of HTTP. Labels are templates and codes, never what
// somebody sent.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	commands *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	make := promauto.With(r)
	return &metrics{
		requests: make.NewCounterVec(prometheus.CounterOpts{
			Namespace: "permitledger", Subsystem: "http", Name: "requests_total",
			Help: "Requests by route template, method and status.",
		}, []string{"route", "method", "status"}),
		duration: make.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "permitledger", Subsystem: "http", Name: "request_duration_seconds",
			Help:    "Time to answer, by route template and method.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 30},
		}, []string{"route", "method"}),
		commands: make.NewCounterVec(prometheus.CounterOpts{
			Namespace: "permitledger", Name: "commands_total",
			Help: "Commands by route template and outcome: done, the rule that refused, or the code of the problem.",
		}, []string{"route", "outcome"}),
	}
}

func (m *metrics) request(template, method string, status int, took time.Duration) {
	method = methodLabel(method)
	m.requests.WithLabelValues(template, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(template, method).Observe(took.Seconds())
}

func (m *metrics) command(path string, o outcome) {
	result := o.code
	if result == "" {
		result = "done"
	}
	m.commands.WithLabelValues(base+path, result).Inc()
}
