package node

import (
	"bytes"
	"fmt"
	"strings"
)

// beyond is a run of records with revisions above that of a tombstone, in a
// stream of metadata that was ended by one. Earlier versions wrote them when
// the stream that the metadata is about was deleted or written again. No reader
// of a stream finds them; $all shows them.
type beyond struct {
	stream   string
	records  int
	position uint64 // of the first
}

// beyondLast finds such records. It looks at one place of each stream of
// metadata, and at no other streams: nothing was ever written there.
func (r *reader) beyondLast() (found []beyond, err error) {
	metastreams := append([]byte{spaceStream}, metaPrefix...)
	for ok := r.it.SeekGE(metastreams); ok && bytes.HasPrefix(r.it.Key(), metastreams); {
		prefix := bytes.Clone(prefixOf(r.it.Key()))
		run := beyond{stream: streamOfPrefix(prefix)}
		for ok = r.it.SeekGE(append(bytes.Clone(prefix), 0x80)); ok && isBeyond(prefix, r.it.Key()); ok = r.it.Next() {
			value, err := r.it.ValueAndErr()
			if err != nil {
				return nil, damage(err)
			}
			e, err := decodeEntry(prefix, r.it.Key(), value)
			if err != nil {
				return nil, err
			}
			if run.records++; run.records == 1 {
				run.position = e.position
			}
		}
		if run.records > 0 {
			found = append(found, run)
		}
		if ok && bytes.HasPrefix(r.it.Key(), prefix) && !continuesName(prefix, r.it.Key()) {
			return nil, fmt.Errorf("%w: malformed index entry %q", errCorrupt, r.it.Key())
		}
	}
	return found, r.damaged()
}

// isBeyond reports whether a key is one of a stream's with a revision that is
// too great.
func isBeyond(prefix, key []byte) bool {
	return len(key) == len(prefix)+8 && bytes.HasPrefix(key, prefix) && key[len(prefix)] > 0x7F && !continuesName(prefix, key)
}

// continuesName reports whether a key that begins with a stream's prefix is of
// a stream with a longer name: 0xFF is no revision's first byte.
func continuesName(prefix, key []byte) bool {
	return len(key) > len(prefix) && key[len(prefix)] == 0xFF
}

// nameBeyond logs the streams that have such records. That the log is damaged
// there keeps nobody from what is sound.
func (n *Node) nameBeyond(view *reader) {
	runs, err := view.beyondLast()
	if err != nil {
		n.log.Error("damaged store", "error", err)
	}
	for _, run := range runs {
		n.log.Warn("records beyond the last revision: an earlier version wrote them, no stream has them, and a copy of the log leaves them out",
			"stream", strings.ToValidUTF8(run.stream, "\uFFFD"), "records", run.records, "position", run.position)
	}
}
