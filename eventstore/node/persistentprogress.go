package node

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"

	"permitledger/eventstore/node/internal/competing"
)

const (
	groupStreams   = "$persistentsubscription-"
	typeCheckpoint = "$SubscriptionCheckpoint"

	// maxParks bounds how many events are parked by one write.
	maxParks = 128
)

func checkpointStream(key string) string { return groupStreams + key + "-checkpoint" }
func parkedStream(key string) string     { return groupStreams + key + "-parked" }

// writing is what a group has to write and is writing. One write is made at a
// time; of checkpoints and truncations only the last one matters.
type writing struct {
	busy       bool
	done       chan func() // gets what is to be done after a write; room for one
	parks      []competing.Park
	checkpoint competing.Place // Nowhere for none
	truncate   uint64          // 0 for none
}

// write begins the next write, unless there is none or one is under way. An
// event is settled only once it is parked, so no checkpoint that is written
// can be beyond one that a crash would lose.
func (g *openGroup) write() {
	w := &g.writing
	if w.busy {
		return
	}
	var work func() func()
	switch {
	case len(w.parks) > 0:
		n := min(len(w.parks), maxParks)
		parks := w.parks[:n:n]
		w.parks = w.parks[n:]
		work = func() func() { return g.park(parks) }
	case w.truncate > 0:
		before := w.truncate
		w.truncate = 0
		work = func() func() { return g.report(g.truncateParked(before)) }
	case w.checkpoint != competing.Nowhere:
		place := w.checkpoint
		w.checkpoint = competing.Nowhere
		work = func() func() {
			text := g.entry.place(place)
			if err := g.writeCheckpoint(text); err != nil {
				return g.report(err)
			}
			return func() { g.saved = text }
		}
	default:
		return
	}
	w.busy = true
	go func() { w.done <- work() }()
}

func (g *openGroup) report(err error) func() {
	return func() {
		if err != nil {
			g.log.Error("persistent subscription cannot write down how far it has come", "subscription", g.entry.key(), "error", err)
		}
	}
}

// park writes links to events into the stream of parked events.
func (g *openGroup) park(parks []competing.Park) func() {
	messages := make([]*competing.Message, len(parks))
	for i := range parks {
		messages[i] = parks[i].Message
	}
	links, err := g.links(parks)
	end := int64(0)
	if err == nil {
		end, err = g.put(parkedStream(g.entry.key()), links...)
	}
	if err != nil {
		complain := g.report(err)
		return func() {
			complain()
			if g.fault == nil {
				g.state.NotParked(g.wall(), messages)
			}
		}
	}
	return func() {
		if g.fault == nil {
			g.state.Parked(g.wall(), messages, uint64(end+1))
		}
	}
}

func (g *openGroup) links(parks []competing.Park) ([]record, error) {
	limit, _ := g.tail.get()
	view, err := g.engine.read(limit)
	if err != nil {
		return nil, err
	}
	defer view.close()
	links := make([]record, len(parks))
	for i, p := range parks {
		r, err := g.lookUp(view, p.Message.Position, p.Message.Replayed)
		if err != nil {
			return nil, err
		}
		link := record{id: uuid.New(), typ: typeLink}
		if r.event == nil {
			link.data = r.link.data
		} else {
			link.data = fmt.Appendf(nil, "%d@%s", r.event.revision, r.event.stream)
		}
		link.meta, err = json.Marshal(struct {
			Added  time.Time `json:"added"`
			Reason string    `json:"reason"`
			Number uint64    `json:"subscriptionEventNumber"`
		}{g.now().UTC(), p.Reason, r.original().revision})
		if err != nil {
			return nil, err
		}
		links[i] = link
	}
	return links, nil
}

// lookUp reads an event as a consumer gets it.
func (g *openGroup) lookUp(view *reader, position uint64, parked bool) (resolved, error) {
	rec, err := view.at(position)
	if err != nil {
		return resolved{}, err
	}
	if parked || g.entry.ResolveLinkTos {
		return view.resolve(&rec, g.now())
	}
	return resolved{event: &rec}, nil
}

// truncateParked hides parked events that were settled after all.
func (g *openGroup) truncateParked(before uint64) error {
	_, err := g.put(metastreamOf(parkedStream(g.entry.key())), record{
		id: uuid.New(), typ: typeMetadata, json: true,
		data: fmt.Appendf(nil, `{%q:%d}`, keyTruncateBefore, before),
	})
	return err
}

