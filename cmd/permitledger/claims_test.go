package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// Two folders and one log: a service works for a town, something happens to it,
// and the service of another folder takes its place, as at a fail-over. Every
// event that the former service acknowledged lies before the claim of the next
// one, the former one ends by itself, and at last everything acknowledged is
// there, once, and can be read.
//
// PERMITLEDGER_CLAIMS says how many rounds (200 need most of an hour),
// PERMITLEDGER_CLAIM_SEED repeats a plan.
func TestFailOvers(t *testing.T) {
	rounds, seed, dir := ordeal(t, "CLAIM", len(mishaps))
	if os.Getenv(claimScaleVariable) == "" {
		t.Setenv(claimScaleVariable, "0.2")
	}
	f := newFailOver(t, dir, seed)
	for n := range rounds {
		f.round(n, mishaps[(n+int(seed%uint64(len(mishaps))))%len(mishaps)])
		if last := n == rounds-1; last || (n+1)%25 == 0 {
			f.check(n+1, last)
		}
		if t.Failed() {
			t.Fatalf("after %d rounds", n+1)
		}
	}
}

// One fail-over with the times that operators have.
func TestFailOverAtFullLength(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of a minute")
	}
	_, seed, dir := ordeal(t, "CLAIM", 1)
	t.Setenv(claimScaleVariable, "1")
	f := newFailOver(t, dir, seed)
	f.round(0, mishap{"stopped", func(f *failOver) { f.signal(syscall.SIGSTOP) }, func(f *failOver) { f.signal(syscall.SIGCONT) }})
	f.check(1, true)
}

// mishap is what happens to the service that holds the claim. After undone it
// comes to know that another one has claimed the store, unless undone is nil:
// then it is dead, or has released its claim.
type mishap struct {
	name   string
	do     func(*failOver)
	undone func(*failOver)
}

var mishaps = []mishap{
	{"killed", func(f *failOver) { f.holder.kill() }, nil},
	{"stopped", func(f *failOver) { f.signal(syscall.SIGSTOP) }, func(f *failOver) { f.signal(syscall.SIGCONT) }},
	{"cut off", func(f *failOver) { f.proxies[f.at].Down(); f.awaitUnconfirmed() }, func(f *failOver) { f.proxies[f.at].Up() }},
	{"half-open", func(f *failOver) {
		f.proxies[f.at].Do(faultproxy.LoseBoth)
		f.proxies[f.at].Refuse()
		f.awaitUnconfirmed()
	}, func(f *failOver) { f.proxies[f.at].Up() }},
	{"answers held back", func(f *failOver) {
		f.proxies[f.at].Arm(faultproxy.Fault{Kind: faultproxy.Append, At: faultproxy.BeforeAnswer, Harm: faultproxy.Delay, For: f.scaled(60 * time.Second)})
		f.proxies[f.at].Refuse() // the connection that is held up is the only one
		f.awaitUnconfirmed()
	}, func(f *failOver) { f.proxies[f.at].Up() }},
	{"told to stop", func(f *failOver) {
		if code := f.holder.terminate(); code != 0 {
			f.t.Errorf("told to stop, it ended with exit code %d:\n%s", code, f.holder.said())
		}
	}, nil},
}

// failOver is two folders, each behind a proxy, and the service that holds the
// claim.
type failOver struct {
	*killer
	proxies [2]*faultproxy.Proxy
	folders [2]string
	node    *running
	log     *eventstore.Store
	at      int // the folder of the holder
	holder  *running
	ended   func() // waits for the town

	mu    sync.Mutex
	acked []acked // guarded by mu
}

// acked is an answer that says that a command is done.
type acked struct {
	address, key string
	position     eventstore.Position
}

func newFailOver(t *testing.T, dir string, seed uint64) *failOver {
	f := &failOver{killer: &killer{t: t, seed: seed, dir: dir, town: newTown(t, seed, 8), began: time.Now()}}
	f.town.today = time.Now()
	f.town.seen = f.see
	f.node = launch(t, "node", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "log"), "--log-level", "error")
	f.store = []string{"--eventstore", f.node.address}
	address, _, _ := strings.Cut(strings.TrimPrefix(f.node.address, "esdb://"), "?")
	var err error
	if f.log, err = eventstore.Connect(eventstore.Config{ConnectionString: f.node.address}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.log.Close() })
	tokens := f.town.tokens(dir)
	f.serve = []string{"--listen", "127.0.0.1:0", "--tokens", tokens, "--log-level", "info"}
	for i := range f.folders {
		f.folders[i], f.proxies[i] = filepath.Join(dir, strconv.Itoa(i)), faultproxy.New(t, address)
	}
	f.holder = f.begin(0).served()
	f.town.open(f.holder.address)
	f.letWork()
	return f
}

func (f *failOver) scaled(d time.Duration) time.Duration {
	scale, err := claimScale()
	if err != nil {
		f.t.Fatal(err)
	}
	return time.Duration(scale * float64(d))
}

