package eventstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/prometheus/client_golang/prometheus"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
)

// claimClock is the clock of one machine, which a test puts forward.
type claimClock struct {
	began time.Time
	mono  atomic.Int64
	wall  atomic.Int64
}

func newClaimClock() *claimClock { return &claimClock{began: time.Now()} }

func (c *claimClock) now() eventstore.Instant {
	passed := time.Since(c.began)
	return eventstore.Instant{Monotonic: passed + time.Duration(c.mono.Load()), Wall: c.began.Round(0).Add(passed + time.Duration(c.wall.Load()))}
}

// pass has time pass on both clocks.
func (c *claimClock) pass(d time.Duration) {
	c.mono.Add(int64(d))
	c.wall.Add(int64(d))
}

// service is one process on a store.
type service struct {
	t     *testing.T
	store *eventstore.Store
	clock *claimClock
	cfg   eventstore.ClaimConfig
	claim *eventstore.Claim
}

func newService(t *testing.T, address, home string, change ...func(*eventstore.Config)) *service {
	t.Helper()
	s := &service{t: t, store: connect(t, address, change...), clock: newClaimClock()}
	s.cfg = eventstore.ClaimConfig{Home: home, Version: "1.2.3", Clock: s.clock.now}
	return s
}

// claims claims the store, and abandons the claim when the test ends.
func (s *service) claims() *service {
	s.t.Helper()
	if err := s.tries(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *service) tries() (err error) {
	if s.claim, err = s.store.Claim(s.t.Context(), s.cfg); err == nil {
		s.t.Cleanup(s.claim.Abandon)
	}
	return err
}

// claimEvents lists the types of the events of the protocol.
func claimEvents(t *testing.T, s *eventstore.Store) string {
	t.Helper()
	var types []string
	for _, r := range collect(t, s.Read(t.Context(), eventstore.ServiceStream, 0)) {
		types = append(types, r.Type)
	}
	return strings.Join(types, " ")
}

// refusedBy fails the test unless an error says that another service refuses.
func refusedBy(t *testing.T, err error, starting bool) {
	t.Helper()
	claimed, ok := errors.AsType[*eventstore.ClaimedError](err)
	if !ok || claimed.Starting != starting || claimed.By.Version != "1.2.3" || claimed.By.PID == 0 || claimed.By.Since.IsZero() {
		t.Errorf("the error is %v", err)
	}
}

func TestClaimOnFreeStoreIsOneEvent(t *testing.T) {
	_, store := fresh(t)
	a := newService(t, addressOf(t, store), "a").claims()
	for n := range 5 {
		appendOne(t, a.store, fmt.Sprintf("permit-%d", n), eventstore.NoStream())
		a.clock.pass(11 * time.Second)
		if err := a.claim.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := claimEvents(t, store); got != "Claimed" {
		t.Errorf("the stream has %s", got)
	}
	by, held, err := store.ClaimHolder(t.Context())
	if err != nil || !held || by.Version != "1.2.3" || by.Home != "a" {
		t.Errorf("held %v by %+v: %v", held, by, err)
	}
	for r, err := range store.ReadAll(t.Context(), 0) {
		if err != nil || r.Stream == eventstore.ServiceStream {
			t.Errorf("%v in the ledger's events: %v", r.Stream, err)
		}
	}
}

// addressOf gives the address of the node under a store of fresh.
func addressOf(t *testing.T, s *eventstore.Store) string {
	t.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(eventstore.ConnectionString(s), "esdb://"), "?")
	return address
}

func TestLivingHolderRefusesNewcomers(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "a")
	a.cfg.Scale = 0.02
	a.claims()
	for range 50 {
		b := newService(t, n.Addr(), "b") // its silence is at full length, so the answer ended it
		err := b.tries()
		refusedBy(t, err, true)
		if text := err.Error(); !strings.Contains(text, "Stop that one") || !strings.Contains(text, "right to write") {
			t.Error(text)
		}
	}
	if err := a.claim.Err(); err != nil {
		t.Error(err)
	}
	if got, want := claimEvents(t, a.store), "Claimed"+strings.Repeat(" Requested Refused", 50); got != want {
		t.Errorf("the stream has %s", got)
	}
	appendOne(t, a.store, "permit-1", eventstore.NoStream())
}

func TestSameHomeClaimsAtOnce(t *testing.T) {
	n := start(t)
	dead := newService(t, n.Addr(), "a").claims()
	began := time.Now()
	b := newService(t, n.Addr(), "a").claims()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	dead.clock.pass(11 * time.Second)
	_, err := dead.store.Append(t.Context(), "permit-2", eventstore.NoStream(), proposed(1))
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("the one before appends: %v", err)
	}
	<-dead.claim.Lost()
	refusedBy(t, dead.claim.Err(), false)
	if got := claimEvents(t, b.store); got != "Claimed Claimed" {
		t.Errorf("the stream has %s", got)
	}
}

