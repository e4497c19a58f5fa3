package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"permitledger/cmd/permitledger/internal/known"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/audit"
)

// answer is what a handler answers when all went well.
type answer struct {
	status   int
	body     any         // shown as JSON
	revision *uint64     // of the permit that is shown, for the ETag
	raw      []byte      // instead of body, with the headers
	headers  http.Header // beside those that every answer has
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// outcome is what is counted and logged of a request.
type outcome struct {
	status int
	code   string // of a problem: its code, or the rule that refused
	role   domain.Role
}

// serve takes a request through the checks in the order that the interface
// promises: 401; 429; 403 and 404; 413 and 415; 400. What comes after (a
// repeated key, 412, 409) is decided by the desk.
func (s *server) serve(w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string) outcome {
	limit := readTime
	if rt.command() {
		limit = commandTime
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	req := &request{Request: r.WithContext(ctx), route: rt, vars: vars}
	a, err := s.answer(w, req)
	o := outcome{role: req.caller.role}
	if err != nil {
		o = s.fail(w, r, err, o)
	} else {
		if asOf, used := req.copied.Used(); used {
			w.Header().Set("Ledger-As-Of", asOf.UTC().Format(time.RFC3339))
		}
		o = s.succeed(w, r, a, o)
	}
	if rt.command() {
		s.metrics.command(rt.path, o)
	}
	return o
}

func (s *server) answer(w http.ResponseWriter, req *request) (answer, error) {
	if err := s.identify(req); err != nil {
		return answer{}, err
	}
	if req.route.command() {
		if err := s.limiter.take(req.caller); err != nil {
			return answer{}, err
		}
	}
	req.mayBeCopied()
	if err := s.admit(req); err != nil {
		return answer{}, err
	}
	if req.route.command() {
		if s.Whole != nil {
			if err := s.Whole.Ready(req.Context()); err != nil {
				return answer{}, err
			}
		}
		if err := req.receive(w); err != nil {
			return answer{}, err
		}
		if err := req.command(s.Desk.Pepper); err != nil {
			return answer{}, err
		}
	} else if err := s.await(req); err != nil {
		return answer{}, err
	}
	a, err := req.route.handle(s, req)
	if err == nil {
		err = s.record(req)
	}
	return a, err
}

// mayBeCopied lets what residents and anybody read go on while the event store
// is away, from the copy of its streams. What staff read is recorded before it
// is shown, and waits for the store as commands do.
func (req *request) mayBeCopied() {
	if req.route.command() || req.route.roles != nil && req.caller.role != domain.RoleResident {
		return
	}
	least, _, err := req.minPosition()
	if err != nil {
		return // what is wrong with it is told in its turn
	}
	ctx, use := eventstore.AllowCopy(req.Context(), least)
	req.Request, req.copied = req.WithContext(ctx), use
}

// waitFor is how long a read waits for what it was asked to have seen.
const waitFor = 2 * time.Second

// await holds a read back until it can be answered: with what Min-Position
// names, and from read models that are neither stopped nor still being made.
// What is answered from streams is up to date by itself; it waits for the
// index of the whole ledger, so that the header means the same everywhere.
func (s *server) await(req *request) error {
	models := req.route.models
	if lost := s.setBack(); lost != nil && len(models) > 0 {
		return lost
	}
	for _, name := range models {
		if s.Runner.Projection(name).Status().State == projections.Stopped {
			return errStopped
		}
	}
	if len(models) > 0 && !s.Runner.Ready() {
		return errBehind
	}
	position, given, err := req.minPosition()
	if err != nil || !given {
		return err
	}
	if len(models) == 0 {
		models = []string{audit.Name}
	}
	for _, name := range models {
		if err := s.reach(req.Context(), name, position); err != nil {
			return err
		}
	}
	return nil
}

// abreast waits for a read model to have all that is in the log now. In an
// answer from the copy, which says how old it is, the model has what it has.
func (s *server) abreast(req *request, model string) error {
	if _, used := req.copied.Used(); used {
		return nil
	}
	store := s.Desk.Ledger.Store()
	head, err := store.Head(req.Context())
	if errors.Is(err, eventstore.ErrRefused) && req.copied != nil {
		req.copied.From(store.Connection()) // a refused read counts as a store that is away
		return nil
	}
	if err != nil {
		return err
	}
	return s.reach(req.Context(), model, head)
}

// setBack is the verdict when the log was set back, else nil. Read models then
// have events that the log lacks.
func (s *server) setBack() *known.SetBackError {
	if s.Whole == nil {
		return nil
	}
	return s.Whole.SetBack()
}

// reach waits for a read model to have applied the event at a position.
func (s *server) reach(ctx context.Context, model string, position eventstore.Position) error {
	if lost := s.setBack(); lost != nil {
		return lost
	}
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	err := s.Runner.Projection(model).WaitFor(ctx, position)
	if errors.Is(err, context.DeadlineExceeded) {
		return errBehind
	}
	return err
}

func (s *server) succeed(w http.ResponseWriter, r *http.Request, a answer, o outcome) outcome {
	h := w.Header()
	for name, values := range a.headers {
		h[name] = values
	}
	if a.revision != nil {
		h.Set("ETag", `"`+strconv.FormatUint(*a.revision, 10)+`"`)
	}
	body := a.raw
	if body == nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			return s.fail(w, r, fmt.Errorf("write an answer: %w", err), o)
		}
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // a client that has gone away is nobody's fault
	o.status = a.status
	return o
}

// instrument counts, times and logs a route, and turns a panic into a problem.
func (s *server) instrument(template string, serve func(http.ResponseWriter, *http.Request) outcome) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		w := &tracked{ResponseWriter: rw}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				// The value may quote what a person typed; where it happened may not.
				s.Logger.ErrorContext(r.Context(), "panic", "route", template, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				if w.begun {
					panic(http.ErrAbortHandler) // half an answer must not look like a whole one
				}
				o = s.fail(w, r, errPanic, o)
			}
			took := time.Since(began)
			s.metrics.request(template, r.Method, o.status, took)
			s.Logger.InfoContext(r.Context(), "request", "route", template, "method", methodLabel(r.Method),
				"status", o.status, "duration", took, "role", o.role)
		}()
		o = serve(w, r)
	})
}

// tracked remembers whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (t *tracked) WriteHeader(status int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tracked) Write(b []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }
