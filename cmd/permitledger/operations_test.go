package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/eventstore/node"
)

// contains fails unless what a command said has all of these in it.
func contains(t *testing.T, said string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

// What serve refuses it refuses with the next step, and config check says the
// same before.
func TestWhatServeRefuses(t *testing.T) {
	dir := place(t)
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	both := func(data string, wants ...string) {
		t.Helper()
		contains(t, refused(t, serveArgs(t, data)...), wants...)
		contains(t, refused(t, "config", "check", "--data", data, "--listen", "127.0.0.1:0"), wants...)
	}
	r := launch(t, serveArgs(t, one)...)
	contains(t, refused(t, serveArgs(t, one)...), "in use by another process", "Stop that one first")
	contains(t, permitledger(t, "config", "check", "--data", one), "a service runs on it")
	r.terminate()
	r = launch(t, serveArgs(t, two)...)
	r.terminate()
	contains(t, permitledger(t, "config", "check", "--data", one, "--listen", "127.0.0.1:0", "--json"), `"ok": true`, `"from": "flag"`)

	for _, part := range []string{"keep", "log"} { // two has the keys of one, then also another log than its own
		if err := os.RemoveAll(filepath.Join(two, part)); err != nil {
			t.Fatal(err)
		}
		if part == "keep" {
			if err := os.CopyFS(filepath.Join(two, "keep"), os.DirFS(filepath.Join(one, "keep"))); err != nil {
				t.Fatal(err)
			}
			both(two, "the log belongs to vault", "restore the keep folder that goes with this log")
		}
	}
	both(two, "the log is empty, but the keys belong to a ledger with a history", "name its event store with --eventstore")
	nothingIsSaidOfAnEmptyLog(t, two)

	if err := os.WriteFile(filepath.Join(one, "format"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both(one, "written by a newer version", "restore a backup from before the upgrade")
	contains(t, refused(t, "history", "P-7K4M-9QXD-3F", "--data", one), "written by a newer version")
	both(filepath.Join(dir, strings.Repeat("long", 30)), "too long for a unix socket", "the system allows", "choose a shorter --data")
}

// nothingIsSaidOfAnEmptyLog tries what reads a ledger on a folder whose log lies
// elsewhere, as when --eventstore was forgotten: first without a log, which must
// not be made, then with an empty one.
func nothingIsSaidOfAnEmptyLog(t *testing.T, data string) {
	t.Helper()
	commands := [][]string{{"replay"}, {"history", "P-7K4M-9QXD-3F"}, {"reactors", "list"}, {"projections", "list"}, {"config", "check", "--listen", "127.0.0.1:0"}}
	for _, command := range commands {
		contains(t, refused(t, append(command, "--data", data)...), "the log is empty")
	}
	log := filepath.Join(data, "log")
	if _, err := os.Stat(log); err == nil {
		t.Fatal("a command that only reads has made a log")
	}
	n, err := node.Open(t.Context(), node.Options{Dir: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range append(commands, []string{"backup", filepath.Join(t.TempDir(), "none")}) {
		contains(t, refused(t, append(command, "--data", data)...), "log is empty")
	}
}

// A folder of another kind is refused, and nothing is made in it.
func TestFoldersOfAnotherKind(t *testing.T) {
	dir := place(t)
	ledger, log := filepath.Join(dir, "ledger"), filepath.Join(dir, "log")
	launch(t, serveArgs(t, ledger)...).terminate()
	n, err := node.Open(t.Context(), node.Options{Dir: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, serveArgs(t, log)...), "is the folder of a node's log and not that of a ledger")
	contains(t, refused(t, "config", "check", "--data", log, "--listen", "127.0.0.1:0"), "is the folder of a node's log")
	contains(t, refused(t, "node", "--data", ledger, "--listen", "127.0.0.1:0"), "is the data folder of a ledger", filepath.Join(ledger, "log"))
	contains(t, refused(t, "node", "backup", filepath.Join(dir, "copy"), "--data", ledger), "permitledger backup --data")
	for _, made := range []string{filepath.Join(log, "keep"), filepath.Join(log, "format"), filepath.Join(ledger, "LOCK"), filepath.Join(dir, "copy")} {
		if _, err := os.Stat(made); err == nil {
			t.Errorf("%s was made", made)
		}
	}
}

// An address that is taken is refused with what to do.
func TestAddressInUse(t *testing.T) {
	dir := place(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	contains(t, refused(t, "node", "--data", filepath.Join(dir, "log"), "--listen", taken), "choose another address")
	contains(t, refused(t, "serve", "--data", filepath.Join(dir, "data"), "--listen", taken), "choose another address", "--listen")
}

// A backup that is not whole or not as it was is refused, and nothing is ever
// written over.
func TestWhatRestoreRefuses(t *testing.T) {
	dir := place(t)
	data, copied := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	r := launch(t, serveArgs(t, data)...)
	startLoad(t, r, 2).reach(4)
	r.terminate()
	contains(t, refused(t, "backup", filepath.Join(data, "inside"), "--data", data), "lies in the data folder itself")
	contains(t, permitledger(t, "backup", copied, "--data", data), "every event up to number")
	contains(t, refused(t, "backup", copied, "--data", data), "not empty")
	contains(t, refused(t, "restore", copied, "--data", data), "not empty")
	contains(t, refused(t, "backup", filepath.Join(dir, "none"), "--data", filepath.Join(dir, "nowhere")), "there is no ledger here")

	pepper := filepath.Join(copied, "keep", "pepper")
	good, err := os.ReadFile(pepper)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pepper, append(good[:len(good)-1], good[len(good)-1]^1), 0o600); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "half")
	contains(t, refused(t, "restore", copied, "--data", half), "the backup is damaged", "keep/pepper", "use another backup")
	contains(t, refused(t, serveArgs(t, half)...), "was not finished", "empty the folder and restore again")
	if err := os.Remove(pepper); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, "restore", copied, "--data", filepath.Join(dir, "third")), "keep/pepper is missing")
	if err := os.Remove(filepath.Join(copied, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, "restore", copied, "--data", filepath.Join(dir, "fourth")), "no complete backup", "take another backup")
}

// The sample council is a beginning: what it writes is in order, and what is
// then wrong in it is told all at once.
func TestACouncilsOwnFolder(t *testing.T) {
	dir := place(t)
	own := filepath.Join(dir, "council")
	check := []string{"config", "check", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--council", own}
	permitledger(t, "council", "init", own)
	contains(t, refused(t, "council", "init", own), "not empty")
	contains(t, permitledger(t, check...), "properties: ")
	f, err := os.OpenFile(filepath.Join(own, "gazetteer.csv"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("rubbish\nmore\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, append(check, "--tokens", filepath.Join(own, "policy.json"))...),
		"gazetteer.csv:2185", "gazetteer.csv:2186", "tokens file", "serve would refuse")
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("config check made the data folder")
	}
}

// In the address of a socket some characters mean more than themselves.
func TestFoldersWithOddNamesWork(t *testing.T) {
	dir := place(t)
	other := launch(t, serveArgs(t, filepath.Join(dir, "aA"))...) // which "a%41" is, unescaped
	for _, name := range []string{"a#b", "a?b", "a%41", "a%zz", "a b", "ä", `a"b`, "a'b", "a&b=c;d", "a:b@c", "a+b", "a\\b", "a\nb", "-a"} {
		t.Run(name, func(t *testing.T) {
			data, log := filepath.Join(dir, name), filepath.Join(dir, name+" log")
			r := launch(t, serveArgs(t, data)...)
			contains(t, permitledger(t, "projections", "list", "--data="+data), "accounts")
			permitledger(t, "backup", filepath.Join(dir, name+" copied"), "--data="+data)
			r.terminate()
			contains(t, permitledger(t, "replay", "--data="+data), "No violations")
			n := launchNode(t, log)
			permitledger(t, "node", "backup", filepath.Join(dir, name+" of the node"), "--data="+log)
			n.stop()
		})
	}
	other.terminate()
}

// Peers that are silent, or that send a body and stop, do not hold up a stop.
func TestServeStopsWhateverPeersDo(t *testing.T) {
	data := filepath.Join(place(t), "data")
	for name, again := range map[string]bool{"one signal": false, "two signals": true} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, append(serveArgs(t, data), "--log-level", "warn")...)
			http := strings.TrimSuffix(strings.TrimPrefix(r.address, "http://"), "/api/v1")
			for _, peer := range []struct{ network, address, says string }{
				{"tcp", http, ""},
				{"tcp", http, "POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\n"},
				{"tcp", http, "POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alex\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"},
				{"unix", filepath.Join(data, folder.AdminSocket), ""},
				{"unix", filepath.Join(data, folder.NodeSocket), ""},
				{"unix", filepath.Join(data, folder.NodeSocket), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
			} {
				c, err := net.Dial(peer.network, peer.address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte(peer.says)); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			if again {
				ended := make(chan error, 1)
				go func() { ended <- r.cmd.Wait() }()
				signals := time.NewTicker(20 * time.Millisecond)
				defer signals.Stop()
				for n := 0; ; n++ {
					_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
					select {
					case <-ended:
						if code := r.cmd.ProcessState.ExitCode(); n == 0 || code != -1 {
							t.Errorf("it ended with code %d after %d signals, and not by a later one", code, n+1)
						}
						return
					case <-signals.C:
					}
				}
			}
			if code := r.terminate(); code != 0 {
				t.Errorf("exit code %d:\n%s", code, r.said())
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			contains(t, r.said(), "did not end in time were broken off")
		})
	}
}
