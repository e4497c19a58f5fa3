package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
			if got, st := rawReadStatus(t, s, readStreamRequest("s", false)); st.Code() != codes.DataLoss || !strings.HasPrefix("a", dataOf(got)) {
				t.Fatalf("byte %d of %q flipped: the stream gives %d events and %v", i, key, len(got), st)
			}
			if all, st := rawReadStatus(t, s, readAllRequest()); key[0] == spaceAll &&
				(st.Code() != codes.DataLoss || dataOf(all) != "a" || !strings.Contains(st.Message(), fmt.Sprint(position))) {
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
					end = readOptions(backwards, fromPosition(math.MaxUint64, math.MaxUint64))
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

// TestFlippedBytesOnDisk flips bytes in every file of a store that was closed,
// and of one that was killed. The damage is named when the store is opened,
// and then nothing was changed, or when the place is read; something else than
// what was written is never served. PERMITLEDGER_FAULTS says how many bytes of
// each file are flipped, PERMITLEDGER_FAULT_SEED which.
func TestFlippedBytesOnDisk(t *testing.T) {
	flips, random := chances(t, 4)
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	names := numbered("e", 0, 300)
	for i := 0; i < len(names); i += 5 {
		mustAppend(t, c, "s", names[i:i+5]...)
		if i%60 == 0 {
			if err := n.engine.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := strings.Join(names, " ")
	killed := copyOf(t, dir)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{} // kinds of file in which a flip was found
	for _, image := range []string{killed, dir} {
		for name, size := range filesOf(t, image) {
			kind, times := strings.TrimPrefix(filepath.Ext(name), "."), flips
			if list, _, ok := strings.Cut(name, "-"); ok { // much goes wrong with few bytes
				kind, times = list, 4*flips
			}
			for range min(times, size) {
				outcome := flipAndRead(t, image, name, random, want)
				if outcome != "intact" {
					found[kind]++
				}
				t.Logf("%s: %s", name, outcome)
			}
		}
	}
	for _, kind := range []string{"log", "sst", "MANIFEST"} {
		if found[kind] == 0 {
			t.Errorf("no flip in any %s was found out", kind)
		}
	}
}

// Damage in the write-ahead log of a node that was killed is found when that is
// replayed, and the file named: amid the log, and in its newest file, of which
// it counts as the end.
func TestDamagedWriteAheadLogIsNamed(t *testing.T) {
	dir := t.TempDir()
	c := connect(t, openNode(t, Options{Dir: dir}))
	var logs []string
	image := ""
	for i := 0; len(logs) < 2; i++ {
		for _, event := range numbered("event ", 100*i, 100) {
			mustAppend(t, c, "s", event)
		}
		image = copyOf(t, dir)
		logs = slices.DeleteFunc(slices.Sorted(maps.Keys(filesOf(t, image))), func(file string) bool { return !strings.HasSuffix(file, ".log") })
	}
	for _, name := range []string{logs[0], logs[len(logs)-1]} {
		damaged := copyOf(t, image)
		content := contentOf(t, damaged, name)
		content[len(content)/2] ^= 1
		if err := os.WriteFile(filepath.Join(damaged, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), Options{Dir: damaged, Listen: "127.0.0.1:0"})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Fatalf("a byte of %s is flipped, and opening says %v", name, err)
		}
		wantAdvice(t, err)
	}
}

// chances reads how much chance there shall be, and by which seed.
func chances(t *testing.T, few int) (count int, random *rand.Rand) {
	t.Helper()
	seed, err := rand.Uint64(), error(nil)
	if text := os.Getenv("PERMITLEDGER_FAULT_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
	}
	count = few
	if text := os.Getenv("PERMITLEDGER_FAULTS"); text != "" && err == nil {
		count, err = strconv.Atoi(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("PERMITLEDGER_FAULTS=%d PERMITLEDGER_FAULT_SEED=%d", count, seed)
	return count, rand.New(rand.NewPCG(seed, 0))
}

// filesOf gives the files of a folder with their sizes, but for empty ones.
func filesOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]int{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 0 {
			files[e.Name()] = int(info.Size())
		}
	}
	return files
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// flipAndRead flips a byte of a file in a copy of an image, and sees how it is
// found.
func flipAndRead(t *testing.T, image, file string, random *rand.Rand, want string) string {
	t.Helper()
	dir := copyOf(t, image)
	defer os.RemoveAll(dir)
	content := contentOf(t, dir, file)
	at := random.IntN(len(content))
	content[at] ^= 1 << random.IntN(8)
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, dir)
	n, err := Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		wantAdvice(t, err)
		if after := filesOf(t, dir); !maps.Equal(before, after) {
			t.Errorf("byte %d of %s flipped: refused, it left %v of %v", at, file, after, before)
		}
		return "refused: " + err.Error()
	}
	defer n.Close()
	all, st := rawReadStatus(t, stub(t, n), readStreamRequest("s", false))
	switch {
	case st.Code() == codes.DataLoss:
		if !strings.Contains(st.Message(), file) || strings.Contains(st.Message(), "\n") {
			t.Errorf("byte %d of %s flipped: it is called %q", at, file, st.Message())
		}
		return "named: " + st.Message()
	case st.Code() != codes.OK || dataOf(all) != want:
		t.Errorf("byte %d of %s flipped: %v, %d events", at, file, st, len(all))
	}
	return "intact"
}

func contentOf(t *testing.T, dir, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// wantAdvice sees that a store was refused as damaged, in one line that says
// what to do.
func wantAdvice(t *testing.T, err error) {
	t.Helper()
	said := err.Error()
	if !errors.Is(err, errCorrupt) || strings.Contains(said, "\n") || !strings.Contains(said, "from a backup") && !strings.Contains(said, "restore a backup") {
		t.Errorf("refused with %q", said)
	}
}

// TestDamagedSettings loses the end of a line in the file of settings, of which
// the engine says more than one line. As is advised the file can be removed.
func TestDamagedSettings(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	_ = c.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		content := contentOf(t, dir, filepath.Base(name))
		damaged := bytes.Replace(content, []byte("wal_dir=\n"), []byte("wal_dir=*"), 1)
		if bytes.Equal(content, damaged) {
			t.Fatalf("no such line in\n%s", content)
		}
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "OPTIONS-") {
		t.Fatalf("opened: %v", err)
	}
	wantAdvice(t, err)
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := readNames(t, connect(t, openNode(t, Options{Dir: dir})), "s", forwardsFrom(esdb.Start{}), 10); got != "a b" {
		t.Errorf("the stream holds %q", got)
	}
}

// TestAGroupThatMeetsDamage sees that the consumers of a group are told of a
// damaged place without anything being written behind it.
func TestAGroupThatMeetsDamage(t *testing.T) {
	for _, source := range []string{"s", "$all"} {
		t.Run(source, func(t *testing.T) {
			n := openNode(t, Options{})
			c := connect(t, n)
			mustAppend(t, c, "s", "a")
			position := mustAppend(t, c, "s", "b").CommitPosition
			mustAppend(t, c, "s", "c")
			store(t, n, allKey(position), nil)
			g := n.groups.openGroup(groupEntry{Stream: source, Group: "g", StartPosition: map[string]string{"s": "0", "$all": "C:0/P:0"}[source],
				HistoryBufferSize: 10, NamedConsumerStrategy: strategyRoundRobin})
			defer g.halt()
			consumer := newConsumer()
			_, err := g.join(consumer, 10)
			if err == nil {
				<-consumer.dropped
				err = consumer.reason()
			}
			if !errors.Is(err, errCorrupt) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}
