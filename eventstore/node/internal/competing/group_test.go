package competing

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var start = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// script drives a group by words and writes down what it does.
type script struct {
	t    *testing.T
	g    *Group
	now  time.Time
	next Place
	out  []string
	park []*Message // asked for, not answered
	end  uint64     // of the stream of parked events
}

// idOf names an event by its place; replayed ones have names of their own.
func idOf(place Place, replayed bool) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(place))
	if replayed {
		id[0] = 1
	}
	return id
}

func nameOf(id uuid.UUID) string {
	name := strconv.FormatUint(binary.BigEndian.Uint64(id[8:]), 10)
	if id[0] == 1 {
		return "p" + name
	}
	return name
}

// positionOf is the position of the event with an id.
func positionOf(id uuid.UUID) uint64 {
	position := binary.BigEndian.Uint64(id[8:])
	if id[0] == 1 {
		position |= 1 << 62
	}
	return position
}

// nameAt names the event at a position.
func nameAt(position uint64) string {
	return nameOf(idOf(Place(position&^(1<<62)), position>>62 == 1))
}

func (s *script) event(place Place, wanted bool, pin uint32) Event {
	id := idOf(place, false)
	return Event{Place: place, Position: positionOf(id), ID: id, Wanted: wanted, Pin: pin}
}

// do carries out one word:
//
//	read=n      n events are read          skip=n     n events are read that nobody wants
//	pins=x,y    events with these pins are read
//	join=a/n    consumer a with n slots    leave=a
//	ack=a/x,y   retry=… park=… skips=…     parked     what was to be parked is
//	failed      what was to be parked is not
//	wait=d      time passes                tick       a tick, with what it brings
//	replay=n    up to revision n
func (s *script) do(word string) {
	verb, rest, _ := strings.Cut(word, "=")
	who, list, _ := strings.Cut(rest, "/")
	number, _ := strconv.Atoi(rest)
	consumer := ConsumerID(0)
	if who != "" {
		consumer = ConsumerID(who[0])
	}
	switch verb {
	case "read", "skip":
		var events []Event
		for range number {
			events = append(events, s.event(s.next, verb == "read", 0))
			s.next++
		}
		s.g.Read(s.now, events, s.next-1)
	case "pins":
		var events []Event
		for name := range strings.SplitSeq(rest, ",") {
			pin, _ := strconv.Atoi(name)
			events = append(events, s.event(s.next, true, uint32(pin)))
			s.next++
		}
		s.g.Read(s.now, events, s.next-1)
	case "join":
		slots, _ := strconv.Atoi(list)
		if !s.g.Join(s.now, consumer, slots) {
			s.out = append(s.out, "full")
		}
	case "leave":
		s.g.Leave(s.now, consumer)
	case "ack":
		s.g.Ack(s.now, consumer, ids(list))
	case "retry":
		s.g.Nack(s.now, consumer, ids(list), Retry, "")
	case "park":
		s.g.Nack(s.now, consumer, ids(list), ParkIt, "why")
	case "skips":
		s.g.Nack(s.now, consumer, ids(list), Skip, "")
	case "parked":
		s.end += uint64(len(s.park))
		s.g.Parked(s.now, s.park, s.end)
		s.park = nil
	case "failed":
		s.g.NotParked(s.now, s.park)
		s.park = nil
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "tick":
		s.g.Tick(s.now)
	case "replay":
		s.g.Replay(uint64(number))
	default:
		s.t.Fatalf("no such word: %q", word)
	}
	s.collect(verb == "tick")
}

func ids(list string) []uuid.UUID {
	var ids []uuid.UUID
	for name := range strings.SplitSeq(list, ",") {
		digits := strings.TrimPrefix(name, "p")
		n, _ := strconv.Atoi(digits)
		ids = append(ids, idOf(Place(n), digits != name))
	}
	return ids
}

func (s *script) collect(tick bool) {
	for {
		for _, e := range s.g.Take() {
			switch e := e.(type) {
			case Deliver:
				s.out = append(s.out, fmt.Sprintf("%c<%s%s", rune(e.To), nameAt(e.Position), strings.Repeat("'", e.Retries)))
			case Withdraw:
				s.out = append(s.out, fmt.Sprintf("%c>%s", rune(e.From), nameAt(e.Position)))
			case Park:
				s.park = append(s.park, e.Message)
				s.out = append(s.out, "park"+nameOf(e.Message.ID))
			}
		}
		from, count := s.g.WantsParked()
		if count == 0 {
			break
		}
		var events []Event
		for i := range uint64(count) {
			place := Place(from + i)
			id := idOf(place, true)
			events = append(events, Event{Place: place, Position: positionOf(id), ID: id, Wanted: true})
		}
		s.g.Unpark(s.now, events, from+uint64(count))
	}
	if place, due := s.g.Checkpoint(s.now, tick); due {
		s.out = append(s.out, fmt.Sprintf("checkpoint%d", place))
	}
	if before, due := s.g.Truncate(tick); due {
		s.out = append(s.out, fmt.Sprintf("truncate%d", before))
	}
}

