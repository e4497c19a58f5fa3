package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func gauge(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// away gives a store that has been connected and knows that its server is away.
func away(t *testing.T, change ...func(*eventstore.Config)) broken {
	t.Helper()
	b := breakable(t, change...)
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Down()
	if _, err := b.store.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatal(err)
	}
	return b
}

func impatient(c *eventstore.Config) { c.Wait = 20 * time.Millisecond }

// Whether the store is there is told at any time, logged once, and shown.
func TestAnOutageIsTold(t *testing.T) {
	log := &lines{}
	b := breakable(t, impatient, func(c *eventstore.Config) {
		c.Logger = log.logger()
		c.ConnectionString = strings.Replace(c.ConnectionString, "esdb://", "esdb://leo:geheim@", 1)
	})
	if c := b.store.Connection(); c.Up || !c.Since.IsZero() || gauge(t, b.reg, "permitledger_eventstore_away_seconds") != 0 {
		t.Errorf("before the first call: %+v", c)
	}
	var followers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	caught := make(chan struct{}, 20)
	for range 5 {
		followers.Go(func() {
			_ = b.store.Subscribe(ctx, 0, funcs{caughtUp: func() error { caught <- struct{}{}; return nil }})
		})
	}
	wait := func() {
		for range 5 {
			<-caught
		}
	}
	wait()
	up := b.store.Connection()
	if !up.Up || up.Since.IsZero() || up.Reason != "" || gauge(t, b.reg, "permitledger_eventstore_up") != 1 {
		t.Errorf("once connected: %+v", up)
	}
	b.Down()
	for b.store.Connection().Up { // the readers hear of it at once
		_, _ = b.store.Head(t.Context())
	}
	for range 3 {
		if _, err := b.store.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Error(err)
		}
	}
	c := b.store.Connection()
	if c.Up || c.Since.Before(up.Since) || c.Reason == "" || strings.Contains(c.Reason, "geheim") {
		t.Errorf("while it is away: %+v", c)
	}
	if gauge(t, b.reg, "permitledger_eventstore_up") != 0 || gauge(t, b.reg, "permitledger_eventstore_away_seconds") <= 0 {
		t.Error("the metrics do not show it")
	}
	b.Up()
	wait()
	if c := b.store.Connection(); !c.Up || c.Since.Before(up.Since) {
		t.Errorf("once it is back: %+v", c)
	}
	stop()
	followers.Wait()
	if lost, found := log.count("event store connection lost"), log.count("event store connected"); lost != 1 || found != 1 {
		t.Errorf("one outage is logged as lost %d times and as found %d times:\n%s", lost, found, log.text.String())
	}
	if log.count("interrupted") != 0 || log.count("geheim") != 0 {
		t.Errorf("too much is logged:\n%s", log.text.String())
	}
}

