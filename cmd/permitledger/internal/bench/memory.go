package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"permitledger/eventstore"
	"permitledger/eventstore/bare"
	"permitledger/eventstore/node"
)

const (
	// manyAppends is of how many appends the aim of append-memory speaks. Fewer
	// are not judged: the node's caches are not full then, and grow.
	manyAppends = 1_000_000
	// memoryWriters is by how many at once: the time goes by faster.
	memoryWriters = 128
)

// appendMemory appends to a node of its own, and looks at what the process
// holds in memory after a tenth of the appends and after all of them. What the
// node kept of each event or stream would be in the difference.
func appendMemory(_ context.Context, b *bench) ([]pair, error) {
	var resident []run // of the rounds in which the heap was looked at
	heap := pair{variant: "heap", each: "append", ours: func(ctx context.Context) (run, error) {
		heap, process, err := b.grow(ctx)
		resident = append(resident, process)
		return heap, err
	}}
	if b.Appends >= manyAppends {
		heap.aim.bytes = 16 // the id of an event alone is as much
	}
	process := pair{variant: "process", each: "append", ours: func(context.Context) (run, error) {
		r := resident[0]
		resident = resident[1:]
		return r, nil
	}}
	if _, err := residentMemory(); errors.Is(err, fs.ErrNotExist) {
		return []pair{heap}, nil
	}
	return []pair{heap, process}, nil
}

// grow makes a node, appends to it, and gives what the heap and the process
// held in between and at the end.
func (b *bench) grow(ctx context.Context) (heap, process run, err error) {
	dir, err := b.folder("grow")
	if err != nil {
		return run{}, run{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	n, err := node.Open(ctx, node.Options{Dir: filepath.Join(dir, "node"), Socket: filepath.Join(dir, "node.sock")})
	if err != nil {
		return run{}, run{}, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	client, err := bare.Connect("", n.Socket())
	if err != nil {
		return run{}, run{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	tenth := b.Appends / 10
	for i, appends := range []int{tenth, b.Appends - tenth} {
		if err := appendPlain(ctx, client, appends); err != nil {
			return run{}, run{}, err
		}
		// The whole log is read, so that the engine's cache is as full as it
		// will be both times.
		if err := client.ReadAll(ctx, func(eventstore.Recorded) {}); err != nil {
			return run{}, run{}, err
		}
		heap.held[i] = float64(heapInUse())
		if process.held[i], err = residentMemory(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return run{}, run{}, err
		}
	}
	for _, r := range []*run{&heap, &process} {
		r.bytes = (r.held[1] - r.held[0]) / float64(b.Appends-tenth)
	}
	return heap, process, nil
}

// appendPlain writes so many single events to streams of eight.
func appendPlain(ctx context.Context, client *bare.Client, appends int) error {
	var begun atomic.Int64
	writing, ctx := errgroup.WithContext(ctx)
	for range memoryWriters {
		writing.Go(func() error {
			var stream string
			for n := 0; begun.Add(1) <= int64(appends); n++ {
				if n%perStream == 0 {
					stream = plainPrefix + uuid.NewString()
				}
				if _, err := client.Append(ctx, stream, bare.Any, plain()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return writing.Wait()
}

// heapInUse is how much memory the Go heap has in use, garbage apart. What lies
// in pools for the next use, such as gRPC's buffers, is let go of at the second
// collection only.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentMemory is how much memory of its own the process occupies, the
// engine's, which may lie outside the heap, included. Only Linux tells.
func residentMemory() (float64, error) {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return float64(kilobytes) * 1024, err
		}
	}
	return 0, fmt.Errorf("the system does not tell the process's own memory: %w", fs.ErrNotExist)
}