func TestEmptyHomesNeverMatch(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "")
	a.cfg.Scale = 0.02
	a.claims()
	refusedBy(t, newService(t, n.Addr(), "").tries(), true)
}

func TestReleasedStoreIsClaimedAtOnce(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "a").claims()
	a.claim.Release()
	if _, err := a.store.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("after its release a service appends: %v", err)
	}
	if _, held, err := a.store.ClaimHolder(t.Context()); err != nil || held {
		t.Errorf("held %v: %v", held, err)
	}
	b := newService(t, n.Addr(), "b").claims()
	if got := claimEvents(t, b.store); got != "Claimed Released Claimed" {
		t.Errorf("the stream has %s", got)
	}
}

// newcomer starts a claim, and has 25 seconds pass for it once it has asked.
func (s *service) waits(t *testing.T) (ended chan error) {
	t.Helper()
	asked := make(chan struct{})
	s.onAsked(func() { close(asked) })
	ended = make(chan error, 1)
	go func() { ended <- s.tries() }()
	select {
	case <-asked:
		s.clock.pass(25 * time.Second)
	case err := <-ended:
		t.Errorf("it did not wait: %v", err)
		ended <- err
	}
	return ended
}

// onAsked has something done once the service waits for an answer.
func (s *service) onAsked(do func()) {
	s.t.Helper()
	do = sync.OnceFunc(do)
	s.store = connect(s.t, addressOf(s.t, s.store), func(cfg *eventstore.Config) {
		cfg.Logger = slog.New(heard{slog.DiscardHandler, func(line string) {
			if strings.Contains(line, "waiting for its answer") {
				do()
			}
		}})
	})
}

// heard sees the lines that are logged.
type heard struct {
	slog.Handler
	see func(string)
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	h.see(r.Message)
	return nil
}

func TestSilentHolderIsReplaced(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a").claims()
	proxy.Down()
	b := newService(t, n.Addr(), "b")
	if err := <-b.waits(t); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b.store, "permit-1", eventstore.NoStream()) // at once
	if got := claimEvents(t, b.store); got != "Claimed Requested Claimed" {
		t.Errorf("the stream has %s", got)
	}
	proxy.Up()
	<-a.claim.Lost()
	refusedBy(t, a.claim.Err(), false)
	for _, err := range []error{a.claim.Confirm(t.Context()), a.claim.Held(), a.claim.Because()} {
		if err == nil {
			t.Error("it may still act")
		}
	}
}

// A holder that was away sees the newcomer's request when it is back, in time.
func TestHolderThatComesBackInTimeRefuses(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a").claims()
	proxy.Down()
	b := newService(t, n.Addr(), "b")
	ended := make(chan error, 1)
	go func() { ended <- b.tries() }()
	proxy.Up()
	refusedBy(t, <-ended, true)
	appendOne(t, a.store, "permit-1", eventstore.NoStream())
}

// The answer to an append comes when another service has claimed the store.
func TestAppendAnsweredTooLateIsUnknown(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "a").claims()
	var b *service
	a.store.AddGuard(func(context.Context, eventstore.SessionID) error {
		a.clock.pass(11 * time.Second) // it is stopped right before it sends, and then goes on
		b = newService(t, n.Addr(), "a").claims()
		return nil
	})
	_, err := a.store.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
	if !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "too late") {
		t.Errorf("the append: %v", err)
	}
	<-a.claim.Lost()
	if len(collect(t, b.store.Read(t.Context(), "permit-1", 0))) != 1 {
		t.Error("it was not sent, so that nothing was tried")
	}
}

// The network holds an answer back and delivers it once another service has
// claimed the store and has written.
func TestHeldBackAnswerIsUnknown(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a").claims()
	b := newService(t, n.Addr(), "a")
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	armed := proxy.Arm(faultproxy.Fault{Kind: faultproxy.Append, At: faultproxy.BeforeAnswer, Harm: faultproxy.Delay, For: 3 * time.Second})
	ended := make(chan error, 1)
	go func() {
		_, err := a.store.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
		ended <- err
	}()
	<-armed.Struck()
	a.clock.pass(11 * time.Second)
	b.claims()
	appendOne(t, b.store, "permit-2", eventstore.NoStream())
	if err := <-ended; !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "too late") {
		t.Errorf("the append: %v", err)
	}
	<-a.claim.Lost()
}

// An answer that comes late while nobody else has claimed is a good one.
func TestAppendAnsweredLateIsConfirmed(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "a").claims()
	a.store.AddGuard(func(context.Context, eventstore.SessionID) error { a.clock.pass(11 * time.Second); return nil })
	appendOne(t, a.store, "permit-1", eventstore.NoStream())
}