// While the store is known to be away nobody waits for it, however many come,
// and when it is back all goes on.
func TestRequestsDoNotPileUp(t *testing.T) {
	b := away(t, impatient)
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for i := range 3000 {
		all.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = b.store.Append(t.Context(), fmt.Sprintf("permit-%d", i), eventstore.NoStream(), proposed(1))
			} else {
				for _, err = range b.store.Read(t.Context(), "permit-1", 0) {
				}
			}
			if !errors.Is(err, eventstore.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := runtime.NumGoroutine(); n > before+50 {
		t.Errorf("%d goroutines before 3000 requests, %d after them", before, n)
	}
	if n := outcomes(t, b.reg); n["unknown-resent"] != 0 || n["failed"] != 1500 {
		t.Errorf("%v: what could not be sent was sent again", n)
	}
	b.Up()
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	b.wantEvents(t, 1)
}

func (b broken) wantEvents(t *testing.T, want int) {
	t.Helper()
	if got := len(collect(t, b.direct.ReadAll(t.Context(), 0))); got != want {
		t.Errorf("the log holds %d events, want %d", got, want)
	}
}

// Those who come in the first moments wait, and are served if it was short.
func TestWhoWaitsIsServed(t *testing.T) {
	const n = 200
	b := breakable(t)
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Down()
	begun := make(chan struct{}, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			begun <- struct{}{}
			if _, err := b.store.Append(t.Context(), fmt.Sprintf("permit-%d", i), eventstore.NoStream(), proposed(1)); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-begun
	}
	b.Up()
	all.Wait()
	b.wantEvents(t, n)
}

// What may have been written is sent again until that is known, also while
// nothing new is begun any more.
func TestWhatMayHaveBeenSentIsNotGivenUp(t *testing.T) {
	b := breakable(t, impatient)
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	b.Do(faultproxy.LoseAnswers)
	batch := proposed(1)
	under := b.begin(t.Context(), "permit-1", eventstore.At(0), batch)
	b.awaitDirectly(t, batch[0].ID)
	b.Down()
	for { // until it is known, and has been for longer than anybody waits
		if _, err := b.store.Head(t.Context()); errors.Is(err, eventstore.ErrUnavailable) {
			break
		}
	}
	select {
	case got := <-under:
		t.Fatalf("it was given up: %+v", got)
	default:
	}
	b.Up()
	if got := <-under; got.err != nil || got.done.Revision != 1 {
		t.Errorf("%+v", got)
	}
	b.wantEvents(t, 2)
}

// A server that says nothing more is found out by whoever reads next.
func TestAReadDoesNotWaitForSilence(t *testing.T) {
	b := breakable(t, func(c *eventstore.Config) { c.TryTimeout = 200 * time.Millisecond })
	appendOne(t, b.store, "permit-1", eventstore.NoStream())
	for name, read := range map[string]func() error{
		"read": func() error {
			for _, err := range b.store.Read(t.Context(), "permit-1", 0) {
				return err
			}
			return errors.New("nothing")
		},
		"read all": func() error {
			for _, err := range b.store.ReadAll(t.Context(), 0) {
				return err
			}
			return errors.New("nothing")
		},
		"head": func() error { _, err := b.store.Head(t.Context()); return err },
	} {
		b.Do(faultproxy.LoseBoth)
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// doorkeeper turns away so many connections, says so, and then lets them in.
func doorkeeper(t *testing.T, target string, most int) (address string, all <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	enough := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for n := 0; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if n < most {
				_ = in.Close()
				continue
			}
			if n == most {
				close(enough)
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				running.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String(), enough
}

// A client of the store's maker gives up for good after ten attempts.
func TestDiscoveryNeverDies(t *testing.T) {
	n := start(t)
	for name, scheme := range map[string]string{"a node": "esdb://", "a cluster by its name": "esdb+discover://"} {
		t.Run(name, func(t *testing.T) {
			address, enough := doorkeeper(t, n.Addr(), 500)
			s := connect(t, "", func(c *eventstore.Config) {
				c.ConnectionString = scheme + address + "?tls=false&discoveryInterval=1&maxDiscoverAttempts=2"
			})
			if err := s.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case <-enough:
			default:
				t.Error("it was let in too soon")
			}
			if _, err := s.Head(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	b := away(t, impatient)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := b.store.Await(ctx); !errors.Is(err, eventstore.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Hundreds of broken connections leave nothing behind.
func TestReconnectingLeaksNothing(t *testing.T) {
	b := breakable(t)
	stream := func(i int) string { return fmt.Sprintf("permit-%d", i) }
	round := func(i int) {
		appendOne(t, b.store, stream(i), eventstore.NoStream())
		b.Do([]faultproxy.Harm{faultproxy.Cut, faultproxy.Reset}[i%2])
		if got := collect(t, b.store.Read(t.Context(), stream(i), 0)); len(got) != 1 {
			t.Fatalf("%d events", len(got))
		}
	}
	for i := range 20 {
		round(i)
	}
	before := runtime.NumGoroutine()
	for i := range 300 {
		round(20 + i)
	}
	// What is closing still may count, by far less than one for each.
	if n := runtime.NumGoroutine(); n > before+60 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before 300 broken connections, %d after:\n%s", before, n, buf[:runtime.Stack(buf, true)])
	}
	b.wantEvents(t, 320)
}
