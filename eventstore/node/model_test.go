package node

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"pgregory.net/rapid"
)

// model is the node as a reader of the protocol imagines it: streams as lists,
// written without any of the node's means.
type model struct {
	streams map[string]*modelStream
	all     []string // names of all events in log order, "$metadata" and "$streamDeleted" among them
}

type modelStream struct {
	events   []string
	deleted  bool // soft
	ended    bool // tombstoned
	first    int  // $tb
	maxCount int
	metadata int // number of metadata events
}

func (m *model) stream(name string) *modelStream {
	if m.streams[name] == nil {
		m.streams[name] = &modelStream{}
	}
	return m.streams[name]
}

func (s *modelStream) last() int { return len(s.events) - 1 }

// firstVisible is the lowest revision a reader sees.
func (s *modelStream) firstVisible() int {
	first := s.first
	if s.maxCount > 0 {
		first = max(first, len(s.events)-s.maxCount)
	}
	return first
}

// write tells what an append comes to, in the words of outcomeOf, and does it.
func (m *model) write(name string, at int, names []string) string {
	s := m.stream(name)
	wrong := "wrong at " + strings.Replace(strconv.Itoa(s.last()), "-1", "-", 1)
	switch {
	case s.ended:
		return "deleted"
	case at == int(expectExists) && s.deleted:
		return "deleted"
	case at == int(expectExists) && len(s.events) == 0 && s.metadata == 0:
		return wrong
	case at == int(expectAny) || at == int(expectExists):
		known := 0
		end := 0
		for _, n := range names {
			if r := s.find(n); r >= 0 {
				known, end = known+1, r
				continue
			}
			break
		}
		if known == len(names) {
			return s.again(end)
		}
		if known > 0 {
			return wrong
		}
	case at > s.last():
		return wrong
	case at < s.last():
		rest := s.events[at+1:]
		for i, n := range names {
			if i < len(rest) && rest[i] == n {
				continue
			}
			if i == 0 && at == int(expectNoStream) && s.deleted {
				return m.append(name, names)
			}
			return wrong
		}
		return s.again(at + len(names))
	}
	return m.append(name, names)
}

// find is the revision under which an event was written first, -1 if never.
func (s *modelStream) find(name string) int { return slices.Index(s.events, name) }

func (s *modelStream) again(revision int) string {
	if s.deleted || revision < s.firstVisible() {
		return fmt.Sprintf("again %d unlocated", revision)
	}
	return fmt.Sprintf("again %d", revision)
}

func (m *model) append(name string, names []string) string {
	s := m.stream(name)
	before := len(s.events)
	s.events = append(s.events, names...)
	m.all = append(m.all, names...)
	if s.deleted {
		s.deleted, s.first, s.maxCount = false, before, 0
		s.metadata++
		m.all = append(m.all, "$metadata")
	}
	return strconv.Itoa(s.last())
}

func (m *model) remove(name string, at int, hard bool) string {
	s := m.stream(name)
	switch {
	case s.ended, at == int(expectExists) && s.deleted:
		return "deleted"
	case at == int(expectExists) && len(s.events) == 0 && s.metadata == 0,
		at >= -1 && at != s.last() && !(at == -1 && s.deleted),
		!hard && len(s.events) == 0 && s.metadata == 0:
		return "code 0" // how the client shows a refused deletion
	}
	if hard {
		s.ended = true
		m.all = append(m.all, "$streamDeleted")
		return "ok"
	}
	s.deleted, s.first, s.maxCount = true, 0, 0
	s.metadata++
	m.all = append(m.all, "$metadata")
	return "ok"
}

// describe sets $tb and $maxCount, each if it is positive.
func (m *model) describe(name string, first, maxCount int) (json string) {
	s := m.stream(name)
	var fields []string
	if first > 0 {
		fields = append(fields, fmt.Sprintf(`"$tb":%d`, first))
	}
	if maxCount > 0 {
		fields = append(fields, fmt.Sprintf(`"$maxCount":%d`, maxCount))
	}
	json = "{" + strings.Join(fields, ",") + "}"
	if s.ended {
		return json
	}
	s.metadata++
	m.all = append(m.all, "$metadata")
	s.first, s.maxCount = first, maxCount
	if s.deleted { // metadata brings it back, and hides what was there
		s.deleted, s.first = false, len(s.events)
		s.metadata++
		m.all = append(m.all, "$metadata")
	}
	return json
}

