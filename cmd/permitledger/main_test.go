package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"permitledger": main})
}

// TestScripts runs the command line as a person types it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// running is the program in a process of its own.
type running struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string        // of a node, its connection string
	serves  chan string   // takes the address when the program says where it serves
	silent  chan struct{} // closed when the program has ended and all that it said was read
	mu      sync.Mutex
	stderr  bytes.Buffer
}

// launch starts the program and waits until it says where it serves.
func launch(t *testing.T, args ...string) *running {
	t.Helper()
	return begin(t, args...).served()
}

// served waits until the program says where it serves.
func (r *running) served() *running {
	r.t.Helper()
	select {
	case r.address = <-r.serves:
	case <-r.silent:
		r.t.Fatalf("the program ended before it served:\n%s", r.said())
	}
	return r
}

// begin starts the program and waits for nothing.
func begin(t *testing.T, args ...string) *running {
	t.Helper()
	return beginCommand(t, exec.Command("permitledger", args...))
}

// beginCommand starts a command that becomes the program.
func beginCommand(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, serves: make(chan string, 1), silent: make(chan struct{})}
	out, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(cmd.Args, "node") {
		r.cmd.Stdout = r.cmd.Stderr // that is where a node says how it is reached
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.kill() })
	go func() {
		defer close(r.silent)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			r.mu.Lock()
			r.stderr.WriteString(lines.Text() + "\n")
			r.mu.Unlock()
			if _, rest, ok := strings.Cut(lines.Text(), "serves http://"); ok {
				r.serves <- strings.TrimSuffix(rest, "/api/v1")
			}
			if strings.HasPrefix(lines.Text(), "esdb://") {
				r.serves <- lines.Text()
			}
		}
	}()
	return r
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

// kill ends the process as a power cut would: without a word.
func (r *running) kill() {
	_ = r.cmd.Process.Kill() // it may be gone already
	<-r.silent
	_ = r.cmd.Wait()
}
