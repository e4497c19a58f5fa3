package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"permitledger/eventstore/faultproxy"
)

// The program works for a town on a node of its own process, and what lies
// between them is broken again and again: the connection, at every kind of
// call, at every point of it, in every way; the node, which is killed or
// stopped and started again; the program itself. Each time the program is well
// again by itself, and at last everything that was acknowledged is there, once,
// in order.
//
// PERMITLEDGER_FAULTS says how many faults (300 need most of an hour),
// PERMITLEDGER_FAULT_SEED repeats a plan.
func TestFaultsBetweenTheProgramAndItsNode(t *testing.T) {
	faults, seed, dir := ordeal(t, "FAULT", 10)
	b := newBreaker(t, dir, seed)
	every := min(max(faults/5, 3), 40)
	for n := range faults {
		b.strike(n)
		if last := n == faults-1; last || (n+1)%every == 0 {
			b.check(n+1, last)
		}
		if t.Failed() {
			t.Fatalf("after %d faults", n+1)
		}
	}
	b.report()
}

// struckCall is a kind of call that the program makes, and when it comes.
type struckCall struct {
	kind  faultproxy.Kind
	comes string
}

// struckCalls is every kind of call that the program makes.
var struckCalls = []struckCall{
	{faultproxy.Features, onceConnected},
	{faultproxy.Append, always},
	{faultproxy.ReadStream, always},
	{faultproxy.ReadAll, always},
	{faultproxy.SubscribeAll, onceConnected},
	{faultproxy.GroupRead, onceConnected},
	{faultproxy.GroupInfo, twiceAMinute},
	{faultproxy.GroupCreate, atFirst},
}

const (
	always        = "always"
	onceConnected = "once for each connection" // and is made to come by a cut
	twiceAMinute  = "twice a minute"           // too seldom for a short run
	atFirst       = "at the first start"
)

// breaker breaks what lies between a program and its node.
type breaker struct {
	*killer
	proxy   *faultproxy.Proxy
	node    *running
	service *running
	ended   func() // waits for the town, which works
	patient bool   // faults that only the pings of the connection find out have their time

	canary  string // the account of it
	song    *deed  // its last command
	songs   int
	first   *faultproxy.Armed        // met at the first start
	longest map[string]time.Duration // until all was well again, by what was done
	count   map[string]int
}

func newBreaker(t *testing.T, dir string, seed uint64) *breaker {
	t.Helper()
	b := &breaker{killer: &killer{t: t, seed: seed, dir: dir, data: filepath.Join(dir, "data"), town: newTown(t, seed, 8), began: time.Now()},
		proxy: faultproxy.New(t, ""), patient: os.Getenv("PERMITLEDGER_FAULTS") != "",
		longest: map[string]time.Duration{}, count: map[string]int{}}
	b.town.today = time.Now()
	b.startNode()
	b.serve = []string{"serve", "--data", b.data, "--eventstore", "esdb://" + b.proxy.Addr() + "?tls=false", "--listen", "127.0.0.1:0",
		"--tokens", b.town.tokens(dir), "--log-level", "error"}
	random := rand.New(rand.NewPCG(seed, 1<<33))
	b.first = b.proxy.Arm(b.harm(random, faultproxy.GroupCreate))
	b.startService()
	first := deed{by: "olga", path: "/accounts", media: jsonMedia, key: "canary", body: `{"name":"Canary"}`, writes: "AccountOpened"}
	var opened struct{ AccountID string }
	if !b.town.give(&first) || json.Unmarshal([]byte(first.answer), &opened) != nil {
		t.Fatalf("the first command: %d %s", first.status, first.answer)
	}
	b.canary = opened.AccountID
	b.letWork()
	return b
}

func (b *breaker) letWork() {
	b.town.stays = make(chan struct{})
	b.ended = b.town.work(false)
}

func (b *breaker) startNode() {
	b.t.Helper()
	b.node = launch(b.t, "node", "--listen", "127.0.0.1:0", "--data", filepath.Join(b.dir, "log"), "--log-level", "error")
	b.store = []string{"--eventstore", b.node.address}
	address, _, _ := strings.Cut(strings.TrimPrefix(b.node.address, "esdb://"), "?")
	b.proxy.Retarget(address)
}

