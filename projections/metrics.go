package projections

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector tells the metrics of all models when they are asked for.
type collector struct{ runner *Runner }

var (
	descBehind = prometheus.NewDesc("permitledger_projection_behind_events",
		"Ledger events behind the furthest one that the process has seen.", []string{"model"}, nil)
	descAge = prometheus.NewDesc("permitledger_projection_last_message_age_seconds",
		"Seconds since the log was last heard of; absent before it ever was.", []string{"model"}, nil)
	descLedger = prometheus.NewDesc("permitledger_projection_ledger_number",
		"Ledger number of the last event applied.", []string{"model"}, nil)
	descPosition = prometheus.NewDesc("permitledger_projection_position",
		"Position in the log of the last event applied.", []string{"model"}, nil)
	descState = prometheus.NewDesc("permitledger_projection_state",
		"1 for the state that the model is in, 0 for the others.", []string{"model", "state"}, nil)
	descTrouble = prometheus.NewDesc("permitledger_projection_trouble",
		"1 while the log or the file is in trouble and tried again.", []string{"model"}, nil)
	descStopped = prometheus.NewDesc("permitledger_projection_stopped_since_seconds",
		"When the model was stopped, in seconds since 1970, by which event and why; absent while it is not.",
		[]string{"model", "event", "type", "ledger", "error"}, nil)
	descRebuilding = prometheus.NewDesc("permitledger_projection_rebuilding",
		"1 while the model is made again beside the live one.", []string{"model"}, nil)
	descApplied = prometheus.NewDesc("permitledger_projection_applied_events_total",
		"Events applied by this process.", []string{"model"}, nil)
)

// Describe lists the metrics.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBehind, descAge, descLedger, descPosition, descState, descTrouble, descStopped, descRebuilding, descApplied} {
		ch <- d
	}
}

// Collect reads every model's status.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.runner.order {
		s := p.Status()
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{s.Name}, labels...)...)
		}
		gauge(descBehind, float64(s.Behind))
		gauge(descLedger, float64(s.Ledger))
		gauge(descPosition, float64(s.Position))
		gauge(descTrouble, oneIf(s.Trouble != ""))
		if s.LastMessageAge >= 0 {
			gauge(descAge, s.LastMessageAge.Seconds())
		}
		if e := s.Error; e != nil {
			gauge(descStopped, float64(e.Since.Unix()), e.EventID, strings.ToValidUTF8(e.Type, "?"),
				strconv.FormatUint(e.Ledger, 10), strings.ToValidUTF8(e.Err.Error(), "?"))
		}
		gauge(descRebuilding, oneIf(s.Rebuild.underWay()))
		for _, state := range []State{CatchingUp, Running, Stopped} {
			gauge(descState, oneIf(s.State == state), string(state))
		}
		p.mu.Lock()
		applied := p.applied
		p.mu.Unlock()
		ch <- prometheus.MustNewConstMetric(descApplied, prometheus.CounterValue, float64(applied), s.Name)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