func (f *failOver) see(address, key string, status int, answer string) {
	var done struct{ Position string }
	if status >= 300 || json.Unmarshal([]byte(answer), &done) != nil || done.Position == "" {
		return
	}
	position, err := eventstore.ParsePosition(done.Position)
	if err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = append(f.acked, acked{address, key, position})
}

func (f *failOver) letWork() {
	f.town.stays = make(chan struct{})
	f.ended = f.town.work(false)
}

// begin starts a service on a folder.
func (f *failOver) begin(i int) *running {
	f.t.Helper()
	return begin(f.t, f.command(f.folders[i], f.proxies[i])...)
}

func (f *failOver) command(data string, proxy *faultproxy.Proxy) []string {
	return append([]string{"serve", "--data", data, "--eventstore", "esdb://" + proxy.Addr() + "?tls=false&discoveryInterval=10"}, f.serve...)
}

func (f *failOver) signal(s os.Signal) {
	if err := f.holder.cmd.Process.Signal(s); err != nil {
		f.t.Fatal(err)
	}
}

// awaitUnconfirmed waits until the holder says that it does nothing.
func (f *failOver) awaitUnconfirmed() {
	f.t.Helper()
	for until := time.Now().Add(howLong); time.Now().Before(until); f.pause() {
		if res, err := http.Get("http://" + f.holder.address + "/metrics"); err == nil {
			text, _ := io.ReadAll(res.Body) // an answer that breaks off is asked for again
			_ = res.Body.Close()
			if strings.Contains(string(text), "\npermitledger_claim_held 0\n") {
				return
			}
		}
	}
	f.t.Fatalf("the holder does not lose its claim:\n%s", f.holder.said())
}

func (f *failOver) pause() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-f.t.Context().Done():
	}
}

// round has something happen to the holder, and another service take its place.
func (f *failOver) round(n int, m mishap) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(f.seed, uint64(n)))
	began := time.Now()
	f.restartHolder(random)
	f.refusedStarts(n)
	f.awaitWork(n, 5)
	select {
	case <-time.After(within(random, 10*time.Millisecond, time.Second)):
	case <-f.holder.silent:
		f.t.Fatalf("round %d: the holder ended by itself:\n%s", n, f.holder.said())
	}
	former, from, address := f.holder, f.at, f.holder.address
	m.do(f)
	f.at = 1 - f.at
	f.bringOver(former, from, f.folders[f.at], m)
	next := f.takesPlace(random)
	if m.undone != nil {
		f.holder, f.at = former, from
		m.undone(f)
		select {
		case <-former.silent:
		case <-time.After(howLong):
			_ = former.cmd.Process.Signal(syscall.SIGQUIT)
			<-former.silent
			f.t.Fatalf("round %d, %s: the former holder goes on:\n%s", n, m.name, former.said())
		}
		if code := former.wait(); code != 1 || !strings.Contains(former.said(), eventstore.ErrClaimed.Error()) {
			f.t.Errorf("round %d, %s: the former holder ended with exit code %d:\n%s", n, m.name, code, former.said())
		}
		f.at = 1 - from
	}
	f.heard(former)
	f.holder = next
	f.town.open(next.address)
	f.proxies[from].Up()
	f.acknowledgedBefore(n, m, address, next)
	f.t.Logf("round %d, %s: %.1f s", n, m.name, time.Since(began).Seconds())
}

// restartHolder kills the holder, now and then, and starts it on its folder.
func (f *failOver) restartHolder(random *rand.Rand) {
	f.t.Helper()
	if random.IntN(3) > 0 {
		return
	}
	f.holder.kill()
	f.heard(f.holder)
	f.holder = f.begin(f.at).served()
	f.town.open(f.holder.address)
	took := regexp.MustCompile(`msg="event store claimed" after=(\S+)`).FindStringSubmatch(f.holder.said())
	if took == nil {
		f.t.Fatalf("it claimed nothing:\n%s", f.holder.said())
	}
	if d, err := time.ParseDuration(took[1]); err != nil || d > time.Second {
		f.t.Errorf("a restart on the same folder waited %s for its claim", took[1])
	}
}

// refusedStarts starts services on a copy of the folder beside the living
// holder: they are refused, and the holder goes on.
func (f *failOver) refusedStarts(n int) {
	f.t.Helper()
	starts := map[bool]int{true: 50, false: 1}[n%50 == 49]
	if n%3 > 0 && starts == 1 {
		return
	}
	third := filepath.Join(f.dir, "third")
	f.bringOver(f.holder, f.at, third, mishap{})
	for range starts {
		said := refused(f.t, f.command(third, f.proxies[f.at])...)
		contains(f.t, said, eventstore.ErrClaimed.Error(), "Stop that one", "process "+strconv.Itoa(f.holder.cmd.Process.Pid)+" on ")
	}
}

// awaitWork waits until the holder has acknowledged so many commands.
func (f *failOver) awaitWork(n, commands int) {
	f.t.Helper()
	for until := time.Now().Add(howLong); time.Now().Before(until); f.pause() {
		f.mu.Lock()
		count := 0
		for _, a := range f.acked {
			if a.address == f.holder.address {
				count++
			}
		}
		f.mu.Unlock()
		if count >= commands {
			return
		}
	}
	f.t.Fatalf("round %d: the holder takes no commands:\n%s", n, f.holder.said())
}