func (g *openGroup) writeCheckpoint(place string) error {
	return g.writeKept(checkpointStream(g.entry.key()), record{typ: typeCheckpoint, json: true, data: []byte(strconv.Quote(place))})
}

// readCheckpoint finds the last checkpoint of a group, "" and Nowhere if there
// is none.
func (n *Node) readCheckpoint(e *groupEntry) (string, competing.Place, error) {
	rec, ok, err := n.lastVisible(checkpointStream(e.key()))
	if err != nil || !ok {
		return "", competing.Nowhere, err
	}
	var text string
	if err := json.Unmarshal(rec.data, &text); err != nil {
		return "", 0, fmt.Errorf("read the last event of %s: %w", rec.stream, err)
	}
	place, err := e.parsePlace(text)
	return text, place, err
}

// parkedRange tells which events a group has parked.
func (n *Node) parkedRange(key string) (first, end uint64, err error) {
	h, err := n.headOf(parkedStream(key))
	if err != nil || h.tombstoned {
		return 0, 0, err
	}
	end = uint64(h.last + 1)
	return min(h.first(), end), end, nil
}

// readParked reads some parked events, and tells where to go on.
func (g *openGroup) readParked(from uint64, count int) ([]competing.Event, uint64, error) {
	limit, _ := g.tail.get()
	view, err := g.engine.read(limit)
	if err != nil {
		return nil, 0, err
	}
	defer view.close()
	cursor := streamCursor{stream: parkedStream(g.entry.key()), next: from}
	page, err := cursor.page(view, count)
	if err != nil {
		return nil, 0, err
	}
	var events []competing.Event
	for i := range page {
		if page[i].revision == tombstoneRevision {
			continue
		}
		e := newGroupEvent(&page[i], competing.Place(page[i].revision))
		if e.Pin, err = g.supply.pins.ofParked(view, &page[i], g.now()); err != nil {
			return nil, 0, err
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil, from + uint64(count), nil
	}
	return events, cursor.next, nil
}

// removeProgress hides what a group has written down.
func (n *Node) removeProgress(key string) error {
	for _, stream := range []string{checkpointStream(key), parkedStream(key)} {
		_, ok, err := n.lastVisible(stream)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if out := n.sequencer.submit(&write{op: opSoftDelete, stream: stream, expected: expectAny}); out.err != nil {
			return out.err
		}
	}
	return nil
}

// headOf is what is known of a stream now.
func (n *Node) headOf(stream string) (head, error) {
	limit, _ := n.tail.get()
	view, err := n.engine.read(limit)
	if err != nil {
		return head{}, err
	}
	defer view.close()
	return view.head(stream)
}

// lastVisible reads a stream's last event; false if a reader would find none.
func (n *Node) lastVisible(stream string) (record, bool, error) {
	limit, _ := n.tail.get()
	view, err := n.engine.read(limit)
	if err != nil {
		return record{}, false, err
	}
	defer view.close()
	h, err := view.head(stream)
	if err != nil || h.last < 0 || h.tombstoned || uint64(h.last) < h.first() {
		return record{}, false, err
	}
	return view.find(stream, uint64(h.last))
}

// put writes events of the node's own. It returns the last one's revision once
// they are on disk.
func (n *Node) put(stream string, events ...record) (int64, error) {
	out := n.sequencer.submit(&write{op: opAppend, stream: stream, expected: expectAny, events: events})
	if out.err == nil && out.verdict != verdictWrite {
		return 0, fmt.Errorf("the stream %q was ended by a tombstone", stream)
	}
	return out.last, out.err
}

// writeKept writes an event to a stream of which only the last events matter.
func (n *Node) writeKept(stream string, rec record) error {
	h, err := n.headOf(stream)
	if err != nil {
		return err
	}
	if !h.described || h.softDeleted() {
		metadata := record{id: uuid.New(), typ: typeMetadata, json: true, data: []byte(`{"$maxCount":2}`)}
		if _, err := n.put(metastreamOf(stream), metadata); err != nil {
			return err
		}
	}
	rec.id = uuid.New()
	_, err = n.put(stream, rec)
	return err
}

// at reads the record at a position.
func (r *reader) at(position uint64) (record, error) {
	if position > math.MaxInt64 || !r.it.SeekGE(allKey(position)) || string(r.it.Key()) != string(allKey(position)) {
		if err := r.damaged(); err != nil {
			return record{}, err
		}
		return record{}, fmt.Errorf("%w: nothing is stored at position %d", errCorrupt, position)
	}
	return r.current()
}
