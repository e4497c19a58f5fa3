package node

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// childFolder tells a copy of the test binary to be a node on that folder.
const childFolder = "NODE_TEST_CHILD_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		beNode(dir)
	}
	os.Exit(m.Run())
}

// beNode serves until the process is killed, or its parent is gone.
func beNode(dir string) {
	n, err := Open(context.Background(), Options{Dir: dir, Listen: "127.0.0.1:0", FS: childDisk(), Logger: slog.Default()})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(n.ConnectionString())
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(1)
}

// TestKill kills a node's process again and again while it is written to. Each
// time it is started on what the one before left, at once, while that may
// still hold the store's lock.
func TestKill(t *testing.T) {
	const writers, kills = 8, 5
	dir := t.TempDir()
	j := newJournal()
	random := rand.New(rand.NewPCG(7, 7))
	for range kills {
		child, c := startChild(t, dir)
		j.verify(t, c)
		ctx, stop := context.WithCancel(timeout(t))
		var busy sync.WaitGroup
		for w := range writers {
			busy.Go(func() { j.write(ctx, c, w) })
		}
		busy.Go(func() { j.watch(ctx, c) })
		for range 20 + random.IntN(200) {
			<-j.rung
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		stop()
		busy.Wait()
		_ = c.Close()
		drainRung(j)
	}
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	j.verify(t, c)
	goOn(t, c)
	t.Logf("%d events acknowledged over %d kills, %d shown to a reader", len(j.acked), kills, len(j.shown))
}

func drainRung(j *journal) {
	for {
		select {
		case <-j.rung:
		default:
			return
		}
	}
}

// startChild starts a node in a process of its own. Once it has ended, its
// Stderr can be printed.
func startChild(t *testing.T, dir string) (*exec.Cmd, *esdb.Client) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+dir)
	child.Stderr = &strings.Builder{}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe() // open as long as this process lives
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
		_ = in.Close()
		if t.Failed() {
			t.Logf("the child said\n%.5000s", child.Stderr)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "esdb://") {
		t.Fatalf("the child said %q, %v\n%s", line, err, child.Stderr)
	}
	config, err := esdb.ParseConnectionString(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	config.MaxDiscoverAttempts = 1 // once it is killed it does not come back here
	config.Logger = esdb.NoopLogging()
	deadline := 10 * time.Second
	config.DefaultDeadline = &deadline
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return child, c
}
