package node

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

func forwardsFrom(p esdb.StreamPosition) esdb.ReadStreamOptions {
	return esdb.ReadStreamOptions{From: p}
}

func backwardsFrom(p esdb.StreamPosition) esdb.ReadStreamOptions {
	return esdb.ReadStreamOptions{From: p, Direction: esdb.Backwards}
}

// TestReadStream reads a stream of five events in every direction and from
// every kind of place.
func TestReadStream(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a", "b", "c", "d", "e")
	mustAppend(t, c, "t", "x")
	at := func(n uint64) esdb.StreamPosition { return esdb.Revision(n) }
	tests := []struct {
		name  string
		o     esdb.ReadStreamOptions
		count uint64
		want  string
	}{
		{"forwards", forwardsFrom(esdb.Start{}), 100, "a b c d e"},
		{"forwards, some", forwardsFrom(esdb.Start{}), 2, "a b"},
		{"forwards from a revision, inclusive", forwardsFrom(at(3)), 100, "d e"},
		{"forwards from the last", forwardsFrom(at(4)), 100, "e"},
		{"forwards from beyond", forwardsFrom(at(5)), 100, ""},
		{"forwards from far beyond", forwardsFrom(at(math.MaxInt64)), 100, ""},
		{"backwards", backwardsFrom(esdb.End{}), 100, "e d c b a"},
		{"backwards, some", backwardsFrom(esdb.End{}), 2, "e d"},
		{"backwards from a revision, inclusive", backwardsFrom(at(2)), 100, "c b a"},
		{"backwards from the start", backwardsFrom(esdb.Start{}), 100, "a"},
		{"backwards from beyond", backwardsFrom(at(1000)), 2, "e d"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := readNames(t, c, "s", tc.o, tc.count); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := readNames(t, c, "none", forwardsFrom(esdb.Start{}), 1); got != "not found" {
		t.Errorf("an unknown stream: %q", got)
	}
}

// TestReadManyPages reads more than one page both ways, from a stream and from
// $all, and compares with what was written.
func TestReadManyPages(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	names := numbered("n", 0, 3*pageRecords+7)
	for i := 0; i < len(names); i += 50 {
		mustAppend(t, c, "s", names[i:min(i+50, len(names))]...)
		mustAppend(t, c, "other", "x")
	}
	want := strings.Join(names, " ")
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), math.MaxInt64); got != want {
		t.Errorf("forwards: %q", got)
	}
	if got := reversed(readNames(t, c, "s", backwardsFrom(esdb.End{}), math.MaxInt64)); got != want {
		t.Errorf("backwards: %q", got)
	}
	all := readAll(t, c, esdb.ReadAllOptions{}, math.MaxInt64)
	back := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, math.MaxInt64)
	if got := strings.ReplaceAll(join(all), " x", ""); got != want {
		t.Errorf("$all: %q", got)
	}
	if reversed(join(back)) != join(all) {
		t.Error("$all backwards is not $all forwards reversed")
	}
	big := make([]byte, 300_000)
	for range 9 {
		if _, err := c.AppendToStream(timeout(t), "big", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "t", Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	if events, err := readStream(t, c, "big", forwardsFrom(esdb.Start{}), 100); err != nil || len(events) != 9 {
		t.Errorf("pages bounded by size: %d events, %v", len(events), err)
	}
}

func reversed(line string) string {
	words := strings.Fields(line)
	for i, j := 0, len(words)-1; i < j; i, j = i+1, j-1 {
		words[i], words[j] = words[j], words[i]
	}
	return strings.Join(words, " ")
}

// TestReadAll reads $all from each kind of place: forwards inclusive,
// backwards exclusive.
func TestReadAll(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	mustAppend(t, c, "$system", "c")
	mustAppend(t, c, "$persistentsubscription-$all::g-checkpoint", "hidden")
	mustAppend(t, c, "$persistentsubscription-$all::g-parked", "hidden")
	mustAppend(t, c, "$persistentsubscription-s::g-parked", "d")
	setMetadata(t, c, "s", `"e"`)
	events := readAll(t, c, esdb.ReadAllOptions{}, 100)
	positions := make([]esdb.Position, len(events))
	for i, e := range events {
		positions[i] = e.OriginalEvent().Position
		if p := positions[i]; p.Commit == 0 || p.Commit != p.Prepare || i > 0 && p.Commit <= positions[i-1].Commit {
			t.Errorf("position %v of event %d", p, i)
		}
	}
	tests := []struct {
		name      string
		from      esdb.AllPosition
		direction esdb.Direction
		count     uint64
		want      string
	}{
		{"forwards", esdb.Start{}, esdb.Forwards, 100, "a b c d e"},
		{"forwards, some", esdb.Start{}, esdb.Forwards, 3, "a b c"},
		{"forwards from an event", positions[1], esdb.Forwards, 100, "b c d e"},
		{"forwards from zero", esdb.Position{}, esdb.Forwards, 1, "a"},
		{"forwards from the end", esdb.End{}, esdb.Forwards, 100, ""},
		{"forwards from beyond", esdb.Position{Commit: 1 << 40, Prepare: 1 << 40}, esdb.Forwards, 100, ""},
		{"backwards", esdb.End{}, esdb.Backwards, 100, "e d c b a"},
		{"backwards, some", esdb.End{}, esdb.Backwards, 3, "e d c"},
		{"backwards from an event", positions[1], esdb.Backwards, 100, "a"},
		{"backwards from the first", positions[0], esdb.Backwards, 100, ""},
		{"backwards from the start", esdb.Start{}, esdb.Backwards, 100, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := join(readAll(t, c, esdb.ReadAllOptions{From: tc.from, Direction: tc.direction}, tc.count))
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestReadAllFiltered asks for filters that the official client has no words
// for in plain reads.
func TestReadAllFiltered(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)
	for i := range 300 {
		mustAppend(t, c, fmt.Sprintf("odd-%d", i), fmt.Sprintf("o%d", i))
		if i%100 == 0 {
			mustAppend(t, c, fmt.Sprintf("even-%d", i), fmt.Sprintf("e%d", i))
		}
	}
	type filter = streams.ReadReq_Options_FilterOptions
	byType := func(regex string, prefix ...string) *filter {
		f := prefixes()
		f.Filter = &streams.ReadReq_Options_FilterOptions_EventType{
			EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefix},
		}
		return f
	}
	some := func(o *streams.ReadReq_Options) { o.CountOption = &streams.ReadReq_Options_Count{Count: 2} }
	end := func(o *streams.ReadReq_Options) {
		o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_End{}
	}
	open := func(f *filter) { f.Window = &streams.ReadReq_Options_FilterOptions_Count{} }
	regex := func(f *filter) { f.GetStreamIdentifier().Regex = `en-[12]` }
	tests := []struct {
		name string
		req  *streams.ReadReq
		want string
	}{
		{"by stream prefix", readOptions(filtered(prefixes("even-"))), "e0 e100 e200"},
		{"by either prefix", readOptions(filtered(prefixes("even-2", "odd-29", "none"))), "e200 o29 o290 o291 o292 o293 o294 o295 o296 o297 o298 o299"},
		{"some", readOptions(filtered(prefixes("even-")), some), "e0 e100"},
		{"backwards", readOptions(filtered(prefixes("even-")), backwards, end), "e200 e100 e0"},
		{"with an open window", readOptions(filtered(prefixes("even-"), open)), "e0 e100 e200"},
		{"a regular expression is found anywhere and wins", readOptions(filtered(prefixes("odd-"), regex)), "e100 e200"},
		{"by event type", readOptions(filtered(byType("", "type-e"))), "e0 e100 e200"},
		{"by the form of the event type", readOptions(filtered(byType(`^[^\$].*e.00$`))), "e100 e200"},
		{"by nothing", readOptions(filtered(prefixes())), ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Fields(dataOf(rawRead(t, s, tc.req)))
			if want := strings.Fields(tc.want); !sameWords(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// sameWords compares without regard to order, which other tests look at.
func sameWords(a, b []string) bool {
	count := map[string]int{}
	for _, w := range a {
		count[w]++
	}
	for _, w := range b {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestMetadataHides checks what a stream's metadata keeps from its readers,
// with a clock in the test's hand, and that $all shows it all the same.
func TestMetadataHides(t *testing.T) {
	tests := []struct {
		metadata string
		want     string // of a to f, written a second apart, the last just now
	}{
		{`{}`, "a b c d e f"},
		{`{"$maxCount":2}`, "e f"},
		{`{"$maxCount":100}`, "a b c d e f"},
		{`{"$maxCount":0}`, "a b c d e f"},
		{`{"$maxCount":-1}`, "a b c d e f"},
		{`{"$maxCount":"2"}`, "a b c d e f"},
		{`{"$maxCount":1.5}`, "a b c d e f"},
		{`{"$MAXCOUNT":2}`, "a b c d e f"},
		{`{"$tb":4}`, "e f"},
		{`{"$tb":0}`, "a b c d e f"},
		{`{"$tb":6}`, ""},
		{`{"$tb":1000}`, ""},
		{`{"$tb":-5}`, "a b c d e f"},
		{`{"$tb":9223372036854775807}`, "not found"},
		{`{"$maxAge":2}`, "d e f"},
		{`{"$maxAge":0}`, "a b c d e f"},
		{`{"$maxAge":100000000000000}`, "a b c d e f"},
		{`{"$maxCount":3,"$tb":5}`, "f"},
		{`{"$maxCount":1,"$tb":2}`, "f"},
		{`{"$maxAge":3,"$maxCount":2}`, "e f"},
		{`{"$maxCount":2`, "a b c d e f"},
		{"\uFEFF" + `{"$maxCount":2}`, "e f"},
		{"\uFEFF" + `{"$tb":9223372036854775807}`, "not found"},
		{"\uFEFF\uFEFF" + `{"$maxCount":2}`, "a b c d e f"},
		{`[2]`, "a b c d e f"},
		{`null`, "a b c d e f"},
		// One value of the wrong kind, and the rest counts for nothing either.
		{`{"$maxCount":2,"$tb":"4"}`, "a b c d e f"},
		{`{"$maxCount":2,"$tb":null}`, "a b c d e f"},
		{`{"$maxCount":2,"$maxAge":9223372036854775808}`, "a b c d e f"},
		{`{"$maxCount":2,"$cacheControl":1.5}`, "a b c d e f"},
		{`{"$maxCount":2,"$tmp":1}`, "a b c d e f"},
		{`{"$maxCount":2,"$acl":null}`, "a b c d e f"},
		{`{"$maxCount":2,"$acl":{"$r":5}}`, "a b c d e f"},
		{`{"$maxCount":2,"$acl":{"$r":["a",null]}}`, "a b c d e f"},
		{`{"$maxCount":2,"$acl":{"$x":"a"}}`, "a b c d e f"},
		{`{"$maxCount":2,"$tb":-1,"$cacheControl":9,"$tmp":true,"$acl":{"$r":"a","$w":["a","b"]},"own":{"$tb":null}}`, "e f"},
	}
	for _, tc := range tests {
		t.Run(tc.metadata, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			c := connect(t, openNode(t, Options{Now: clock.now}))
			for i, name := range strings.Fields("a b c d e f") {
				if i > 0 {
					clock.advance(time.Second)
				}
				mustAppend(t, c, "s", name)
			}
			setMetadata(t, c, "s", tc.metadata)
			if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 100); got != tc.want {
				t.Errorf("forwards %q, want %q", got, tc.want)
			}
			back := readNames(t, c, "s", backwardsFrom(esdb.End{}), 100)
			if tc.want != "not found" {
				back = reversed(back)
			}
			if back != tc.want {
				t.Errorf("backwards %q, want %q", back, tc.want)
			}
			if got := len(readAll(t, c, esdb.ReadAllOptions{}, 100)); got != 7 {
				t.Errorf("$all has %d events", got)
			}
		})
	}
}

// TestMetadataOfAnotherContentType checks that only metadata that is marked as
// JSON hides anything.
func TestMetadataOfAnotherContentType(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a", "b", "c")
	for _, tc := range []struct {
		contentType esdb.ContentType
		want        string
	}{{esdb.ContentTypeBinary, "a b c"}, {esdb.ContentTypeJson, "c"}} {
		_, err := c.AppendToStream(timeout(t), "$$s", esdb.AppendToStreamOptions{}, esdb.EventData{
			EventType: "$metadata", ContentType: tc.contentType, Data: []byte(`{"$maxCount":1}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 100); got != tc.want {
			t.Errorf("content type %d: %q, want %q", tc.contentType, got, tc.want)
		}
	}
}

// TestCountsVisibleEvents asks for as many events as there are visible ones,
// with more hidden ones before them than fit a page.
func TestCountsVisibleEvents(t *testing.T) {
	clock := newClock()
	c := connect(t, openNode(t, Options{Now: clock.now}))
	for i := range 4 {
		mustAppend(t, c, "s", numbered("old", i*100, 100)...)
	}
	clock.advance(time.Hour)
	mustAppend(t, c, "s", "a", "b", "c")
	setMetadata(t, c, "s", `{"$maxAge":60}`)
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 2); got != "a b" {
		t.Errorf("got %q", got)
	}
	if got := readNames(t, c, "s", backwardsFrom(esdb.End{}), 100); got != "c b a" {
		t.Errorf("got %q", got)
	}
}

// TestMetastreams checks what is particular to the streams of metadata.
func TestMetastreams(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	_, err := c.GetStreamMetadata(timeout(t), "s", esdb.ReadStreamOptions{})
	if codeOf(err) != "not found" {
		t.Errorf("metadata that was never written: %v", err)
	}
	for i := range 3 {
		meta := esdb.StreamMetadata{}
		meta.SetMaxCount(uint64(10 + i))
		meta.AddCustomProperty("k", "v")
		_, err := c.SetStreamMetadata(timeout(t), "s", esdb.AppendToStreamOptions{ExpectedRevision: revisionBefore(i)}, meta)
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.SetStreamMetadata(timeout(t), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, esdb.StreamMetadata{})
	if codeOf(err) != "wrong" {
		t.Errorf("metadata at a wrong revision: %v", err)
	}
	meta, err := c.GetStreamMetadata(timeout(t), "s", esdb.ReadStreamOptions{})
	if err != nil || meta.MaxCount() == nil || *meta.MaxCount() != 12 {
		t.Errorf("the newest metadata: %+v, %v", meta, err)
	}
	events, err := readStream(t, c, "$$s", forwardsFrom(esdb.Start{}), 100)
	if err != nil || len(events) != 1 || events[0].Event.EventNumber != 2 {
		t.Errorf("a metastream shows its newest event only: %v, %v", events, err)
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 1); got != "not found" {
		t.Errorf("a stream that only has metadata: %q", got)
	}
}

// TestResolveLinks follows links to what is there and to what is not.
func TestResolveLinks(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	mustAppend(t, c, "s", "a", "b", "c")
	mustAppend(t, c, "with@sign", "at")
	mustAppend(t, c, "truncated", "x", "y")
	setMetadata(t, c, "truncated", `{"$tb":1}`)
	mustAppend(t, c, "soft", "x")
	mustAppend(t, c, "hard", "x")
	if _, err := c.DeleteStream(timeout(t), "soft", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TombstoneStream(timeout(t), "hard", esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ link, want string }{
		{"1@s", "$>>b"},
		{"0@with@sign", "$>>at"},
		{"1@truncated", "$>>y"},
		{"0@truncated", "$>>-"},
		{"0@soft", "$>>-"},
		{"0@hard", "$>>-"},
		{"9@s", "$>>-"},
		{"0@none", "$>>-"},
		{"x@s", "$>"},
		{"-1@s", "$>"},
		{"1", "$>"},
		{"1@", "$>"},
		{"", "$>"},
	}
	for _, tc := range tests {
		_, err := c.AppendToStream(timeout(t), "links", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "$>", Data: []byte(tc.link)})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := forwardsFrom(esdb.Start{})
	o.ResolveLinkTos = true
	events, err := readStream(t, c, "links", o, 100)
	if err != nil || len(events) != len(tests) {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, tc := range tests {
		if got := join(events[i : i+1]); got != tc.want {
			t.Errorf("link %q gives %q, want %q", tc.link, got, tc.want)
		}
		original := events[i].OriginalEvent()
		if original.StreamID != "links" || original.EventNumber != uint64(i) || *events[i].Commit != original.Position.Commit {
			t.Errorf("link %q lies at %d of %s", tc.link, original.EventNumber, original.StreamID)
		}
	}
	if got := readNames(t, c, "links", forwardsFrom(esdb.Start{}), 2); got != "$> $>" {
		t.Errorf("unresolved: %q", got)
	}
	all := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}, ResolveLinkTos: true}, uint64(len(tests)))
	if got := join(all[len(tests)-1:]); got != "$>>b" {
		t.Errorf("resolved in $all: %q", got)
	}
}
