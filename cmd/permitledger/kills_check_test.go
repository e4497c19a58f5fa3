package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// copied is a backup that was taken to its end.
type copied struct {
	dir    string
	before int // deeds that were answered before it began
}

// takeBackup begins a backup, and gives what waits for its end. Where the
// service is killed before, it comes to nothing.
func (k *killer) takeBackup() (wait func()) {
	k.backups++
	c := copied{dir: filepath.Join(k.dir, "backup-"+strconv.Itoa(k.backups)), before: len(k.town.answered(0))}
	cmd := exec.Command("permitledger", "backup", c.dir, "--data", k.data, "--log-level", "error")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	return func() {
		if <-ended == nil {
			k.backup = &c
			return
		}
		if err := os.RemoveAll(c.dir); err != nil {
			k.t.Error(err)
		}
	}
}

// check asks the program about all that it was told, through the service and
// then without one.
func (k *killer) check(kills int, last bool) {
	k.t.Helper()
	began := time.Now()
	r := k.start()
	k.town.settle()
	all := k.town.answered(0)
	k.allOnce(all, last)
	k.checkHistory(k.data, all, true)
	k.checkModels()
	if last { // those that were followed are as the log makes them; so are these
		permitledger(k.t, "projections", "rebuild", "--data", k.data, "--log-level", "error")
		k.checkModels()
	}
	if code := r.terminate(); code != 0 {
		k.t.Errorf("stopped with exit code %d:\n%s", code, r.said())
	}
	k.town.leave()
	k.heard(r)
	events := k.checkHistory(k.data, all, true)
	k.checkModels()
	k.checkBackup(all)
	k.checked = len(all)
	k.t.Logf("%d kills, %d of them before it served: %d commands acknowledged, %d events, refused %v; %.1f s, of which this check %.1f s",
		kills, k.unserved, len(all), events, k.town.refused, time.Since(k.began).Seconds(), time.Since(began).Seconds())
}

// allOnce sends commands again: each is answered as it was at first. Those
// that were there at the last check are looked at now and then, and at last.
func (k *killer) allOnce(all []deed, last bool) {
	k.t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(all); n = int(next.Add(1)) - 1 {
				if n < k.checked && !last && n%37 != k.checked%37 {
					continue
				}
				again := all[n]
				if err := k.town.send(&again); err != nil || again != all[n] {
					k.t.Errorf("%s with key %s is answered %d %s (%v), first it was %d\n%s",
						again.path, again.key, again.status, again.answer, err, all[n].status, all[n].answer)
					return
				}
			}
		})
	}
	workers.Wait()
}

// checkHistory replays a ledger: no rule is broken, and of every command that
// was acknowledged there is one event, in the whole ledger no more than those.
func (k *killer) checkHistory(data string, all []deed, whole bool) (events uint64) {
	k.t.Helper()
	out, said, code := typed(k.t, append([]string{"replay", "--json", "--data", data, "--log-level", "error"}, k.store...)...)
	var report struct {
		Events     uint64
		ByType     map[string]int `json:"eventsByType"`
		Violations []json.RawMessage
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
		k.t.Errorf("replay: exit code %d, %v\n%s%s", code, err, said, out)
		return 0
	}
	count := map[string]int{}
	for _, d := range all {
		count[d.writes]++
	}
	delete(count, "")
	for name, n := range count {
		if got := report.ByType[name]; got < n || whole && got != n {
			k.t.Errorf("%d events %s are in %s, of %d commands that write one", got, name, data, n)
		}
	}
	return report.Events
}

// checkModels verifies every read model.
func (k *killer) checkModels() {
	k.t.Helper()
	out, said, code := typed(k.t, append([]string{"projections", "verify", "--json", "--data", k.data, "--log-level", "error"}, k.store...)...)
	var found struct {
		Items []struct {
			Name      string
			Rows      uint64
			Differing uint64
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found.Items) == 0 {
		k.t.Errorf("verify: exit code %d, %v\n%s%s", code, err, said, out)
	}
	for _, m := range found.Items {
		if m.Differing != 0 {
			k.t.Errorf("%s: %d of %d rows differ", m.Name, m.Differing, m.Rows)
		}
	}
}

// checkBackup restores the latest backup: whatever was answered before it was
// begun is in it.
func (k *killer) checkBackup(all []deed) {
	k.t.Helper()
	if k.backup == nil {
		return
	}
	restored := filepath.Join(k.dir, "restored")
	permitledger(k.t, "restore", k.backup.dir, "--data", restored)
	k.checkHistory(restored, all[:k.backup.before], false)
	k.backup = nil
	for _, dir := range []string{"restored", "backup-*"} {
		names, err := filepath.Glob(filepath.Join(k.dir, dir))
		if err != nil {
			k.t.Fatal(err)
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				k.t.Fatal(err)
			}
		}
	}
}
