package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// howLong is how long anything may take before it counts as hanging.
const howLong = 2 * time.Minute

// The program is killed at random instants while a town uses it: as it starts,
// catches up, makes read models again, backs up, stops. Afterwards, and now and
// then on the way, all that was acknowledged is there once, the history breaks
// no rule, and every read model is as the log makes it.
//
// PERMITLEDGER_KILLS says how many kills (1000 need a -timeout of more than the
// usual ten minutes), PERMITLEDGER_KILL_SEED repeats a plan. When kills are
// asked for, the folder of a failed run is kept.
func TestReadModelsAfterRandomKills(t *testing.T) {
	kills, seed, dir := ordeal(t, "KILL", 8)
	k := newKiller(t, dir, seed)
	every := min(max(kills/10, 4), 50) // a check costs as much as many kills
	for n := range kills {
		k.kill(n)
		if last := n == kills-1; last || (n+1)%every == 0 {
			k.check(n+1, last)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
	}
}

// ordeal reads from the environment how many blows a test deals and by which
// seed, as PERMITLEDGER_KILLS and PERMITLEDGER_KILL_SEED do for kills. Unasked
// they are few and of a new seed. It gives a folder, which stays where a test
// failed that was asked for.
func ordeal(t *testing.T, blow string, few int) (blows int, seed uint64, dir string) {
	t.Helper()
	count := os.Getenv("PERMITLEDGER_" + blow + "S")
	blows, seed = few, rand.Uint64()
	var err error
	if count != "" {
		if blows, err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("PERMITLEDGER_" + blow + "_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if dir, err = os.MkdirTemp("", "pl-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && count != "" {
			t.Logf("what is left is in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	t.Logf("PERMITLEDGER_%sS=%d PERMITLEDGER_%s_SEED=%d", blow, blows, blow, seed)
	return blows, seed, dir
}

// killer starts the program on one folder and kills it.
type killer struct {
	t     *testing.T
	seed  uint64
	dir   string
	data  string
	serve []string
	store []string // flags for a log that is not in the data folder
	town  *town
	began time.Time

	checked  int     // deeds that were answered when the last check was made
	backup   *copied // the latest whole one, until it is checked
	backups  int
	unserved int // kills before the service served
}

func newKiller(t *testing.T, dir string, seed uint64) *killer {
	k := &killer{t: t, seed: seed, dir: dir, data: filepath.Join(dir, "data"), town: newTown(t, seed, 16), began: time.Now()}
	k.serve = []string{"serve", "--data", k.data, "--listen", "127.0.0.1:0", "--tokens", k.town.tokens(dir),
		"--demo-clock", "2026-03-02T09:00:00Z", "--log-level", "error"}
	return k
}

// within draws a duration, short ones as often as long ones: what is
// delicate is over soon.
func within(random *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Exp(random.Float64()*math.Log(float64(most)/float64(least))))
}

// kill makes one round, all of whose chances follow from the seed and its number.
func (k *killer) kill(n int) {
	k.t.Helper()
	random := rand.New(rand.NewPCG(k.seed, uint64(n)))
	if n > 0 && random.IntN(30) == 0 {
		k.loseModels(random)
	}
	switch what := random.IntN(20); {
	case what < 4:
		k.killStarting(k.serve, within(random, time.Millisecond, 500*time.Millisecond))
	case what < 6 && n > k.unserved: // a service served, so there is a ledger
		tool := [][]string{{"projections", "rebuild"}, {"projections", "verify"}, {"replay"},
			{"backup", filepath.Join(k.dir, "killed")}}[random.IntN(4)]
		k.killStarting(append(tool, "--data", k.data, "--log-level", "error"), within(random, 10*time.Millisecond, time.Second))
		if err := os.RemoveAll(filepath.Join(k.dir, "killed")); err != nil {
			k.t.Fatal(err)
		}
	default:
		k.killServing(random)
	}
}

// loseModels removes the files of a read model, as one may while nothing runs.
func (k *killer) loseModels(random *rand.Rand) {
	names, err := filepath.Glob(filepath.Join(k.data, "projections", "*.db*"))
	if err != nil || len(names) == 0 {
		k.t.Logf("no read models are there to be lost (%v)", err)
		return
	}
	name, _, _ := strings.Cut(filepath.Base(names[random.IntN(len(names))]), ".")
	for _, path := range names {
		if strings.HasPrefix(filepath.Base(path), name+".") {
			if err := os.Remove(path); err != nil {
				k.t.Fatal(err)
			}
		}
	}
}

// killStarting kills a program so long after its start, whatever it does then.
func (k *killer) killStarting(args []string, after time.Duration) {
	k.t.Helper()
	r := begin(k.t, args...)
	select {
	case <-r.silent:
		if code := r.wait(); code != 0 || args[0] == "serve" {
			k.t.Fatalf("permitledger %v ended by itself with exit code %d:\n%s", args, code, r.said())
		}
	case <-time.After(after):
		r.kill()
	}
	if args[0] == "serve" && r.said() == "" {
		k.unserved++
	}
	k.heard(r)
}

// killServing kills a service at work, or some time after it was told to stop.
func (k *killer) killServing(random *rand.Rand) {
	k.t.Helper()
	r := k.start()
	ended := k.town.work(random.IntN(4) == 0)
	copied := func() {}
	if random.IntN(25) == 0 {
		copied = k.takeBackup()
	}
	select {
	case <-r.silent:
		k.t.Fatalf("the service ended by itself with exit code %d:\n%s", r.wait(), r.said())
	case <-time.After(within(random, time.Millisecond, 1500*time.Millisecond)):
	}
	if random.IntN(6) == 0 {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			k.t.Fatal(err)
		}
		select {
		case <-r.silent:
			if code := r.wait(); code != 0 {
				k.t.Errorf("told to stop, the service ended with exit code %d:\n%s", code, r.said())
			}
		case <-time.After(within(random, time.Millisecond, 200*time.Millisecond)):
		}
	}
	r.kill()
	ended()
	copied()
	k.town.leave()
	k.heard(r)
}

// start starts the service and lets the town in.
func (k *killer) start() *running {
	k.t.Helper()
	r := begin(k.t, k.serve...)
	select {
	case address := <-r.serves:
		k.town.open(address)
	case <-r.silent:
		k.t.Fatalf("the service did not start and ended with exit code %d:\n%s", r.wait(), r.said())
	case <-time.After(howLong):
		_ = r.cmd.Process.Signal(syscall.SIGQUIT) // it says what it hangs in
		<-r.silent
		k.t.Fatalf("the service does not start:\n%s", r.said())
	}
	return r
}

// wait gives the exit code of a program that has ended.
func (r *running) wait() int {
	_ = r.cmd.Wait() // the exit code tells
	return r.cmd.ProcessState.ExitCode()
}

// heard looks at what the program said: it has nothing to say but where it
// serves, and what a kill breaks off.
func (k *killer) heard(r *running) {
	for line := range strings.Lines(r.said()) {
		if strings.Contains(line, "DATA RACE") || strings.Contains(line, "panic") {
			k.t.Fatalf("%v says\n%s", r.cmd.Args, r.said())
		}
		if strings.Contains(line, "level=ERROR") {
			k.t.Logf("%v says %s", r.cmd.Args[1], line)
		}
	}
}
