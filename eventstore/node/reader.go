package node

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// everything is the limit of a reader that may see whatever is stored. Only
// the sequencer reads so: it never leaves anything stored that is not durable
// by the time it reads again.
const everything = math.MaxUint64

// reader looks at the store through one iterator. Records at or past limit do
// not exist for it: the engine shows a batch before it is on disk, and an event
// that a crash could still take back must not be seen by anyone.
type reader struct {
	it    *pebble.Iterator
	limit uint64
}

func (e *engine) read(limit uint64) (*reader, error) {
	it, err := e.iterate()
	if err != nil {
		return nil, err
	}
	return &reader{it: it, limit: limit}, nil
}

// close may be called twice.
func (r *reader) close() {
	if r.it != nil {
		_ = r.it.Close()
		r.it = nil
	}
}

// damaged turns what the engine reports while iterating into an error that
// says so; nil when the iterator has merely come to its end.
func (r *reader) damaged() error {
	if err := r.it.Error(); err != nil {
		return damage(err)
	}
	return nil
}

// tail is where the next record goes, and when the last one was written.
func (r *reader) tail() (end uint64, clock int64, err error) {
	if !r.it.SeekLT([]byte{spaceAll + 1}) {
		return firstPosition, 0, r.damaged()
	}
	rec, err := r.current()
	if err != nil {
		return 0, 0, err
	}
	return rec.position + rec.size, rec.created, nil
}

// current decodes the record under the iterator. Its bytes are the reader's
// own copy and outlive the iterator.
func (r *reader) current() (record, error) {
	key := r.it.Key()
	if len(key) != 9 || key[0] != spaceAll {
		return record{}, fmt.Errorf("%w: unexpected key %q among the records", errCorrupt, key)
	}
	value, err := r.it.ValueAndErr()
	if err != nil {
		return record{}, damage(err)
	}
	return decodeRecord(binary.BigEndian.Uint64(key[1:]), append([]byte(nil), value...))
}

// last finds a stream's last entry.
func (r *reader) last(stream string) (entry, bool, error) {
	prefix, end := streamPrefix(stream), streamEnd(stream)
	for ok := r.it.SeekLT(end); ok; ok = r.it.Prev() {
		e, within, err := r.entryHere(prefix)
		if err != nil || !within {
			return entry{}, false, err
		}
		if e.position < r.limit {
			return e, true, nil
		}
	}
	return entry{}, false, r.damaged()
}

// newest finds the newest event of a stream of metadata. A tombstone is none: it
// ends the stream and leaves in force what was said before.
func (r *reader) newest(metastream string) (entry, bool, error) {
	e, ok, err := r.last(metastream)
	if err != nil || !ok || e.revision != tombstoneRevision {
		return e, ok, err
	}
	list, err := r.entries(metastream, tombstoneRevision-1, 1, true)
	if err != nil || len(list) == 0 {
		return entry{}, false, err
	}
	return list[0], true, nil
}

// entryHere decodes the index entry under the iterator, unless the iterator
// has left the stream.
func (r *reader) entryHere(prefix []byte) (entry, bool, error) {
	key := r.it.Key()
	if len(key) != len(prefix)+8 || string(key[:len(prefix)]) != string(prefix) || key[len(prefix)] > 0x7F {
		return entry{}, false, nil
	}
	value, err := r.it.ValueAndErr()
	if err != nil {
		return entry{}, false, damage(err)
	}
	e, err := decodeEntry(prefix, key, value)
	return e, err == nil, err
}

// entries lists up to max entries of a stream from a revision on, forwards or
// backwards. Revisions are dense but for the tombstone's, so a hole means loss.
func (r *reader) entries(stream string, from uint64, max int, backwards bool) ([]entry, error) {
	prefix := streamPrefix(stream)
	step := r.it.Next
	var ok bool
	if backwards {
		step = r.it.Prev
		ok = r.it.SeekLT(append(streamKey(stream, from), 0))
	} else {
		ok = r.it.SeekGE(streamKey(stream, from))
	}
	var list []entry
	for ; ok && len(list) < max; ok = step() {
		e, within, err := r.entryHere(prefix)
		if err != nil {
			return nil, err
		}
		if !within {
			return list, nil
		}
		if e.position >= r.limit {
			if backwards {
				continue
			}
			return list, nil
		}
		if hole(list, e, backwards) {
			return nil, fmt.Errorf("%w: stream %q lacks revisions between %d and %d", errCorrupt, stream, list[len(list)-1].revision, e.revision)
		}
		list = append(list, e)
	}
	return list, r.damaged()
}

func hole(list []entry, e entry, backwards bool) bool {
	if len(list) == 0 {
		return false
	}
	a, b := list[len(list)-1].revision, e.revision
	if backwards {
		a, b = b, a
	}
	return b != a+1 && b != tombstoneRevision
}

// record fetches what an index entry points at.
func (r *reader) record(stream string, e entry) (record, error) {
	key := allKey(e.position)
	if !r.it.SeekGE(key) || string(r.it.Key()) != string(key) {
		if err := r.damaged(); err != nil {
			return record{}, err
		}
		return record{}, fmt.Errorf("%w: revision %d of stream %q is missing at position %d", errCorrupt, e.revision, stream, e.position)
	}
	rec, err := r.current()
	if err != nil {
		return record{}, err
	}
	if rec.stream != stream || rec.revision != e.revision || rec.id != e.id {
		return record{}, fmt.Errorf("%w: position %d does not hold revision %d of stream %q", errCorrupt, e.position, e.revision, stream)
	}
	return rec, nil
}

// find fetches one revision of a stream; false when there is none.
func (r *reader) find(stream string, revision uint64) (record, bool, error) {
	list, err := r.entries(stream, revision, 1, false)
	if err != nil || len(list) == 0 || list[0].revision != revision {
		return record{}, false, err
	}
	rec, err := r.record(stream, list[0])
	return rec, err == nil, err
}
