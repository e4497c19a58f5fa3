package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"permitledger/eventstore"
)

// lone is a node in a process of its own.
type lone struct {
	t          *testing.T
	cmd        *exec.Cmd
	connection string
	stderr     strings.Builder // whole once stop has returned
}

// launchNode starts a node on the folder of a log and waits until it listens.
func launchNode(t *testing.T, data string, more ...string) *lone {
	t.Helper()
	return launchLone(t, exec.Command("permitledger", append([]string{"node", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "warn"}, more...)...))
}

// launchLone runs a command that becomes a node.
func launchLone(t *testing.T, cmd *exec.Cmd) *lone {
	t.Helper()
	n := &lone{t: t, cmd: cmd}
	n.cmd.Stderr = &n.stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it has mostly ended
		_ = n.cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = n.cmd.Wait()
		t.Fatalf("the node did not start: %v\n%s", err, n.stderr.String())
	}
	n.connection = strings.TrimSpace(said)
	return n
}

// stop ends the node as an operator does.
func (n *lone) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Wait(); err != nil {
		n.t.Errorf("the node ended with %v:\n%s", err, n.stderr.String())
	}
}

// store connects to a server.
func store(t *testing.T, connection string) *eventstore.Store {
	t.Helper()
	s, err := eventstore.Connect(eventstore.Config{ConnectionString: connection, Bound: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// whole is everything that a server holds.
func whole(t *testing.T, s *eventstore.Store) (all []eventstore.Recorded) {
	t.Helper()
	for r, err := range s.Verbatim().ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func written(id uuid.UUID) []eventstore.Proposed {
	return []eventstore.Proposed{{ID: id, Type: "Written", Data: []byte(`{}`)}}
}

// scribes are writers at work, each in a stream of its own.
type scribes struct {
	group sync.WaitGroup
	stop  context.CancelFunc
	mu    sync.Mutex
	more  *sync.Cond
	acked []uuid.UUID // guarded by mu
	err   error       // guarded by mu
}

func startScribes(t *testing.T, s *eventstore.Store, writers int) *scribes {
	ctx, stop := context.WithCancel(t.Context())
	w := &scribes{stop: stop}
	w.more = sync.NewCond(&w.mu)
	t.Cleanup(w.finish)
	for i := range writers {
		w.group.Go(func() {
			for n := int64(-1); ctx.Err() == nil; n++ {
				id := uuid.New()
				_, err := s.Append(ctx, fmt.Sprintf("permit-%d", i), eventstore.After(n), written(id))
				if w.note(ctx, id, err) != nil {
					return
				}
			}
		})
	}
	return w
}

func (w *scribes) note(ctx context.Context, id uuid.UUID, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.acked = append(w.acked, id)
	} else if ctx.Err() == nil {
		w.err = errors.Join(w.err, err)
	}
	w.more.Broadcast()
	return err
}

// reach waits until so many events are acknowledged and gives those.
func (w *scribes) reach(t *testing.T, n int) []uuid.UUID {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.acked) < n && w.err == nil {
		w.more.Wait()
	}
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.acked[:len(w.acked):len(w.acked)]
}

func (w *scribes) finish() {
	w.stop()
	w.group.Wait()
}

// A backup is taken while many write, and restored: what was acknowledged
// before is in it once and in order, it is the beginning of the node's own
// log, and it goes on from there.
func TestANodeIsBackedUpAmidLoad(t *testing.T) {
	dir := place(t)
	log, copied, restored := filepath.Join(dir, "log"), filepath.Join(dir, "backup"), filepath.Join(dir, "restored")
	n := launchNode(t, log)
	original := store(t, n.connection)
	writers := startScribes(t, original, 16)
	before := writers.reach(t, 500)
	contains(t, permitledger(t, "node", "backup", copied, "--data", log), "every event up to position")
	during := len(writers.reach(t, 0))
	writers.reach(t, during+50) // the node goes on
	writers.finish()
	ownersOnly(t, copied)
	ownersOnly(t, log)
	all := whole(t, original)
	if err := original.Close(); err != nil {
		t.Fatal(err)
	}
	n.stop()

	contains(t, permitledger(t, "node", "restore", copied, "--data", restored), "every file checked")
	ownersOnly(t, restored)
	again := store(t, launchNode(t, restored).connection)
	got := whole(t, again)
	if len(got) < len(before) || len(got) > len(all) {
		t.Fatalf("the copy has %d events; %d were acknowledged before it was made, and there are %d in the end", len(got), len(before), len(all))
	}
	if diff := cmp.Diff(all[:len(got)], got); diff != "" {
		t.Errorf("the copy is not the beginning of the log (-log +copy):\n%s", diff)
	}
	seen := map[uuid.UUID]int{}
	for _, r := range got {
		seen[r.ID]++
	}
	for _, id := range before {
		if seen[id] != 1 {
			t.Errorf("event %s was acknowledged before and is in the copy %d times", id, seen[id])
		}
	}
	last := map[string]int64{}
	for _, r := range got {
		last[r.Stream] = int64(r.Revision)
	}
	for stream, revision := range last {
		_, err := again.Append(t.Context(), stream, eventstore.After(revision), written(uuid.New()))
		if err != nil {
			t.Errorf("the copy does not go on: %v", err)
		}
	}
	if n := len(whole(t, again)); n != len(got)+len(last) {
		t.Errorf("the copy has %d events after %d new ones on top of %d", n, len(last), len(got))
	}
	t.Logf("%d events were acknowledged before the backup, %d are in it, %d in the log", len(before), len(got), len(all))
}

// With no node running the command opens the log itself. What it must not do
// it refuses, and says what to do instead.
func TestWhatNodeBackupAndRestoreRefuse(t *testing.T) {
	dir := place(t)
	log, copied := filepath.Join(dir, "log"), filepath.Join(dir, "backup")
	n := launchNode(t, log)
	s := store(t, n.connection)
	for range 3 {
		if _, err := s.Append(t.Context(), "permit-"+uuid.NewString(), eventstore.NoStream(), written(uuid.New())); err != nil {
			t.Fatal(err)
		}
	}
	all := whole(t, s)
	_ = s.Close()
	contains(t, refused(t, "node", "--data", log, "--listen", "127.0.0.1:0"), "runs on "+log+" already", "stop that one first")
	contains(t, refused(t, "node", "backup", filepath.Join(log, "inside"), "--data", log), "lies in the data folder itself")
	interrupted(t, nodeBackupCommand{Dir: copied, Data: log})
	n.stop()
	interrupted(t, nodeBackupCommand{Dir: copied, Data: log})
	contains(t, refused(t, "node", "backup", copied, "--data", filepath.Join(dir, "nowhere")), "there is no log here", "--data")
	contains(t, permitledger(t, "node", "backup", copied, "--data", log), "every event up to position "+all[len(all)-1].Position.String())
	contains(t, refused(t, "node", "backup", copied, "--data", log), "not empty")
	contains(t, refused(t, "node", "restore", copied, "--data", log), "not empty")
	contains(t, refused(t, "restore", copied, "--data", filepath.Join(dir, "ledger")), "a log alone", "permitledger node restore")

	names, err := filepath.Glob(filepath.Join(copied, "log", "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	good, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(names[len(names)-1], append(good, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	interrupted(t, nodeRestoreCommand{Backup: copied, Data: filepath.Join(dir, "interrupted")})
	half := filepath.Join(dir, "half", "log")
	contains(t, refused(t, "node", "restore", copied, "--data", half), "the backup is damaged", "use another backup")
	for _, args := range [][]string{{"--data", half, "--listen", "127.0.0.1:0"}, {"backup", filepath.Join(dir, "again"), "--data", half}} {
		contains(t, refused(t, append([]string{"node"}, args...)...), "was not finished", "empty the folder and restore again")
	}
	if err := os.WriteFile(names[len(names)-1], good, 0o600); err != nil {
		t.Fatal(err)
	}
	permitledger(t, "node", "restore", copied, "--data", filepath.Join(dir, "restored"))
	if diff := cmp.Diff(all, whole(t, store(t, launchNode(t, filepath.Join(dir, "restored")).connection))); diff != "" {
		t.Errorf("the restored log differs (-was +is):\n%s", diff)
	}
}

// interrupted runs a command that is told to stop: that is no success.
func interrupted(t *testing.T, command interface{ Run(*program) error }) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err := command.Run(&program{ctx: ctx, stdout: io.Discard, stderr: io.Discard, logger: slog.New(slog.DiscardHandler)})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped before it was done") {
		t.Errorf("%T, told to stop, ended with %v", command, err)
	}
}

// A ledger's own log and backup are not taken for those of a node alone.
func TestALedgerIsNoNodeAlone(t *testing.T) {
	dir := place(t)
	data, copied := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	launch(t, serveArgs(t, data)...)
	contains(t, refused(t, "node", "backup", copied, "--data", filepath.Join(data, "log")), "on which a service runs", "permitledger backup --data "+data)
	permitledger(t, "backup", copied, "--data", data)
	contains(t, refused(t, "node", "restore", copied, "--data", filepath.Join(dir, "restored")), "a whole ledger with its keys", "permitledger restore")
	if err := os.WriteFile(filepath.Join(copied, "keep", "pepper"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "half")
	refused(t, "restore", copied, "--data", half)
	contains(t, refused(t, "node", "--data", filepath.Join(half, "log"), "--listen", "127.0.0.1:0"), "was not finished")
}

// In a folder whose path is too long for a socket a node runs as ever, but is
// backed up only through a shorter path and while it is stopped.
func TestABackupByAShorterPath(t *testing.T) {
	dir := place(t)
	long, short := filepath.Join(dir, strings.Repeat("long", 30)), filepath.Join(dir, "short")
	n := launchNode(t, long)
	contains(t, refused(t, "node", "backup", filepath.Join(dir, "backup"), "--data", long), "too long for a unix socket", "symbolic link")
	n.stop()
	contains(t, n.stderr.String(), "no backup while it runs")
	if err := os.Symlink(long, short); err != nil {
		t.Fatal(err)
	}
	permitledger(t, "node", "backup", filepath.Join(dir, "backup"), "--data", short)
}