func pinned(s *Settings) { s.Strategy = Pinned }

func usual() Settings {
	return Settings{
		Timeout: 30 * time.Second, MaxRetries: 2, MinCheckpoint: 2, MaxCheckpoint: 100,
		CheckpointAfter: 2 * time.Second, Buffer: 10, Batch: 3,
	}
}

func TestGroup(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Settings)
		do     string
		want   string
	}{
		{"waits for a consumer", nil, "read=2 join=a/5", "a<0 a<1"},
		{"gives no more than a consumer may hold", nil, "join=a/2 read=3 ack=a/0", "a<0 a<1 a<2"},
		{"gives to each in turn", nil, "join=a/5 join=b/5 read=4", "a<0 b<1 a<2 b<3"},
		{"passes over who is full", nil, "join=a/1 join=b/5 read=4", "a<0 b<1 b<2 b<3"},
		{"gives all to one", func(s *Settings) { s.Strategy = Single }, "join=a/2 join=b/2 read=5 ack=b/2", "a<0 a<1 b<2 b<3 b<4"},
		{"gives all with one pin to one", pinned, "join=a/9 join=b/9 pins=1,2,1,2,1", "a<0 b<1 a<2 b<3 a<4"},
		{"gives what others are pinned to past what waits", pinned, "join=a/1 join=b/9 pins=1,2,1,2,1,2 ack=a/0", "a<0 b<1 b<3 b<5 a<2"},
		{"keeps what waits for one in order", pinned, "join=a/1 join=b/1 pins=1,2,1,2,1 ack=b/1 ack=a/0 ack=a/2", "a<0 b<1 b<3 a<2 a<4"},
		{"gives a new pin to who has the fewest", pinned, "join=a/9 join=b/9 pins=1,2,3,4,5", "a<0 b<1 a<2 b<3 a<4"},
		{"gives a new pin to nobody else while its consumer is full", pinned, "join=a/1 join=b/1 pins=1,2,3,4 ack=a/0,1", "a<0 b<1 b>1 a<2 b<3"},
		{"retries with the same consumer", pinned, "join=a/9 join=b/9 pins=1,2,1 retry=a/0 retry=b/1", "a<0 b<1 a<2 a<0' b<1'"},
		{"gives what a consumer that left had to others", pinned, "join=a/9 join=b/9 pins=1,2 leave=a pins=1,1", "a<0 b<1 b<0' b<2 b<3"},
		{"shares with a new consumer what nothing is held of", pinned, "join=a/9 pins=1,2,3,4 ack=a/1,3 join=b/9 pins=1,2,3,4",
			"a<0 a<1 a<2 a<3 a<4 b<5 a<6 b<7"},
		{"divides pins into sets", pinned, "join=a/9 join=b/9 pins=1,2,1025,1026", "a<0 b<1 a<2 b<3"},
		{"checkpoints not beyond what waits for a full consumer", pinned, "join=a/1 join=b/9 pins=1,2,1,2 ack=b/1,3 wait=1s ack=a/0 tick",
			"a<0 b<1 b<3 a<2 checkpoint1"},
		{"takes only so many consumers", func(s *Settings) { s.MaxConsumers = 1 }, "join=a/1 join=b/1 leave=a join=b/1", "full"},
		{"passes over what nobody wants", nil, "join=a/5 read=1 skip=3 read=1", "a<0 a<4"},

		{"retries before what is new", nil, "join=a/2 read=4 retry=a/0", "a<0 a<1 a<0'"},
		{"retries in order", nil, "join=a/3 read=3 leave=a join=b/3", "a<0 a<1 a<2 b<0' b<1' b<2'"},
		{"retries in order, whatever the order of the answers", nil, "join=a/3 read=3 join=b/1 retry=a/2 retry=a/1,0",
			"a<0 a<1 a<2 a<2' b<0' a<1'"},
		{"parks after so many retries", nil, "join=a/1 read=1 retry=a/0 retry=a/0 retry=a/0 parked", "a<0 a<0' a<0'' park0"},
		{"never parks because a consumer left", nil, "join=a/1 read=1 leave=a join=a/1 leave=a join=a/1 leave=a join=a/1",
			"a<0 a<0' a<0'' a<0'''"},
		{"parks when told to", nil, "join=a/1 read=2 park=a/0 parked ack=a/1", "a<0 park0 a<1"},
		{"gives out again what could not be parked", nil, "join=a/1 read=1 park=a/0 failed", "a<0 park0 a<0"},
		{"skips when told to", nil, "join=a/1 read=3 skips=a/0 skips=a/1 tick", "a<0 a<1 a<2 checkpoint1"},
		{"passes over ids that it does not know", nil, "join=a/1 read=2 ack=a/7 retry=a/7 park=a/1 ack=a/0", "a<0 a<1"},
		{"takes an answer from anybody", nil, "join=a/1 join=b/1 read=2 ack=b/0", "a<0 b<1 a>0"},
		{"takes back what is late", nil, "join=a/1 read=2 wait=29s tick wait=1s tick", "a<0 a>0 a<0'"},
		{"passes over an answer that comes too late", nil, "join=a/1 read=1 wait=30s leave=a tick ack=a/0 join=b/1 ack=b/0", "a<0 b<0'"},
		{"parks what is late too often", nil, "join=a/1 read=1 wait=30s tick wait=30s tick wait=30s tick parked",
			"a<0 a>0 a<0' a>0 a<0'' a>0 park0"},
		{"takes back at every tick without a time", func(s *Settings) { s.Timeout = 0 }, "join=a/1 read=1 tick", "a<0 a>0 a<0'"},

		{"checkpoints at once after so many", func(s *Settings) { s.MaxCheckpoint = 2 }, "join=a/5 read=5 ack=a/0 ack=a/1 ack=a/2",
			"a<0 a<1 a<2 a<3 a<4 checkpoint1"},
		{"checkpoints by time at a tick", nil, "join=a/5 read=3 ack=a/0,1 tick ack=a/2 tick", "a<0 a<1 a<2 checkpoint1"},
		{"checkpoints not before the time is up", nil, "join=a/9 read=6 ack=a/0,1 tick ack=a/2,3 wait=1s tick wait=1s tick",
			"a<0 a<1 a<2 a<3 a<4 a<5 checkpoint1 checkpoint3"},
		{"checkpoints never by time if there is none", func(s *Settings) { s.CheckpointAfter = 0 }, "join=a/5 read=5 ack=a/0,1,2,3 tick",
			"a<0 a<1 a<2 a<3 a<4"},
		{"checkpoints not beyond what is held", nil, "join=a/5 read=5 ack=a/0,1,3,4 tick", "a<0 a<1 a<2 a<3 a<4 checkpoint1"},
		{"checkpoints not beyond what is to be retried", nil, "join=a/5 read=5 leave=a tick", "a<0 a<1 a<2 a<3 a<4"},
		{"checkpoints not beyond what is being parked", nil, "join=a/5 read=3 park=a/0 ack=a/1,2 tick parked tick",
			"a<0 a<1 a<2 park0 checkpoint2"},
		{"checkpoints not beyond what was not given out", nil, "join=a/2 read=4 ack=a/0 ack=a/1 wait=1m tick",
			"a<0 a<1 a<2 a<3 a>2 a>3 a<2' a<3' checkpoint1"},
		{"checkpoints what nobody wants", nil, "skip=5 tick", "checkpoint4"},
		{"checkpoints what nobody wants only up to what is held", nil, "join=a/1 skip=3 read=1 skip=3 tick", "a<3 checkpoint2"},

		{"replays what was parked", nil, "join=a/1 read=2 park=a/0 parked ack=a/1 replay=9 ack=a/p0",
			"a<0 park0 a<1 a<p0 truncate1"},
		{"replays also one by one", func(s *Settings) { s.Buffer, s.Batch = 1, 0 }, "join=a/1 read=1 park=a/0 parked replay=9", "a<0 park0 a<p0"},
		{"replays before what is new", nil, "join=a/1 read=3 park=a/0 parked replay=9 ack=a/1 ack=a/p0", "a<0 park0 a<1 a<p0 a<2 truncate1"},
		{"replays only up to a revision", nil, "join=a/3 read=3 park=a/0,1,2 parked replay=2 ack=a/p0,p1 replay=9",
			"a<0 a<1 a<2 park0 park1 park2 a<p0 a<p1 truncate2 a<p2"},
		{"replays nothing twice at a time", nil, "join=a/3 read=2 park=a/0,1 parked replay=9 replay=9", "a<0 a<1 park0 park1 a<p0 a<p1"},
		{"keeps parked what is not settled", nil, "join=a/3 read=3 park=a/0,1,2 parked replay=9 ack=a/p0,p2 tick ack=a/p1",
			"a<0 a<1 a<2 park0 park1 park2 a<p0 a<p1 a<p2 checkpoint2 truncate1 truncate3"},
		{"parks again what is replayed", nil, "join=a/1 read=1 park=a/0 parked replay=9 park=a/p0 parked replay=9",
			"a<0 park0 a<p0 parkp0 truncate1 a<p1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			settings := usual()
			if test.change != nil {
				test.change(&settings)
			}
			s := &script{t: t, g: New(settings, Nowhere), now: start}
			for word := range strings.FieldsSeq(test.do) {
				s.do(word)
			}
			if got := strings.Join(s.out, " "); got != test.want {
				t.Errorf("%s:\n got %s\nwant %s", test.do, got, test.want)
			}
		})
	}
}

