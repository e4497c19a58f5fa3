package api

import (
	"net/http"
	"sync"
	"time"

	"permitledger/domain"
	"permitledger/projections"
)

// ReadModel is how a read model is, as operators are shown it. It holds
// nothing of any event's content.
type ReadModel struct {
	Name     string            `json:"name"`
	State    projections.State `json:"state"`
	Ledger   uint64            `json:"ledger"`
	Position string            `json:"position"`
	Behind   uint64            `json:"behind"`
	// LastMessageAge is in seconds; nil when the log was never heard of.
	LastMessageAge *float64 `json:"lastMessageAge"`
	Stopped        *Stopped `json:"stopped"`
	Trouble        *string  `json:"trouble"`
	Rebuild        *Rebuild `json:"rebuild"`
	// Verified is how far a verification under way has come.
	Verified *uint64 `json:"verified"`
}

// Stopped is the event that stopped a read model.
type Stopped struct {
	Since   time.Time `json:"since"`
	EventID string    `json:"eventId"`
	Type    string    `json:"type"`
	Ledger  uint64    `json:"ledger"`
	Error   string    `json:"error"`
}

// Rebuild is the rebuild under way, or the last one since the service started.
type Rebuild struct {
	State     string     `json:"state"` // running, done or failed
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt"`
	Ledger    uint64     `json:"ledger"` // how far the new file has come
	Error     *string    `json:"error"`
}

// ReadModelOf shows a status.
func ReadModelOf(s projections.Status) ReadModel {
	m := ReadModel{Name: s.Name, State: s.State, Ledger: s.Ledger, Position: s.Position.String(), Behind: s.Behind}
	if s.LastMessageAge >= 0 {
		age := s.LastMessageAge.Seconds()
		m.LastMessageAge = &age
	}
	if e := s.Error; e != nil {
		m.Stopped = &Stopped{Since: e.Since.UTC(), EventID: e.EventID, Type: e.Type, Ledger: e.Ledger, Error: e.Err.Error()}
	}
	if s.Trouble != "" {
		m.Trouble = &s.Trouble
	}
	if s.Rebuild != nil {
		r := rebuildOf(s.Rebuild)
		m.Rebuild = &r
	}
	if s.Verifying {
		m.Verified = &s.Verified
	}
	return m
}

func rebuildOf(r *projections.Rebuild) Rebuild {
	shown := Rebuild{State: "running", StartedAt: r.Started.UTC(), Ledger: r.Ledger()}
	if ended, err, over := r.Outcome(); over {
		ended = ended.UTC()
		shown.State, shown.EndedAt = "done", &ended
		if err != nil {
			text := err.Error()
			shown.State, shown.Error = "failed", &text
		}
	}
	return shown
}

// readModels lists how the read models are.
func (s *server) readModels(*request) (answer, error) {
	items := []ReadModel{}
	for _, p := range s.Runner.Projections() {
		items = append(items, ReadModelOf(p.Status()))
	}
	return pageOf(items, ""), nil
}

// rebuilds remembers which rebuild a key began. Making a read model again is
// no event of the ledger, so it is remembered in memory: after a restart the
// same key begins anew, which changes no row.
type rebuilds struct {
	mu    sync.Mutex
	begun map[domain.CommandID]rebuildBegun
	order []domain.CommandID
}

// maxRebuilds is how many keys are remembered.
const maxRebuilds = 1000

type rebuildBegun struct {
	Name    string  `json:"name"`
	Rebuild Rebuild `json:"rebuild"`
}

// once begins what a key has not begun yet.
func (r *rebuilds) once(key domain.CommandID, begin func() (rebuildBegun, error)) (rebuildBegun, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, again := r.begun[key]; again {
		return first, nil
	}
	first, err := begin()
	if err != nil {
		return first, err
	}
	if r.begun == nil {
		r.begun = make(map[domain.CommandID]rebuildBegun)
	}
	if len(r.order) == maxRebuilds {
		delete(r.begun, r.order[0])
		r.order = r.order[1:]
	}
	r.begun[key] = first
	r.order = append(r.order, key)
	return first, nil
}

// rebuild begins to make a read model again. It takes as long as there is
// history, so the answer does not wait for it.
func (s *server) rebuild(req *request) (answer, error) {
	p := s.Runner.Projection(req.vars["name"])
	if p == nil {
		return answer{}, errNotFound
	}
	if err := req.body.done(); err != nil {
		return answer{}, err
	}
	begun, err := s.rebuilds.once(req.call.ID, func() (rebuildBegun, error) {
		r, err := p.Rebuild()
		if err != nil {
			return rebuildBegun{}, err
		}
		// As it was begun: a repeated key is given the same answer.
		return rebuildBegun{p.Name(), Rebuild{State: "running", StartedAt: r.Started.UTC()}}, nil
	})
	return answer{status: http.StatusAccepted, body: begun}, err
}
