package storetest

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// StreamPrefix begins the name of every stream that a case writes to. What such
// a stream held stays in $all until the server is scavenged, and its tombstone
// for good.
const StreamPrefix = "storetest-"

// cleanTime is how long a case may take to remove what it made.
const cleanTime = 10 * time.Second

// room is what a case works in: names of its own, a bounded time, and a place
// to say what did not hold.
type room struct {
	*Server
	ctx      context.Context
	prefix   string // of every stream that the case writes to
	patience time.Duration

	mu      sync.Mutex
	streams []string // guarded by mu; to be removed
	groups  []group  // guarded by mu; to be removed
	faults  []string // guarded by mu
	barred  string   // guarded by mu; what the user may not
	absent  bool     // guarded by mu; the server lacks what is asked of it
}

// group names a persistent subscription; without a stream it is one to $all.
type group struct{ stream, name string }

func newRoom(ctx context.Context, s *Server, o Options) *room {
	return &room{Server: s, ctx: ctx, prefix: StreamPrefix + uuid.NewString() + "-", patience: o.Patience}
}

// stopped is what a case panics with once it cannot go on.
type stopped struct{}

// enter runs a check to its end.
func (r *room) enter(check func(*room)) {
	defer func() {
		switch p := recover(); p.(type) {
		case nil, stopped:
		default:
			// The client itself panics on answers that it does not know.
			r.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	check(r)
}

// fail records that the rule does not hold, and lets the case go on.
func (r *room) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// stop records why the case cannot go on, and ends it. Only the goroutine that
// the case began in may call it.
func (r *room) stop(format string, args ...any) {
	r.fail(format, args...)
	panic(stopped{})
}

// must ends the case on an error.
func (r *room) must(what string, err error) {
	switch {
	case err == nil:
	case codeOf(err) == "unsupported":
		r.mu.Lock()
		r.absent = true
		r.mu.Unlock()
		panic(stopped{})
	case codeOf(err) == "denied":
		r.bar("%s: this user may not: %v", what, err)
	case r.ctx.Err() != nil:
		r.stop("%s: the case's time was over: %v", what, err)
	default:
		r.stop("%s: %v", what, err)
	}
}

// bar ends a case that may not do what it must.
func (r *room) bar(format string, args ...any) {
	r.mu.Lock()
	r.barred = fmt.Sprintf(format, args...)
	r.mu.Unlock()
	panic(stopped{})
}

// same records a difference between what was seen and what the rule says.
func (r *room) same(what string, got, want any) bool {
	return r.oneOf(what, fmt.Sprint(got), fmt.Sprint(want))
}

// oneOf is same for a rule that leaves several answers open.
func (r *room) oneOf(what, got string, want ...string) bool {
	if slices.Contains(want, got) {
		return true
	}
	if got == "denied" {
		r.bar("%s: this user may not", what)
	}
	expected := make([]string, len(want))
	for i, w := range want {
		expected[i] = quoted(w)
	}
	r.fail("%s: expected %s, seen %s", what, strings.Join(expected, " or "), quoted(got))
	return false
}

// check records that something does not hold.
func (r *room) check(holds bool, format string, args ...any) bool {
	if !holds {
		r.fail(format, args...)
	}
	return holds
}

func quoted(s string) string {
	const most = 400
	if s == "" {
		return "nothing"
	}
	if len(s) > most {
		s = s[:most] + "…"
	}
	return `"` + s + `"`
}

// verdict sums up the case. A server that does not offer what the ledger needs
// fails.
func (r *room) verdict(needed bool) (Outcome, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.faults) > 0 && needed:
		return Failed, r.faults
	case len(r.faults) > 0:
		return Differs, r.faults
	case r.barred != "":
		return Forbidden, []string{r.barred}
	case r.absent && needed:
		return Failed, []string{"this server does not offer it"}
	case r.absent:
		return NotOffered, nil
	}
	return Passed, nil
}

// stream makes up the name of a stream, which is removed when the case ends.
func (r *room) stream(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.prefix + name
	r.streams = append(r.streams, full)
	return full
}

// group makes up the name of a persistent subscription, which is removed when
// the case ends.
func (r *room) group(stream, name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.prefix + name
	r.groups = append(r.groups, group{stream, full})
	return full
}

// leave removes what the case made, and gives what it could not.
func (r *room) leave(ctx context.Context) (left []string) {
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	r.mu.Lock()
	streams, groups := r.streams, r.groups
	r.mu.Unlock()
	ended := make(chan []string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ended <- []string{fmt.Sprintf("everything under %s: panic: %v", r.prefix, p)}
			}
		}()
		ended <- r.clean(ctx, streams, groups)
	}()
	select {
	case left = <-ended:
		return left
	case <-ctx.Done():
		return []string{"everything under " + r.prefix + ": the server did not answer in time"}
	}
}

func (r *room) clean(ctx context.Context, streams []string, groups []group) (left []string) {
	for _, g := range groups {
		var err error
		if g.stream == "" {
			err = r.client.DeletePersistentSubscriptionToAll(ctx, g.name, esdb.DeletePersistentSubscriptionOptions{})
		} else {
			err = r.client.DeletePersistentSubscription(ctx, g.stream, g.name, esdb.DeletePersistentSubscriptionOptions{})
		}
		// A user who may not delete a group may not make one either: none is left.
		if code := codeOf(err); !slices.Contains([]string{"ok", "not found", "unsupported", "denied"}, code) {
			left = append(left, fmt.Sprintf("group %s of %s: %v", g.name, g.stream, err))
		}
	}
	for _, stream := range streams {
		// A tombstone takes the metadata along, and lets the next scavenge
		// remove all the rest.
		_, err := r.client.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{})
		if err != nil && codeOf(err) != "deleted" {
			left = append(left, fmt.Sprintf("stream %s: %v", stream, err))
		}
	}
	return left
}

// under tells whether an event is one of this case's.
func (r *room) under(e *esdb.RecordedEvent) bool {
	return e != nil && strings.HasPrefix(strings.TrimPrefix(e.StreamID, "$$"), r.prefix)
}