// twins is a group that was given three events with one id.
func twins(t *testing.T) (g *Group, id uuid.UUID) {
	t.Helper()
	g, id = New(usual(), Nowhere), idOf(7, false)
	g.Join(start, 'a', 2)
	g.Join(start, 'b', 5)
	var events []Event
	for place := range Place(3) {
		events = append(events, Event{Place: place, Position: 100 + uint64(place), ID: id, Wanted: true})
	}
	g.Read(start, events, 2)
	return g, id
}

// effectsOf writes down what a group decided.
func effectsOf(g *Group) string {
	var out []string
	for _, e := range g.Take() {
		switch e := e.(type) {
		case Deliver:
			out = append(out, fmt.Sprintf("%c<%d%s", rune(e.To), e.Position, strings.Repeat("'", e.Retries)))
		case Withdraw:
			out = append(out, fmt.Sprintf("%c>%d", rune(e.From), e.Position))
		}
	}
	return strings.Join(out, " ")
}

func TestEventsWithOneIDAreSentTogether(t *testing.T) {
	g, id := twins(t)
	if got, want := effectsOf(g), "a<100 b<101 a<102"; got != want {
		t.Fatalf("given out: %q, want %q", got, want)
	}
	if got := g.Stats().Holding; got != 3 {
		t.Errorf("%d are held, want 3", got)
	}
	for held := 2; held >= 0; held-- {
		g.Ack(start, 'a', []uuid.UUID{id})
		if got := g.Stats().Holding; got != held {
			t.Errorf("%d are held, want %d", got, held)
		}
	}
	if got := effectsOf(g); got != "b>101" { // the last answer was for what another holds
		t.Errorf("after the answers: %q", got)
	}
	if at, due := g.Checkpoint(start, true); !due || at != 2 {
		t.Errorf("the checkpoint is at %d, %t", at, due)
	}
}