// strike does one fault, all of whose chances follow from the seed and its
// number, and waits until all is well.
func (b *breaker) strike(n int) {
	b.t.Helper()
	random := rand.New(rand.NewPCG(b.seed, uint64(n)))
	if random.IntN(8) == 0 { // a read model is being made again meanwhile
		b.town.hall.rebuild(deed{by: "ada", media: jsonMedia, key: fmt.Sprintf("rebuild-%d", n)})
	}
	b.pause(within(random, 10*time.Millisecond, time.Second))
	f := b.draw(random)
	away := within(random, time.Millisecond, time.Second)
	killNode := func() { b.killNode(away) }
	nothing := func() {}
	what := ""
	switch chance := random.IntN(20); {
	case chance < 11:
		what = b.meet(f, nothing, nothing)
	case chance < 13:
		what = "node killed"
		killNode()
	case chance < 14:
		what = b.meet(f, nothing, killNode) + ", node killed"
	case chance < 15:
		what = "node stopped"
		if code := b.node.terminate(); code != 0 {
			b.t.Errorf("told to stop, the node ended with exit code %d:\n%s", code, b.node.said())
		}
		b.heard(b.node)
		b.startNode()
	case chance < 16:
		what = "node out of reach"
		b.proxy.Down()
		b.pause(away)
		b.proxy.Up()
	case chance < 18:
		what = "service killed"
		b.restart()
	case chance < 19:
		what = b.meet(f, nothing, b.restart) + ", service killed"
	default:
		what = b.meet(f, b.restart, nothing) + ", while the service starts"
	}
	b.awaitWell(n, what)
}

// draw gives a fault at any kind of call that comes again.
func (b *breaker) draw(random *rand.Rand) faultproxy.Fault {
	for {
		c := struckCalls[random.IntN(len(struckCalls))]
		if c.comes == always || c.comes == onceConnected || c.comes == twiceAMinute && b.patient {
			return b.harm(random, c.kind)
		}
	}
}

// harm gives a fault of a kind of call. A short run has no time for those that
// only the pings of the connection find out.
func (b *breaker) harm(random *rand.Rand, kind faultproxy.Kind) faultproxy.Fault {
	points, harms := faultproxy.Points(), faultproxy.Harms()
	if !b.patient {
		harms = []faultproxy.Harm{faultproxy.Cut, faultproxy.Reset, faultproxy.EndRequests, faultproxy.EndAnswers, faultproxy.Delay}
	}
	return faultproxy.Fault{Kind: kind, At: points[random.IntN(len(points))], Harm: harms[random.IntN(len(harms))],
		For: within(random, time.Millisecond, 2*time.Second)}
}

// meet has a call meet a fault, after something was done that makes calls, and
// does something right then.
func (b *breaker) meet(f faultproxy.Fault, before, then func()) string {
	b.t.Helper()
	armed := b.proxy.Arm(f)
	before()
	for _, c := range struckCalls {
		if c.kind == f.Kind && c.comes == onceConnected {
			b.proxy.Do(faultproxy.Cut)
		}
	}
	select {
	case <-armed.Struck():
	case <-time.After(wellAgain):
		b.proxy.Disarm(armed)
		b.t.Errorf("no %s came that could meet a fault", f.Kind)
	}
	then()
	return string(f.Harm)
}

func (b *breaker) killNode(away time.Duration) {
	b.node.kill()
	b.heard(b.node)
	b.pause(away)
	b.startNode()
}

// restart kills the service and starts it again.
func (b *breaker) restart() {
	b.service.kill()
	b.heard(b.service)
	b.startService()
}

// startService starts the service. Where the store does not answer it may end
// and say so, as whoever looks after it starts it again.
func (b *breaker) startService() {
	b.t.Helper()
	for range 5 {
		b.service = begin(b.t, b.serve...)
		select {
		case address := <-b.service.serves:
			b.town.open(address)
			return
		case <-b.service.silent:
			if code := b.service.wait(); code != 1 || !strings.Contains(b.service.said(), "the event store is not available") {
				b.t.Fatalf("the service did not start and ended with exit code %d:\n%s", code, b.service.said())
			}
			b.count["started in vain, as the store did not answer"]++
		case <-time.After(howLong):
			_ = b.service.cmd.Process.Signal(syscall.SIGQUIT) // it says what it hangs in
			<-b.service.silent
			b.t.Fatalf("the service does not start:\n%s", b.service.said())
		}
	}
	b.t.Fatalf("the service does not start, although its store is there:\n%s", b.service.said())
}

func (b *breaker) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.t.Context().Done():
	}
}
