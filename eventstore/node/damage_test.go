package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/grpc/codes"
)

// TestDamagedRecords changes what is stored under the node's own checksums,
// byte by byte, and sees it found out by each way of reading.
func TestDamagedRecords(t *testing.T) {
	n := openNode(t, Options{})
	c, s := connect(t, n), stub(t, n)
	mustAppend(t, c, "s", "a")
	position := mustAppend(t, c, "s", "b").CommitPosition
	mustAppend(t, c, "s", "c")
	for _, key := range [][]byte{allKey(position), streamKey("s", 1)} {
		sound, closer, err := n.engine.db.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		sound = bytes.Clone(sound)
		_ = closer.Close()
		for i := range sound {
			flipped := bytes.Clone(sound)
			flipped[i] ^= 1 << (i % 8)
			store(t, n, key, flipped)
			if _, st := rawReadStatus(t, s, readStreamRequest("s", false)); st.Code() != codes.DataLoss {
				t.Fatalf("byte %d of %q flipped: the stream gives %v", i, key, st)
			}
			if all, st := rawReadStatus(t, s, readAllRequest()); key[0] == spaceAll &&
				(st.Code() != codes.DataLoss || len(all) != 0 || !strings.Contains(st.Message(), fmt.Sprint(position))) {
				t.Fatalf("byte %d of %q flipped: $all gives %v", i, key, st)
			}
		}
		store(t, n, key, sound)
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "a b c" {
		t.Errorf("restored, the stream holds %q", got)
	}
}

func store(t *testing.T, n *Node, key, value []byte) {
	t.Helper()
	var err error
	if value == nil {
		err = n.engine.db.Delete(key, pebble.NoSync)
	} else {
		err = n.engine.db.Set(key, value, pebble.NoSync)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMissingRecords takes whole keys away, and puts a sound record in
// another's place.
func TestMissingRecords(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, n *Node, positions []uint64)
		stream bool // reading the stream finds it
		all    bool // reading $all does
	}{
		{"a record is missing", func(t *testing.T, n *Node, p []uint64) { store(t, n, allKey(p[1]), nil) }, true, true},
		{"the first record is missing", func(t *testing.T, n *Node, p []uint64) { store(t, n, allKey(p[0]), nil) }, true, true},
		{"the last record is missing", func(t *testing.T, n *Node, p []uint64) { store(t, n, allKey(p[2]), nil) }, true, true},
		{"all records are missing", func(t *testing.T, n *Node, p []uint64) {
			for _, position := range p {
				store(t, n, allKey(position), nil)
			}
		}, true, true},
		{"the first index entry is missing", func(t *testing.T, n *Node, _ []uint64) { store(t, n, streamKey("s", 0), nil) }, true, false},
		{"an index entry is missing", func(t *testing.T, n *Node, _ []uint64) { store(t, n, streamKey("s", 1), nil) }, true, false},
		{"a record is in another's place", func(t *testing.T, n *Node, p []uint64) {
			value, closer, err := n.engine.db.Get(allKey(p[0]))
			if err != nil {
				t.Fatal(err)
			}
			defer closer.Close()
			store(t, n, allKey(p[1]), bytes.Clone(value))
		}, true, true},
		{"an entry points elsewhere", func(t *testing.T, n *Node, p []uint64) {
			value := make([]byte, entrySize)
			entry{revision: 1, position: p[2], id: named("c")[0].EventID}.encode(value)
			store(t, n, streamKey("s", 1), value)
		}, true, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			n := openNode(t, Options{})
			c, s := connect(t, n), stub(t, n)
			var positions []uint64
			for _, name := range []string{"a", "b", "c"} {
				positions = append(positions, mustAppend(t, c, "s", name).CommitPosition)
			}
			tc.damage(t, n, positions)
			for _, back := range []bool{false, true} {
				start, end := readOptions(ofStream("s")), readOptions()
				if back {
					start = readOptions(ofStream("s"), backwards, fromRevision(2))
					end = readOptions(backwards, fromPosition(1<<40, 1<<40))
				}
				if _, st := rawReadStatus(t, s, start); (st.Code() == codes.DataLoss) != tc.stream {
					t.Errorf("backwards %v: the stream gives %v", back, st)
				}
				if _, st := rawReadStatus(t, s, end); (st.Code() == codes.DataLoss) != tc.all {
					t.Errorf("backwards %v: $all gives %v", back, st)
				}
			}
		})
	}
}

// TestFlippedBytesOnDisk flips bytes in the files of a store that was closed,
// and of one that was killed. The damage is named when the store is opened or
// when the place is read; something else than what was written is never served.
func TestFlippedBytesOnDisk(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	names := numbered("e", 0, 200)
	for i := 0; i < len(names); i += 5 {
		mustAppend(t, c, "s", names[i:i+5]...)
	}
	want := strings.Join(names, " ")
	killed := copyOf(t, dir)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for image, kind := range map[string]string{killed: "*.log", dir: "*.sst"} {
		files, err := filepath.Glob(filepath.Join(image, kind))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", kind, err)
		}
		found := 0
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(12) {
				outcome := flipAndRead(t, image, filepath.Base(file), info.Size()*(2*i+1)/24, want)
				if outcome != "intact" {
					found++
				}
				t.Logf("%s at %d/24: %s", filepath.Base(file), 2*i+1, outcome)
			}
		}
		if found == 0 {
			t.Errorf("no flip in %s was found out", kind)
		}
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func flipAndRead(t *testing.T, image, file string, at int64, want string) string {
	t.Helper()
	dir := copyOf(t, image)
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	if len(content) == 0 {
		return "intact"
	}
	content[at] ^= 0x10
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		return "refused: " + err.Error()
	}
	defer n.Close()
	all, st := rawReadStatus(t, stub(t, n), readStreamRequest("s", false))
	switch {
	case st.Code() == codes.DataLoss:
		return "named: " + st.Message()
	case st.Code() != codes.OK || dataOf(all) != want:
		t.Errorf("byte %d of %s flipped: %v, %d events", at, file, st, len(all))
	}
	return "intact"
}
