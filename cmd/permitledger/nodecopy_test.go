package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// filled is the folder of a log with so many events, on which no node runs.
func filled(t *testing.T, dir string, events int) (log string) {
	t.Helper()
	log = filepath.Join(dir, "source")
	n := launchNode(t, log)
	s := store(t, n.connection)
	last := map[string]int64{}
	for i := range events {
		stream := fmt.Sprintf("permit-%d", i%37)
		revision, there := last[stream]
		if !there {
			revision = -1
		}
		if _, err := s.Append(t.Context(), stream, eventstore.After(revision), written(uuid.New())); err != nil {
			t.Fatal(err)
		}
		last[stream] = revision + 1
	}
	_ = s.Close()
	n.stop()
	return log
}

// copyReport is what programs read of a copy.
type copyReport struct {
	Verified                                         bool
	Events, Appended, LedgerEvents, LastLedgerNumber uint64
	SourceDigest, TargetDigest                       string
	LeftBehind                                       map[string]uint64
	MovedOn, SameLog                                 bool
}

func reported(t *testing.T, out string) (r copyReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// A copy is interrupted, killed and cut off at random places, and each time the
// same command goes on; in the end it is whole and verified. Where the target
// has got another order the copy begins again with an empty one, which is
// counted and rare. PERMITLEDGER_COPY_BREAKS says how often it is broken off.
func TestNodeCopyInterrupted(t *testing.T) {
	const events = 1500
	breaks, seed, dir := ordeal(t, "COPY_BREAK", 8)
	b := &copyBreaker{t: t, dir: dir, log: filled(t, dir, events), events: events, random: rand.New(rand.NewPCG(seed, 0)), left: breaks}
	for b.left > 0 {
		b.copyOnce()
	}
	t.Logf("%d copies; broken off: %v; begun again: %d", b.copies, b.count, b.begunAgain)
	if b.begunAgain > breaks/10 {
		t.Errorf("%d of %d breaks made the copy begin again", b.begunAgain, breaks)
	}
}

// copyBreaker breaks off copies of one log.
type copyBreaker struct {
	t        *testing.T
	dir, log string
	events   int
	random   *rand.Rand
	left     int // breaks

	copies, begunAgain int
	count              map[string]int // breaks by kind
}

// copyOnce copies into a node of its own, however often that is broken off.
func (b *copyBreaker) copyOnce() {
	b.t.Helper()
	b.copies++
	target := launchNode(b.t, filepath.Join(b.dir, fmt.Sprintf("target-%d", b.copies)))
	defer target.stop()
	address := strings.TrimPrefix(target.connection, "esdb://")
	address, _, _ = strings.Cut(address, "?")
	proxy := faultproxy.New(b.t, address)
	defer proxy.Down()
	to := store(b.t, target.connection)
	defer to.Close()
	args := []string{"node", "copy", "--data", b.log, "--to", "esdb://" + proxy.Addr() + "?tls=false", "--log-level", "error"}
	for done := false; !done; {
		var again bool
		if done, again = b.brokenOff(args, to, proxy); again {
			b.begunAgain++
			return
		}
	}
	out, said, code := typed(b.t, append(args, "--json")...)
	n := uint64(b.events)
	want := copyReport{Verified: true, Events: n, LedgerEvents: n, LastLedgerNumber: n, LeftBehind: map[string]uint64{}}
	got := reported(b.t, out)
	if got.SourceDigest == "" || got.SourceDigest != got.TargetDigest || code != 0 {
		b.t.Errorf("exit code %d, %s%s", code, out, said)
	}
	got.SourceDigest, got.TargetDigest = "", ""
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("reported (-want +got):\n%s", diff)
	}
}