func TestCommandsCostNoStoreCall(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a")
	a.cfg.Clock = func() eventstore.Instant { return eventstore.Instant{} } // no time passes
	a.claims()
	before := proxy.Seen()
	for n := range 20 {
		appendOne(t, a.store, fmt.Sprintf("permit-%d", n), eventstore.NoStream())
	}
	after := proxy.Seen()
	if got := after[faultproxy.ReadStream] - before[faultproxy.ReadStream]; got > 3 { // those of every 4 s
		t.Errorf("20 appends made %d reads", got)
	}
	if got := after[faultproxy.Append] - before[faultproxy.Append]; got != 20 {
		t.Errorf("20 appends made %d", got)
	}
}

// A wall clock that was put forward, as after a sleep, and a monotonic one alike
// make all wait for one read together; one that was put back does not help.
func TestStaleClaimIsReadOnceForAll(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	for name, move := range map[string]func(*claimClock){
		"wall clock forward":      func(c *claimClock) { c.wall.Add(int64(11 * time.Second)) },
		"monotonic clock forward": func(c *claimClock) { c.mono.Add(int64(11 * time.Second)) },
		"wall clock back":         func(c *claimClock) { c.mono.Add(int64(11 * time.Second)); c.wall.Add(-int64(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newService(t, proxy.Addr(), "a").claims()
			move(a.clock)
			if a.claim.Held() == nil || a.claim.Because() == nil {
				t.Error("the claim counts as confirmed")
			}
			before := proxy.Seen()[faultproxy.ReadStream]
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if err := a.claim.Confirm(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if got := proxy.Seen()[faultproxy.ReadStream] - before; got < 1 || got > 3 { // also those of every 4 s
				t.Errorf("50 callers made %d reads", got)
			}
			a.claim.Release()
		})
	}
}

func TestClaimIsReadOnEachSession(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a").claims()
	for n := range 5 {
		id, _ := a.store.Session()
		before := proxy.Seen()[faultproxy.ReadStream]
		proxy.Arm(faultproxy.Fault{Kind: faultproxy.Append, At: faultproxy.BeforeAnswer, Harm: faultproxy.Cut})
		appendOne(t, a.store, fmt.Sprintf("permit-%d", n), eventstore.NoStream())
		if now, _ := a.store.Session(); now == id {
			t.Error("the session is the same")
		}
		if got := proxy.Seen()[faultproxy.ReadStream] - before; got < 1 {
			t.Errorf("an append on session %d was sent without a read", id+1)
		}
	}
}

// While the claim cannot be read nothing is sent, and it goes on by itself.
func TestUnreadableClaimRefusesAppends(t *testing.T) {
	n := start(t)
	proxy := faultproxy.New(t, n.Addr())
	a := newService(t, proxy.Addr(), "a", func(cfg *eventstore.Config) {
		cfg.TryTimeout, cfg.Bound, cfg.Wait = 100*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	})
	for err := a.tries(); err != nil; err = a.tries() { // a busy machine may be too slow
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	proxy.Do(faultproxy.LoseAnswers)
	a.clock.pass(11 * time.Second)
	if err := a.claim.Confirm(t.Context()); err != nil && !errors.Is(err, eventstore.ErrUnavailable) {
		t.Error(err)
	}
	for {
		if _, err := a.store.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1)); err == nil {
			break
		} else if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if len(collect(t, a.store.Read(t.Context(), "permit-1", 0))) != 1 {
		t.Error("an append that was refused is there")
	}
}

func TestLostClaimStreamIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		do       func(*testing.T, *node.Node)
		starting error // of the next start
	}{
		"deleted": {func(t *testing.T, n *node.Node) {
			if _, err := foreign(t, n).DeleteStream(t.Context(), eventstore.ServiceStream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
				t.Fatal(err)
			}
		}, nil},
		"tombstoned": {func(t *testing.T, n *node.Node) {
			if _, err := foreign(t, n).TombstoneStream(t.Context(), eventstore.ServiceStream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
				t.Fatal(err)
			}
		}, eventstore.ErrClaimTombstoned},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			a := newService(t, n.Addr(), "a").claims()
			c.do(t, n)
			a.clock.pass(11 * time.Second)
			if err := a.claim.Confirm(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
				t.Errorf("it may still act: %v", err)
			}
			<-a.claim.Lost()
			if err := a.claim.Err(); !errors.Is(err, eventstore.ErrClaimGone) {
				t.Error(err)
			}
			if err := newService(t, n.Addr(), "b").tries(); !errors.Is(err, c.starting) {
				t.Errorf("the next start: %v", err)
			}
		})
	}
}