func TestAnswerMeansItsSendersFirstEventWithTheID(t *testing.T) {
	g, id := twins(t)
	g.Take()
	g.Nack(start, 'b', []uuid.UUID{id}, Retry, "")
	if got := effectsOf(g); got != "b<101'" {
		t.Errorf("after the answer of b: %q", got)
	}
	g.Nack(start, 'a', []uuid.UUID{id}, Retry, "")
	if got := effectsOf(g); got != "a<100'" {
		t.Errorf("after the first answer of a: %q", got)
	}
	g.Leave(start, 'b')
	g.Ack(start, 'a', []uuid.UUID{id})
	if got := effectsOf(g); got != "a<101''" {
		t.Errorf("after b left and a answered: %q", got)
	}
}

func TestLateEventsWithOneIDAreAllRetried(t *testing.T) {
	g, _ := twins(t)
	g.Take()
	g.Tick(start.Add(time.Hour))
	if got, want := effectsOf(g), "a>100 b>101 a>102 b<100' a<101' b<102'"; got != want {
		t.Errorf("after the time was up: %q, want %q", got, want)
	}
}

// A consumer's timings are those of its last 1,000 answers, of whatever kind.
func TestTimingsAreKeptOfLastAnswers(t *testing.T) {
	settings := usual()
	settings.Timings = true
	g := New(settings, Nowhere)
	g.Join(start, 'a', 1)
	for place := range Place(timingsKept + 2) {
		id := idOf(place, false)
		g.Read(start, []Event{{Place: place, ID: id, Wanted: true}}, place)
		took := time.Duration(place) * time.Millisecond
		if place%2 == 0 {
			g.Ack(start.Add(took), 'a', []uuid.UUID{id})
		} else {
			g.Nack(start.Add(took), 'a', []uuid.UUID{id}, Skip, "")
		}
	}
	got := g.Stats().Consumers[0].Timings
	slices.Sort(got)
	if len(got) != timingsKept || got[0] != 2*time.Millisecond || got[timingsKept-1] != (timingsKept+1)*time.Millisecond {
		t.Errorf("%d timings from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

// TestRoom has a group without consumers read no more than it may keep.
func TestRoom(t *testing.T) {
	g := New(usual(), Nowhere)
	if got := g.Room(); got != 10 {
		t.Errorf("there is room for %d in an empty group", got)
	}
	s := &script{t: t, g: g, now: start}
	s.do("read=7")
	if got := g.Room(); got != 0 {
		t.Errorf("there is room for %d, which is no more than a batch", got)
	}
	s.do("join=a/1")
	if got := g.Room(); got != 4 {
		t.Errorf("there is room for %d after one was given out", got)
	}
}
