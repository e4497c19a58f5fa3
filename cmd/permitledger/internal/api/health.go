package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// healthz says that the process is alive, and nothing else.
func (s *server) healthz(w http.ResponseWriter, r *http.Request) outcome {
	return s.succeed(w, r, ok(struct {
		State string `json:"state"`
	}{"ok"}), outcome{})
}

type readiness struct {
	State   string   `json:"state"`
	Because []string `json:"because"`
	// Known and Agreed are there when the log was set back: the number of the
	// newest event known, and the newest at which both are the same.
	Known  *uint64 `json:"known,omitempty"`
	Agreed *uint64 `json:"agreed,omitempty"`
}

// readyz is 503 until every read model has caught up with the log as it was at
// the start. Afterwards it stays 200: what is degraded keeps nothing else from
// working, and its own routes say 503. Only a log that was set back makes it 503
// again.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) outcome {
	body, status := readiness{State: "ok", Because: []string{}}, http.StatusOK
	if lost := s.setBack(); lost != nil {
		body = readiness{State: "set-back", Because: s.because(), Known: &lost.Known.Ledger, Agreed: &lost.Agreed}
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "60")
	} else if !s.Runner.Ready() {
		body.State, status = "starting", http.StatusServiceUnavailable
		for _, p := range s.Runner.Projections() {
			if st := p.Status(); st.Behind > 0 || st.Trouble != "" {
				body.Because = append(body.Because, fmt.Sprintf("%s: %d events behind", st.Name, st.Behind))
			}
		}
		if s.Because != nil {
			body.Because = append(body.Because, s.Because()...)
		}
		w.Header().Set("Retry-After", "1")
	} else if body.Because = s.because(); len(body.Because) > 0 {
		body.State = "degraded"
	}
	return s.succeed(w, r, answer{status: status, body: body}, outcome{})
}

// because lists what does not work.
func (s *server) because() []string {
	reasons := []string{}
	for _, p := range s.Runner.Projections() {
		switch st := p.Status(); {
		case st.Error != nil:
			reasons = append(reasons, fmt.Sprintf("read model %s is stopped since %s at %s", st.Name, st.Error.Since.UTC().Format(time.RFC3339), st.Error.Error()))
		case st.Trouble != "":
			reasons = append(reasons, fmt.Sprintf("read model %s: %s", st.Name, st.Trouble))
		}
	}
	if since, err := s.Desk.Ledger.Store().Damage(); err != nil {
		reasons = append(reasons, fmt.Sprintf("the log is damaged, known since %s: %v; restore a backup", since.UTC().Format(time.RFC3339), err))
	}
	if s.Because != nil {
		reasons = append(reasons, s.Because()...)
	}
	return reasons
}

// exposition shows the metrics.
func (s *server) exposition() func(http.ResponseWriter, *http.Request) outcome {
	h := promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) outcome {
		h.ServeHTTP(w, r)
		return outcome{status: http.StatusOK}
	}
}