// takesPlace starts the service of the other folder. Now and then two more folders
// start beside it, and one of the three claims the store: all have the same keep.
func (f *failOver) takesPlace(random *rand.Rand) *running {
	f.t.Helper()
	if random.IntN(3) > 0 {
		return f.awaitServes(f.begin(f.at))
	}
	var beside []*running
	for _, name := range []string{"beside-1", "beside-2"} {
		dir := filepath.Join(f.dir, name)
		f.copyFolder(f.folders[f.at], dir)
		beside = append(beside, begin(f.t, f.command(dir, f.proxies[f.at])...))
	}
	next := f.begin(f.at)
	for _, r := range beside { // whichever was first, the folder of this test takes its place
		select {
		case <-r.serves:
			if code := r.terminate(); code != 0 {
				f.t.Errorf("told to stop, it ended with exit code %d:\n%s", code, r.said())
			}
		case <-r.silent:
			if code := r.wait(); code != 1 || !strings.Contains(r.said(), "refuses a second one") {
				f.t.Errorf("one of three ended with exit code %d:\n%s", code, r.said())
			}
		case <-time.After(howLong):
			f.t.Fatalf("one of three does not start:\n%s", r.said())
		}
	}
	select {
	case next.address = <-next.serves:
		return next
	case <-next.silent:
		if !strings.Contains(next.said(), "refuses a second one") {
			f.t.Fatalf("it did not start:\n%s", next.said())
		}
	case <-time.After(howLong):
		f.t.Fatalf("it does not start:\n%s", next.said())
	}
	return f.awaitServes(f.begin(f.at))
}

func (f *failOver) awaitServes(r *running) *running {
	f.t.Helper()
	select {
	case r.address = <-r.serves:
	case <-r.silent:
		f.t.Fatalf("it did not start and ended with exit code %d:\n%s", r.wait(), r.said())
	case <-time.After(howLong):
		_ = r.cmd.Process.Signal(syscall.SIGQUIT)
		<-r.silent
		f.t.Fatalf("it does not start:\n%s", r.said())
	}
	return r
}

// bringOver copies what cannot be rebuilt to another folder, as it is at one
// moment: a service that runs there is stopped meanwhile.
func (f *failOver) bringOver(r *running, from int, to string, m mishap) {
	f.t.Helper()
	runs := r.cmd.ProcessState == nil && m.name != "killed"
	if runs {
		_ = r.cmd.Process.Signal(syscall.SIGSTOP)
	}
	f.copyFolder(f.folders[from], to)
	if runs && m.name != "stopped" {
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
	}
}

// copyFolder replaces all but the read models, which are made from the log.
func (f *failOver) copyFolder(from, to string) {
	f.t.Helper()
	entries, err := os.ReadDir(to)
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "projections" {
			if err := os.RemoveAll(filepath.Join(to, e.Name())); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case rel == "projections":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// acknowledgedBefore checks that every event acknowledged by the former holder
// is in the log before the claim of the next.
func (f *failOver) acknowledgedBefore(n int, m mishap, former string, next *running) {
	f.t.Helper()
	var claimed eventstore.Position
	for r, err := range f.log.Read(f.t.Context(), eventstore.ServiceStream, 0) {
		var claim eventstore.ServiceClaim
		if err == nil {
			err = json.Unmarshal(r.Data, &claim)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if r.Type == "Claimed" && claim.PID == next.cmd.Process.Pid {
			claimed = r.Position
		}
	}
	if claimed == 0 {
		f.t.Fatalf("round %d, %s: the next service has not claimed the store", n, m.name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.acked {
		if a.address == former && a.position > claimed {
			f.t.Errorf("round %d, %s: %s was acknowledged at position %s, behind the claim at %s", n, m.name, a.key, a.position, claimed)
		}
	}
	f.acked = nil
}

// check has the town stop for a while and looks whether everything that was
// acknowledged is there, and can be read.
func (f *failOver) check(rounds int, last bool) {
	f.t.Helper()
	close(f.town.stays)
	f.ended()
	f.town.settle()
	all := f.town.answered(0)
	f.data = f.folders[f.at]
	f.allOnce(all, last)
	events := f.checkHistory(f.data, all, true)
	f.checkModels()
	f.checked = len(all)
	f.t.Logf("%d rounds: %d commands acknowledged, %d events, refused %v; %.1f s", rounds, len(all), events, f.town.refused, time.Since(f.began).Seconds())
	if !last {
		f.letWork()
		return
	}
	if code := f.holder.terminate(); code != 0 {
		f.t.Errorf("stopped with exit code %d:\n%s", code, f.holder.said())
	}
	if by, held, err := f.log.ClaimHolder(f.t.Context()); err != nil || held {
		f.t.Errorf("after a clean stop the store is held by %s (%v)", by, err)
	}
}