func (m *model) read(name string, from int, back bool, count int) string {
	s := m.stream(name)
	switch {
	case s.ended:
		return "deleted"
	case len(s.events) == 0 || s.deleted:
		return "not found"
	}
	var names []string
	step, at := 1, max(from, s.firstVisible())
	if back {
		step, at = -1, min(from, s.last())
	}
	for ; at >= s.firstVisible() && at <= s.last() && len(names) < count; at += step {
		names = append(names, s.events[at])
	}
	return strings.Join(names, " ")
}

// TestModel does random things to a few streams and compares every answer with
// the model's.
func TestModel(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{streams: map[string]*modelStream{}}
		end, _ := n.tail.get()
		begin := esdb.Position{Commit: end}
		stream := func(rt *rapid.T) (short, full string) {
			short = rapid.SampledFrom([]string{"a", "a\x00", "b"}).Draw(rt, "stream")
			return short, fmt.Sprintf("run%d-%s", run, short)
		}
		expectation := func(rt *rapid.T, m *model, short string) int {
			last := m.stream(short).last()
			return rapid.SampledFrom([]int{last, last, last, last - 1, last + 1, 0, -1, -2, -4}).
				Filter(func(at int) bool { return at >= -2 || at == -4 }).Draw(rt, "at")
		}
		events := rapid.SliceOfN(rapid.SampledFrom([]string{"p", "q", "r", "s", "t", "u", "v", "w"}), 1, 3)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				short, full := stream(rt)
				at, names := expectation(rt, m, short), events.Draw(rt, "events")
				data := named(names...)
				if got, want := outcomeOf(t, c, full, believed(at), data), m.write(short, at, names); got != want {
					rt.Fatalf("append %v to %q at %d: %q, the model says %q", names, short, at, got, want)
				}
			},
			"delete": func(rt *rapid.T) {
				short, full := stream(rt)
				at, hard := expectation(rt, m, short), rapid.IntRange(0, 4).Draw(rt, "hard") == 0
				var err error
				if hard {
					_, err = c.TombstoneStream(timeout(t), full, esdb.TombstoneStreamOptions{ExpectedRevision: believed(at)})
				} else {
					_, err = c.DeleteStream(timeout(t), full, esdb.DeleteStreamOptions{ExpectedRevision: believed(at)})
				}
				if got, want := codeOf(err), m.remove(short, at, hard); got != want {
					rt.Fatalf("delete %q at %d (hard %v): %q, the model says %q", short, at, hard, got, want)
				}
			},
			"describe": func(rt *rapid.T) {
				short, full := stream(rt)
				json := m.describe(short, rapid.IntRange(0, 5).Draw(rt, "first"), rapid.IntRange(0, 4).Draw(rt, "maxCount"))
				_, err := c.AppendToStream(timeout(t), "$$"+full, esdb.AppendToStreamOptions{}, esdb.EventData{
					EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(json),
				})
				if got := codeOf(err); (got == "deleted") != m.stream(short).ended {
					rt.Fatalf("describe %q: %q", short, got)
				}
			},
			"read": func(rt *rapid.T) {
				short, full := stream(rt)
				from, count := rapid.IntRange(0, 12).Draw(rt, "from"), rapid.IntRange(1, 12).Draw(rt, "count")
				back := rapid.Bool().Draw(rt, "back")
				o := forwardsFrom(esdb.Revision(uint64(from)))
				if back {
					o.Direction = esdb.Backwards
				}
				if got, want := readNames(t, c, full, o, uint64(count)), m.read(short, from, back, count); got != want {
					rt.Fatalf("read %q from %d (back %v): %q, the model says %q", short, from, back, got, want)
				}
			},
			"": func(rt *rapid.T) {},
		})
		var all []string
		for _, e := range readAll(t, c, esdb.ReadAllOptions{From: begin}, math.MaxInt64) {
			name := nameOf(e.Event)
			if strings.HasPrefix(e.Event.EventType, "$") {
				name = e.Event.EventType
			}
			all = append(all, name)
		}
		if got, want := strings.Join(all, " "), strings.Join(m.all, " "); got != want {
			rt.Fatalf("$all holds %q, the model says %q", got, want)
		}
	})
}

func believed(at int) esdb.ExpectedRevision {
	switch expected(at) {
	case expectAny:
		return anyRevision
	case expectNoStream:
		return noStream
	case expectExists:
		return exists
	}
	return revision(uint64(at))
}
