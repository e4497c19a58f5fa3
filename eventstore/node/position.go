package node

import "errors"

// position is a place in $all as clients name it. An event's own is its place
// in the log twice; with the prepare position 0 it is the place before the
// event there. The zero value is the place before all events.
type position struct{ commit, prepare uint64 }

// positionOf is the position of a record.
func positionOf(rec *record) position { return position{rec.position, rec.position} }

func (p position) before(q position) bool {
	return p.commit < q.commit || p.commit == q.commit && p.prepare < q.prepare
}

// errNoRecord is returned for a position at which no record begins.
var errNoRecord = errors.New("trying to read from an invalid position: no event begins there")

// locate looks for the record that begins at a place in the log. A place
// beyond all records has no record yet, but may get one. ahead reports that no
// record is there or after it, and last that none is after it.
func (r *reader) locate(place uint64) (ahead, last bool, err error) {
	if !r.within(r.it.SeekGE(allKey(place))) {
		return true, true, r.damaged()
	}
	if string(r.it.Key()) != string(allKey(place)) {
		return false, false, errNoRecord
	}
	if !r.within(r.it.Next()) {
		return false, true, r.damaged()
	}
	return false, false, nil
}

// within reports whether the iterator stands at a record that the reader sees.
func (r *reader) within(valid bool) bool {
	if !valid {
		return false
	}
	key := r.it.Key()
	return len(key) == 9 && key[0] == spaceAll && string(key) < string(allKey(r.limit))
}

// readFrom is the cursor of a read of $all that begins at a place in the log:
// forwards with the record there, backwards with the one before.
func (r *reader) readFrom(place uint64, backwards bool) (allCursor, error) {
	switch {
	case place == 0:
		return allCursor{next: firstPosition, exact: true}, nil
	case backwards && place == r.limit:
		return allCursor{next: place, exact: true}, nil
	}
	ahead, _, err := r.locate(place)
	if err == nil && ahead && backwards {
		err = errNoRecord
	}
	return allCursor{next: place, exact: !ahead}, err
}
