package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestATornLastWrite cuts the last write off the write-ahead log at each byte,
// as a crash may, and leaves nothing, zeros or rubbish in its place. What was
// acknowledged before is there, of the batch that was torn nothing or all, and
// the node goes on. Where the batch had been acknowledged the same is damage,
// and is refused.
func TestATornLastWrite(t *testing.T) {
	cuts, random := chances(t, 25)
	disk := vfs.NewMem()
	n := openNode(t, Options{Dir: "store", FS: disk})
	c := connect(t, n)
	names := numbered("e", 0, 40)
	mustAppend(t, c, "s", names[:20]...)
	if err := n.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[20:] {
		mustAppend(t, c, "s", name)
	}
	log := lastLog(t, disk)
	before := imageOf(t, disk)
	mustAppend(t, c, "s", "x", "y", "z")
	after := imageOf(t, disk)
	whole, kept := after[log], len(before[log])
	if kept == 0 || len(whole) <= kept || string(whole[:kept]) != string(before[log]) {
		t.Fatalf("%s has grown from %d bytes to %d", log, kept, len(whole))
	}
	all := strings.Join(names, " ")
	for _, at := range someOf(random, kept, len(whole), cuts) {
		for filler, rest := range map[string][]byte{"nothing": nil, "zeros": make([]byte, len(whole)-at), "rubbish": rubbish(random, len(whole)-at)} {
			torn := slices.Concat(whole[:at], rest)
			got, err := readImage(t, before, log, torn, true)
			if err != nil || got != all && (got != all+" x y z" || at < len(whole)) {
				t.Errorf("cut off at byte %d of %d, %s behind: %q, %v", at-kept, len(whole)-kept, filler, got, err)
			}
			got, err = readImage(t, after, log, torn, false)
			switch {
			case err != nil:
				wantAdvice(t, err)
			case got != all+" x y z":
				t.Errorf("acknowledged, then cut off at byte %d of %d, %s behind: %q", at-kept, len(whole)-kept, filler, got)
			}
		}
	}
}

// someOf chooses among the numbers from a to b; both are among them.
func someOf(random *rand.Rand, a, b, count int) []int {
	list := []int{a, b}
	for _, n := range random.Perm(b - a - 1)[:min(count, b-a-1)] {
		list = append(list, a+1+n)
	}
	return list
}

func rubbish(random *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// lastLog is the name of the write-ahead log that is written to.
func lastLog(t *testing.T, disk vfs.FS) string {
	t.Helper()
	names, err := disk.List("store")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	return slices.Max(names)
}

// imageOf is what a store in memory has in its files.
func imageOf(t *testing.T, disk vfs.FS) map[string][]byte {
	t.Helper()
	names, err := disk.List("store")
	if err != nil {
		t.Fatal(err)
	}
	image := map[string][]byte{}
	for _, name := range names {
		if image[name], err = readFile(disk, disk.PathJoin("store", name)); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// readImage opens a node on an image of a disk in which one file is another,
// and reads the stream; if it goes on, something is appended, too.
func readImage(t *testing.T, image map[string][]byte, changed string, content []byte, goesOn bool) (string, error) {
	t.Helper()
	disk := vfs.NewMem()
	if err := disk.MkdirAll("store", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range image {
		if name == changed {
			b = content
		}
		f, err := disk.Create(disk.PathJoin("store", name), vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(bytes.Clone(b)) // which may change what it is given
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	n, err := Open(t.Context(), Options{Dir: "store", FS: disk, Listen: "127.0.0.1:0"})
	if err != nil {
		return "", err
	}
	defer n.Close()
	got, st := rawReadStatus(t, stub(t, n), readStreamRequest("s", false))
	if st.Err() == nil && goesOn {
		if result := mustAppend(t, connect(t, n), "s", "after"); result.NextExpectedVersion != uint64(len(got)) {
			return "", fmt.Errorf("what comes next is at %d", result.NextExpectedVersion)
		}
	}
	return dataOf(got), st.Err()
}
