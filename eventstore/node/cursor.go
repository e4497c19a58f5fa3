package node

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A page is what is read at once, before any of it is sent: the engine's
// iterator is closed by then, so that a slow reader holds nothing back.
const (
	pageRecords = 128
	pageBytes   = 1 << 20
)

// allCursor walks the whole log in pages.
type allCursor struct {
	next  uint64 // forwards: the position to go on at; backwards: before which to
	exact bool   // next is known to be where a record begins or, backwards, ends
	cut   bool   // the last page ended before a damaged place
}

// forwards reads the next records before the reader's limit. An empty page
// means that there are none. What stands before a damaged place is given first;
// the next call then meets nothing else.
func (c *allCursor) forwards(r *reader, max int) ([]record, error) {
	var page []record
	bytes := uint64(0)
	c.cut = false
	for ok := r.it.SeekGE(allKey(c.next)); ok && len(page) < max && bytes < pageBytes; ok = r.it.Next() {
		if r.it.Key()[0] != spaceAll {
			break
		}
		rec, err := r.current()
		if err == nil && rec.position >= r.limit {
			break
		}
		if err == nil && c.exact && rec.position != c.next {
			err = fmt.Errorf("%w: nothing is stored at position %d, the next record is at %d", errCorrupt, c.next, rec.position)
		}
		if err != nil {
			return page, unless(page, err, &c.cut)
		}
		c.next, c.exact = rec.position+rec.size, true
		bytes += rec.size
		page = append(page, rec)
	}
	if err := r.damaged(); err != nil {
		return page, unless(page, fmt.Errorf("%w; it is what stands at position %d or after it", err, c.next), &c.cut)
	}
	if len(page) == 0 && c.exact && c.next < r.limit {
		return nil, fmt.Errorf("%w: nothing is stored between position %d and the end at %d", errCorrupt, c.next, r.limit)
	}
	return page, nil
}

// unless keeps an error back while there is something to be given first, and
// notes that it does.
func unless(page []record, err error, cut *bool) error {
	if *cut = len(page) > 0; *cut {
		return nil
	}
	return err
}

// backwards reads the records that lie wholly before next, the last one first.
func (c *allCursor) backwards(r *reader, max int) ([]record, error) {
	var page []record
	bytes := uint64(0)
	c.cut = false
	for ok := r.it.SeekLT(allKey(c.next)); ok && len(page) < max && bytes < pageBytes; ok = r.it.Prev() {
		rec, err := r.current()
		if err == nil && rec.position+rec.size > c.next {
			continue
		}
		if err == nil && c.exact && rec.position+rec.size != c.next {
			err = fmt.Errorf("%w: no record ends at position %d, the one before ends at %d", errCorrupt, c.next, rec.position+rec.size)
		}
		if err != nil {
			return page, unless(page, err, &c.cut)
		}
		c.next, c.exact = rec.position, true
		bytes += rec.size
		page = append(page, rec)
	}
	if err := r.damaged(); err != nil {
		return page, unless(page, fmt.Errorf("%w; it is what stands before position %d", err, c.next), &c.cut)
	}
	if len(page) == 0 && c.exact && c.next > firstPosition {
		return nil, fmt.Errorf("%w: nothing is stored before position %d", errCorrupt, c.next)
	}
	return page, nil
}

// streamCursor walks one stream in pages.
type streamCursor struct {
	stream    string
	next      uint64 // revision to go on at, inclusive
	backwards bool
	ended     bool // nothing lies beyond, backwards
	cut       bool // the last page ended before a damaged place
}

// page reads the next records of the stream. An empty page means that there
// are none. As revisions are dense, the first must be the one asked for.
func (c *streamCursor) page(r *reader, max int) ([]record, error) {
	if c.ended {
		return nil, nil
	}
	list, err := r.entries(c.stream, c.next, max, c.backwards)
	if err != nil {
		return nil, fmt.Errorf("%w; it is what tells where the events of stream %q are", err, c.stream)
	}
	if len(list) > 0 && list[0].revision != c.next && list[0].revision != tombstoneRevision {
		return nil, fmt.Errorf("%w: stream %q lacks revision %d, beside %d", errCorrupt, c.stream, c.next, list[0].revision)
	}
	if len(list) == 0 && c.backwards {
		return nil, fmt.Errorf("%w: stream %q lacks its revisions up to %d", errCorrupt, c.stream, c.next)
	}
	var page []record
	bytes := uint64(0)
	c.cut = false
	for _, e := range list {
		rec, err := r.record(c.stream, e)
		if err != nil {
			return page, unless(page, fmt.Errorf("%w; it is revision %d of stream %q", err, e.revision, c.stream), &c.cut)
		}
		page = append(page, rec)
		switch {
		case !c.backwards:
			c.next = e.revision + 1
		case e.revision == 0:
			c.ended = true
		default:
			c.next = e.revision - 1
		}
		if bytes += rec.size; bytes >= pageBytes {
			break
		}
	}
	return page, nil
}

// resolve follows a link. A link that cannot be read as one is an event like
// any other; one whose target is gone stands alone.
func (r *reader) resolve(rec *record, now time.Time) (resolved, error) {
	if rec.typ != typeLink {
		return resolved{event: rec}, nil
	}
	number, stream, ok := strings.Cut(string(rec.data), "@")
	revision, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || revision < 0 || stream == "" {
		return resolved{event: rec}, nil
	}
	h, err := r.head(stream)
	if err != nil {
		return resolved{}, err
	}
	if h.tombstoned || h.softDeleted() {
		return resolved{link: rec}, nil
	}
	target, ok, err := r.find(stream, uint64(revision))
	if err != nil {
		return resolved{}, err
	}
	if !ok || !h.visible(&target, now) {
		return resolved{link: rec}, nil
	}
	return resolved{event: &target, link: rec}, nil
}
