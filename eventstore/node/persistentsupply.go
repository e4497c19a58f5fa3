package node

import (
	"errors"

	"permitledger/eventstore/node/internal/competing"
)

// errStreamEnded is returned when a group's stream was ended for good.
var errStreamEnded = errors.New("the stream was ended by a tombstone")

// supply reads for a group what lies beyond the place it has come to. It is a
// cursor like that of any other subscription: nothing is kept for a group that
// does not ask.
type supply struct {
	*Node
	stream string
	all    bool
	match  func(*record) bool // nil where everything is wanted

	next    uint64          // revision to go on at, in a stream
	cursor  allCursor       // in $all
	through competing.Place // nothing is to be found up to here any more

	// live tells that the group was at the end of the log when it last read.
	// What the stream's metadata hides is passed over only in history: what
	// comes while a group listens is delivered whatever becomes of it.
	live bool
	cut  bool // the last page ended before a damaged place
}

// read gives at most so many events, and the place up to which there are no
// others. It notes whether that is the end.
func (s *supply) read(limit uint64, most int) ([]competing.Event, competing.Place, error) {
	view, err := s.engine.read(limit)
	if err != nil {
		return nil, 0, err
	}
	defer view.close()
	most = min(most, pageRecords)
	read := s.readStream
	if s.all {
		read = s.readAll
	}
	page, events, err := read(view, most)
	if err != nil {
		return nil, 0, err
	}
	bytes := uint64(0)
	for i := range page {
		bytes += page[i].size
	}
	s.live = len(page) < most && bytes < pageBytes && !s.cut
	return events, s.through, nil
}

// goOn sets where reading begins, inclusive.
func (s *supply) goOn(next uint64) {
	s.next, s.cursor = next, allCursor{next: next}
	if next <= firstPosition {
		s.cursor = allCursor{next: firstPosition, exact: true}
	}
	s.through = competing.Place(next) - 1
}

func (s *supply) readAll(view *reader, most int) ([]record, []competing.Event, error) {
	page, err := s.cursor.forwards(view, most)
	s.cut = s.cursor.cut
	if err != nil || len(page) == 0 {
		return nil, nil, err
	}
	events := make([]competing.Event, 0, len(page))
	for i := range page {
		rec := &page[i]
		if hiddenFromAll(rec) {
			continue
		}
		e := newGroupEvent(rec, competing.Place(rec.position))
		e.Wanted = s.match == nil || s.match(rec)
		events = append(events, e)
	}
	s.through = competing.Place(page[len(page)-1].position)
	return page, events, nil
}

func (s *supply) readStream(view *reader, most int) ([]record, []competing.Event, error) {
	var h head
	if !s.live {
		var err error
		if h, err = view.head(s.stream); err != nil {
			return nil, nil, err
		}
		if h.tombstoned {
			return nil, nil, errStreamEnded
		}
		s.next = h.goOn(s.next)
	}
	cursor := streamCursor{stream: s.stream, next: s.next}
	page, err := cursor.page(view, most)
	s.cut = cursor.cut
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	events := make([]competing.Event, 0, len(page))
	for i := range page {
		rec := &page[i]
		if rec.revision == tombstoneRevision {
			return nil, nil, errStreamEnded
		}
		if !h.expired(rec, now) {
			events = append(events, newGroupEvent(rec, competing.Place(rec.revision)))
		}
	}
	s.next = cursor.next
	s.through = competing.Place(s.next) - 1
	return page, events, nil
}

func newGroupEvent(rec *record, place competing.Place) competing.Event {
	return competing.Event{Place: place, Position: rec.position, ID: rec.id, Wanted: true}
}