// A stream whose events show no claim is held by an unknown process.
func TestStreamWithoutClaimIsHeld(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *esdb.Client){
		"other events": func(t *testing.T, c *esdb.Client) { write(t, c, eventstore.ServiceStream) },
		"truncated": func(t *testing.T, c *esdb.Client) {
			write(t, c, eventstore.ServiceStream)
			metadata := esdb.StreamMetadata{}
			metadata.SetTruncateBefore(1)
			if _, err := c.SetStreamMetadata(t.Context(), eventstore.ServiceStream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, metadata); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			prepare(t, foreign(t, n))
			b := newService(t, n.Addr(), "b")
			if err := <-b.waits(t); err != nil {
				t.Fatal(err)
			}
			appendOne(t, b.store, "permit-1", eventstore.NoStream())
		})
	}
}

func TestOneOfThreeNewcomersClaims(t *testing.T) {
	n := start(t)
	newService(t, n.Addr(), "dead").claims().claim.Abandon()
	ended := make(chan error, 3)
	var all []*service
	for i := range 3 {
		s := newService(t, n.Addr(), fmt.Sprintf("new-%d", i))
		s.cfg.Scale = 0.05
		all = append(all, s)
		go func() { ended <- s.tries() }()
	}
	claimed := 0
	for range 3 {
		if err := <-ended; err == nil {
			claimed++
		} else {
			refusedBy(t, err, true)
		}
	}
	if claimed != 1 {
		t.Errorf("%d of 3 claimed the store: %s", claimed, claimEvents(t, all[0].store))
	}
}

// Another process that claims the store voids a request. The newcomer asks again.
func TestForeignClaimVoidsRequest(t *testing.T) {
	n := start(t)
	newService(t, n.Addr(), "a").claims().claim.Abandon()
	b := newService(t, n.Addr(), "b")
	asked := make(chan struct{})
	b.onAsked(func() { close(asked) })
	ended := make(chan error, 1)
	go func() { ended <- b.tries() }()
	<-asked
	newService(t, n.Addr(), "a").claims() // the same folder is started again
	b.clock.pass(25 * time.Second)        // b reads these events before it claims
	refusedBy(t, <-ended, true)
	if got := claimEvents(t, b.store); got != "Claimed Requested Claimed Requested Refused" {
		t.Errorf("the stream has %s", got)
	}
}

func TestAskHolderClaimsNothing(t *testing.T) {
	n := start(t)
	b := newService(t, n.Addr(), "b")
	if err := b.store.AskHolder(t.Context(), b.cfg); err != nil || claimEvents(t, b.store) != "" {
		t.Errorf("on a free store: %v, %s", err, claimEvents(t, b.store))
	}
	a := newService(t, n.Addr(), "a")
	a.cfg.Scale = 0.02
	a.claims()
	refusedBy(t, b.store.AskHolder(t.Context(), b.cfg), true)
	a.claim.Abandon()
	b.cfg.Scale = 0.02
	if err := b.store.AskHolder(t.Context(), b.cfg); err != nil || claimEvents(t, b.store) != "Claimed Requested Refused Requested" {
		t.Errorf("after a crash: %v, %s", err, claimEvents(t, b.store))
	}
}

// A start that waits can be stopped, and leaves no claim.
func TestStoppedStartClaimsNothing(t *testing.T) {
	n := start(t)
	newService(t, n.Addr(), "a").claims().claim.Abandon()
	b := newService(t, n.Addr(), "b")
	ctx, cancel := context.WithCancel(t.Context())
	b.onAsked(cancel)
	if _, err := b.store.Claim(ctx, b.cfg); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := claimEvents(t, b.store); got != "Claimed Requested" {
		t.Errorf("the stream has %s", got)
	}
}

func TestClaimMetric(t *testing.T) {
	n := start(t)
	reg := prometheus.NewRegistry()
	a := newService(t, n.Addr(), "a", func(cfg *eventstore.Config) { cfg.Registerer = reg }).claims()
	held := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "permitledger_claim_held" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("there is no such metric")
		return 0
	}
	if held() != 1 {
		t.Error("a claim counts as not held")
	}
	a.claim.Release()
	if held() != 0 {
		t.Error("a claim that was released counts as held")
	}
}

// The claim names nobody but the process.
func TestClaimHasItsFields(t *testing.T) {
	n := start(t)
	a := newService(t, n.Addr(), "home of a").claims()
	var got map[string]any
	r := collect(t, a.store.Read(t.Context(), eventstore.ServiceStream, 0))[0]
	if err := json.Unmarshal(r.Data, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"holder", "home", "host", "pid", "version", "since"} {
		if got[name] == nil {
			t.Errorf("%s lacks %s", bytes.TrimSpace(r.Data), name)
		}
	}
	if len(got) != 6 {
		t.Errorf("%s has other members", r.Data)
	}
}