// brokenOff runs the copy and breaks it off somewhere. It reports whether the
// copy was done all the same, or has to begin again.
func (b *copyBreaker) brokenOff(args []string, to *eventstore.Store, proxy *faultproxy.Proxy) (done, again bool) {
	b.t.Helper()
	cmd := exec.Command("permitledger", args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	head, err := to.Head(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	how := []string{"interrupted", "killed", "cut off"}[b.random.IntN(3)]
	strikeAfter(b.t, to, head, b.random.IntN(b.events/6), ended, func() {
		if b.count == nil {
			b.count = map[string]int{}
		}
		b.count[how]++
		b.left--
		switch how {
		case "interrupted":
			_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		case "killed":
			_ = cmd.Process.Kill()
		default:
			proxy.Do(faultproxy.Cut)
		}
	})
	err = <-ended
	switch text := said.String(); {
	case err == nil:
		return true, false
	case strings.Contains(text, "begin again"):
		b.t.Logf("%s: %s", how, text)
		return false, true
	case how == "interrupted":
		contains(b.t, text, "stopped before it was done", "run the same command again")
	case how == "cut off":
		b.t.Fatalf("a copy that was cut off ended: %v\n%s", err, text)
	}
	return false, false
}

// strikeAfter calls strike once so many more events have come into a log,
// unless the process has ended before.
func strikeAfter(t *testing.T, s *eventstore.Store, head eventstore.Position, events int, ended chan error, strike func()) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	go func() {
		err := <-ended
		ended <- err // for the caller
		stop()
	}()
	n := 0
	err := s.Subscribe(ctx, head, onEvent(func() {
		if n++; n == events+1 {
			strike()
			stop()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// onEvent hears of each event of a subscription.
type onEvent func()

func (f onEvent) Event(eventstore.Recorded) error  { f(); return nil }
func (onEvent) CaughtUp() error                    { return nil }
func (onEvent) Progress(eventstore.Position) error { return nil }

// Every kind of source can be named; what makes no sense is refused with what
// to do.
func TestNodeCopySources(t *testing.T) {
	dir := place(t)
	log := filled(t, dir, 5)
	one, two, three := launchNode(t, filepath.Join(dir, "one")), launchNode(t, filepath.Join(dir, "two")), launchNode(t, filepath.Join(dir, "three"))
	copied := func(to *lone, args ...string) string {
		t.Helper()
		return permitledger(t, append([]string{"node", "copy", "--to", to.connection, "--log-level", "error"}, args...)...)
	}
	refuses := func(args ...string) string {
		t.Helper()
		return refused(t, append([]string{"node", "copy", "--log-level", "error"}, args...)...)
	}
	contains(t, copied(one, "--data", log), "the same 5 events", "copied now   5 in", "the last ledger number is 5")
	contains(t, copied(two, "--from", one.connection), "copied now   5 in")
	contains(t, copied(three, "--data", filepath.Join(dir, "two")), "copied now   5 in") // a node runs there
	contains(t, copied(three, "--data", log), "copied now   0 in", "5 were there already")
	contains(t, copied(one, "--from", one.connection), "one and the same log")

	s := store(t, three.connection)
	if _, err := s.Append(t.Context(), "permit-more", eventstore.NoStream(), written(uuid.New())); err != nil {
		t.Fatal(err)
	}
	contains(t, refuses("--data", log, "--to", three.connection), "no copy of this source", "event 6 of the target", "permit-more", "Name an event store that is empty")
	contains(t, refuses("--data", filepath.Join(dir, "nowhere"), "--to", three.connection), "there is no log here", "--from")
	contains(t, refuses("--data", log, "--to", "nonsense"), "--to: connection string")
	contains(t, refuses("--data", log, "--to", ""), "--to: no connection string")
	contains(t, refuses("--from", "esdb://one,two,", "--to", three.connection, "--from-credentials-file", "missing"), "--from: ")
	contains(t, refuses("--data", log, "--to", three.connection, "--from-credentials-file", "missing"), "goes with --from")
}

// A ledger that is in use can be copied, but then the copy is only its
// beginning, and no success.
func TestNodeCopyOfALedgerInUse(t *testing.T) {
	dir := place(t)
	data := filepath.Join(dir, "data")
	target := launchNode(t, filepath.Join(dir, "target"))
	r := launch(t, serveArgs(t, data)...)
	l := startLoad(t, r, 4)
	l.reach(50)
	args := []string{"node", "copy", "--data", data, "--to", target.connection, "--log-level", "error"}
	out, said, code := typed(t, append(args, "--json")...)
	if got := reported(t, out); code != 1 || !got.MovedOn || !got.Verified || got.Events < 50 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	contains(t, said, "stop what writes there and run the same command again")
	r.terminate()
	l.finish()
	contains(t, permitledger(t, args...), "Verified")
}
