package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/domain"
)

// place is a folder with a short path, in which sockets fit.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serveArgs starts the service on a folder, with the token that send uses.
func serveArgs(t *testing.T, data string, more ...string) []string {
	t.Helper()
	tokens := filepath.Join(place(t), "tokens.json")
	if err := os.WriteFile(tokens, api.TokensFile(api.Grant{Token: "alex", Subject: "alex", Role: domain.RoleResident}), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--tokens", tokens,
		"--demo-clock", "2026-03-02T09:00:00Z", "--log-level", "error"}, more...)
}

// load is many writers at work, each with an account of its own.
type load struct {
	t       *testing.T
	group   sync.WaitGroup
	stop    context.CancelFunc
	mu      sync.Mutex
	changed *sync.Cond
	all     []acknowledged
	refused int
	allowed bool // refusals are no fault of the service
}

// mayRefuse says whether the service may refuse for a reason of its own.
func (l *load) mayRefuse(may bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allowed = may
}

// startLoad sets the writers going. They end with the service or with stop.
func startLoad(t *testing.T, r *running, writers int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop}
	l.changed = sync.NewCond(&l.mu)
	for w := range writers {
		l.group.Go(func() { l.write(ctx, r.address, w) })
	}
	return l
}

func (l *load) write(ctx context.Context, address string, w int) {
	path, body := "/accounts", fmt.Sprintf(`{"name":"Writer %d"}`, w)
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("writer-%d-%d", w, n)
		status, answer, err := send(ctx, address, path, key, body)
		l.mu.Lock()
		switch {
		case err != nil: // the service has gone, or the test is done
		case status >= 300:
			l.refused++
			if !l.allowed {
				l.t.Errorf("%s: %d %s", path, status, answer)
			}
		default:
			l.all = append(l.all, acknowledged{path, key, body, answer})
		}
		l.changed.Broadcast()
		l.mu.Unlock()
		if err != nil || status >= 300 {
			return
		}
		if n == 0 {
			var opened struct {
				AccountID string `json:"accountId"`
			}
			_ = json.Unmarshal([]byte(answer), &opened) // an empty id is then refused
			path = "/accounts/" + opened.AccountID + "/change-details"
		}
		body = fmt.Sprintf(`{"phone":"01632 960%03d"}`, n%1000)
	}
}

// reach waits until so many commands were acknowledged and gives those.
func (l *load) reach(n int) []acknowledged {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.all) < n && l.refused == 0 {
		l.changed.Wait()
	}
	return slices.Clone(l.all)
}

// finish waits for the writers and gives all that was acknowledged.
func (l *load) finish() []acknowledged {
	l.group.Wait()
	l.stop()
	return l.all
}

// allThere sends the commands again: each is answered as it was at first.
func allThere(t *testing.T, address string, all []acknowledged) {
	t.Helper()
	for _, a := range all {
		status, answer, err := send(t.Context(), address, a.path, a.key, a.body)
		if err != nil || status >= 300 || answer != a.answer {
			t.Fatalf("%s with key %s is answered %d %s (%v), first it was\n%s", a.path, a.key, status, answer, err, a.answer)
		}
	}
}

// terminate asks the program to stop and gives its exit code.
func (r *running) terminate() int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	_ = r.cmd.Wait() // the exit code tells
	return r.cmd.ProcessState.ExitCode()
}

// refused runs a sub-command that must end with exit code 1 by itself, and
// gives what it said.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "permitledger", args...)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("permitledger %v: exit code %d, %v\n%s", args, code, err, out)
	}
	return string(out)
}

// permitledger runs a sub-command to its end, which must be good.
func permitledger(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "permitledger", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("permitledger %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// A backup is taken amid writers and restored elsewhere: every command that
// was acknowledged before it began is in it, and the service starts on it.
func TestABackupAmidLoad(t *testing.T) {
	dir := place(t)
	data, copied, restored := filepath.Join(dir, "data"), filepath.Join(dir, "backup"), filepath.Join(dir, "restored")
	r := launch(t, serveArgs(t, data)...)
	l := startLoad(t, r, 16)
	before := l.reach(300)
	permitledger(t, "backup", copied, "--data", data)
	during := len(l.reach(len(before) + 1))
	l.reach(during + 50) // the service goes on
	ownersOnly(t, data)
	ownersOnly(t, copied)
	l.stop()
	l.finish()
	if code := r.terminate(); code != 0 {
		t.Errorf("stopped with exit code %d:\n%s", code, r.said())
	}
	permitledger(t, "restore", copied, "--data", restored)
	again := launch(t, serveArgs(t, restored)...)
	allThere(t, again.address, before)
	ownersOnly(t, restored)
	t.Logf("%d commands were acknowledged before the backup", len(before))
}

// The service is told to stop amid writers: it answers what it has taken, ends
// well, and loses nothing.
func TestStoppedAmidLoad(t *testing.T) {
	data := filepath.Join(place(t), "data")
	r := launch(t, serveArgs(t, data)...)
	l := startLoad(t, r, 32)
	l.reach(300)
	if code := r.terminate(); code != 0 {
		t.Errorf("stopped with exit code %d:\n%s", code, r.said())
	}
	all := l.finish()
	allThere(t, launch(t, serveArgs(t, data)...).address, all)
}

// ownersOnly walks a folder: nobody else may read anything in it.
func ownersOnly(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the store puts its files away as it goes
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
