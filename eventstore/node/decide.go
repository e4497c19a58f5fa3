package node

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// errProtected is returned for a write that would delete or truncate a
// protected stream.
var errProtected = errors.New("access denied")

// decide checks a write against everything decided before it, and stages what
// it writes.
func (s *sequencer) decide(w *write) outcome {
	if err := s.permit(w); err != nil {
		return outcome{err: err}
	}
	h, err := s.head(w.stream)
	if err != nil {
		return outcome{err: err}
	}
	ids := make([]uuid.UUID, 0, max(len(w.events), 1))
	for i := range w.events {
		ids = append(ids, w.events[i].id)
	}
	if w.op != opAppend {
		ids = append(ids, uuid.New())
	}
	v, at, err := checkCommit(h, w.stream, w.expected, ids, past{s})
	if err != nil {
		return outcome{err: err}
	}
	switch v {
	case verdictIdempotent:
		return s.repeated(h, w.stream, at)
	case verdictWrong, verdictDeleted:
		return outcome{verdict: v, last: h.last}
	}
	other, err := s.preload(h, w)
	if err != nil {
		return outcome{err: err}
	}
	if other.tombstoned && s.describes(h, w) {
		return outcome{verdict: verdictDeleted, last: h.last}
	}
	switch w.op {
	case opSoftDelete:
		return s.softDelete(h, w.stream)
	case opTombstone:
		return s.tombstone(h, w.stream, ids[0])
	}
	return s.append(h, w)
}

// preload brings the other head that a write will change into memory, an empty
// one where there is none. Once something is staged the store is behind, and a
// failure to read it could no longer be answered by refusing just this write.
func (s *sequencer) preload(h *head, w *write) (*head, error) {
	switch {
	case w.op == opTombstone || s.describes(h, w):
		return s.head(metastreamOf(w.stream))
	case isMetastream(w.stream):
		return s.head(originalOf(w.stream))
	}
	return &head{}, nil
}

// describes reports whether a write makes the node write metadata of its
// stream: to delete it softly, or to end that. A stream whose metadata were
// ended by a tombstone takes no such write.
func (s *sequencer) describes(h *head, w *write) bool {
	return w.op == opSoftDelete || w.op == opAppend && h.softDeleted()
}

// permit refuses what would take events away from a protected stream.
func (s *sequencer) permit(w *write) error {
	if s.protect == nil {
		return nil
	}
	owner := w.stream
	for isMetastream(owner) {
		owner = originalOf(owner)
	}
	if !s.protect(owner) && !s.protect(w.stream) {
		return nil
	}
	if w.op != opAppend {
		return fmt.Errorf("%w: the events of stream %q may not be deleted", errProtected, owner)
	}
	if !isMetastream(w.stream) {
		return nil
	}
	for i := range w.events {
		if truncates(w.events[i].data) {
			return fmt.Errorf("%w: the events of stream %q may not be truncated", errProtected, owner)
		}
	}
	return nil
}

// repeated answers a batch that was written before. Its position is only told
// while the event can still be read from its stream.
func (s *sequencer) repeated(h *head, stream string, at stored) outcome {
	out := outcome{verdict: verdictIdempotent, last: int64(at.revision)}
	if at.revision < h.first() {
		return out
	}
	if s.group.staged[stream] {
		out.position, out.located = at.position, true
		return out
	}
	r, err := s.engine.read(everything)
	if err != nil {
		return outcome{err: err}
	}
	defer r.close()
	rec, ok, err := r.find(stream, at.revision)
	if err != nil {
		return outcome{err: err}
	}
	if ok && h.visible(&rec, s.now()) {
		out.position, out.located = rec.position, true
	}
	return out
}

// append stages the events of a write and what they do to the stream's
// metadata. A write without events has effects too: it is checked, and it ends
// a soft deletion.
func (s *sequencer) append(h *head, w *write) outcome {
	out := outcome{verdict: verdictWrite}
	wasDeleted := h.softDeleted() && !isMetastream(w.stream)
	for i := range w.events {
		rec := &w.events[i]
		rec.stream, rec.revision = w.stream, uint64(h.last+1)
		if err := s.stage(rec); err != nil {
			return s.broken(err)
		}
		h.last++
		out.position, out.located = rec.position, true
	}
	out.last = h.last
	var err error
	switch {
	case isMetastream(w.stream):
		err = s.described(w.stream, w.events)
	case wasDeleted:
		err = s.recreate(h, w.stream, h.last+1-int64(len(w.events)))
	}
	if err != nil {
		return s.broken(err)
	}
	return out
}

// broken marks the store as unusable: something was staged that cannot be
// taken back.
func (s *sequencer) broken(err error) outcome {
	s.failed = fmt.Errorf("staging failed: %w", err)
	return outcome{err: s.failed}
}

// described lets the original stream's head follow a write to its metastream.
// Metadata written to a soft-deleted stream brings the stream back, empty.
func (s *sequencer) described(metastream string, events []record) error {
	stream := originalOf(metastream)
	if isMetastream(stream) {
		return nil
	}
	h, err := s.head(stream)
	if err != nil {
		return err
	}
	wasDeleted := h.softDeleted()
	if len(events) > 0 {
		h.describe(&events[len(events)-1])
	}
	if wasDeleted {
		return s.recreate(h, stream, h.last+1)
	}
	return nil
}

// recreate ends a soft deletion: what lies before the first new revision stays
// hidden, and numbering goes on.
func (s *sequencer) recreate(h *head, stream string, first int64) error {
	changed, ok := withTruncateBefore(h.metadata, first)
	if !ok {
		return nil
	}
	_, err := s.stageMetadata(h, stream, changed)
	return err
}

func (s *sequencer) stageMetadata(h *head, stream string, data []byte) (uint64, error) {
	metastream := metastreamOf(stream)
	meta, err := s.head(metastream)
	if err != nil {
		return 0, err
	}
	rec := record{
		stream: metastream, revision: uint64(meta.last + 1), id: uuid.New(),
		typ: typeMetadata, json: true, data: data,
	}
	if err := s.stage(&rec); err != nil {
		return 0, err
	}
	meta.last++
	if !isMetastream(stream) {
		h.describe(&rec)
	}
	return rec.position, nil
}

// softDelete hides all events of a stream; a later append begins after them.
func (s *sequencer) softDelete(h *head, stream string) outcome {
	meta, err := s.head(metastreamOf(stream))
	if err != nil {
		return outcome{err: err}
	}
	if h.last < 0 && meta.last < 0 {
		return outcome{verdict: verdictWrong, last: h.last}
	}
	position, err := s.stageMetadata(h, stream, []byte(`{"$tb":9223372036854775807}`))
	if err != nil {
		return s.broken(err)
	}
	return outcome{verdict: verdictWrite, last: h.last, position: position, located: true}
}

// tombstone ends a stream for good.
func (s *sequencer) tombstone(h *head, stream string, id uuid.UUID) outcome {
	rec := record{stream: stream, revision: tombstoneRevision, id: id, typ: typeTombstone}
	if err := s.stage(&rec); err != nil {
		return s.broken(err)
	}
	h.last, h.tombstoned = tombstoneRevision, true
	meta, err := s.head(metastreamOf(stream))
	if err != nil {
		return s.broken(err)
	}
	meta.tombstoned = true
	return outcome{verdict: verdictWrite, last: h.last, position: rec.position, located: true}
}
