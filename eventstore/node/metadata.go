package node

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	metaPrefix = "$$"

	typeMetadata  = "$metadata"
	typeTombstone = "$streamDeleted"
	typeLink      = "$>"

	keyMaxCount       = "$maxCount"
	keyMaxAge         = "$maxAge"
	keyTruncateBefore = "$tb"
	keyCacheControl   = "$cacheControl"
	keyTemporary      = "$tmp"

	// softDeleted as $tb hides every event a stream has or ever will have.
	softDeleted = math.MaxInt64
)

// isMetastream tells whether a stream holds another's metadata.
func isMetastream(stream string) bool { return strings.HasPrefix(stream, metaPrefix) }

// metastreamOf names the stream that holds a stream's metadata.
func metastreamOf(stream string) string { return metaPrefix + stream }

// originalOf names the stream that a metastream describes.
func originalOf(metastream string) string { return metastream[len(metaPrefix):] }

// retention is what of a stream's metadata hides events from its readers. The
// zero value hides nothing.
type retention struct {
	maxCount       int64
	maxAge         time.Duration
	truncateBefore int64
}

// metastreamRetention is fixed for all metastreams: only the newest counts.
var metastreamRetention = retention{maxCount: 1}

// parseRetention reads a metadata event. As on the original server one that is
// not marked as JSON, or has one value of the wrong kind, hides nothing at all.
func parseRetention(rec *record) retention {
	fields := metadataFields(rec.data)
	var m retention
	if !rec.json {
		return m
	}
	for key, value := range fields {
		if !understood(key, value) {
			return m
		}
	}
	if n := positive(fields[keyMaxCount]); n > 0 {
		m.maxCount = n
	}
	if n := positive(fields[keyMaxAge]); n > 0 && n <= int64(math.MaxInt64/time.Second) {
		m.maxAge = time.Duration(n) * time.Second
	}
	if n := positive(fields[keyTruncateBefore]); n > 0 {
		m.truncateBefore = n
	}
	return m
}

// understood tells whether a value of metadata is of the kind that its key
// takes. Other keys than the server's own take any.
func understood(key string, value json.RawMessage) bool {
	switch key {
	case keyMaxCount, keyMaxAge, keyTruncateBefore, keyCacheControl:
		_, err := strconv.ParseInt(string(value), 10, 64)
		return err == nil
	case keyTemporary:
		return string(value) == "true" || string(value) == "false"
	case keyACL:
		return understoodACL(value)
	}
	return true
}

// byteOrderMark is how some editors begin a text.
const byteOrderMark = "\uFEFF"

// metadataFields is nil unless data is one JSON object, perhaps after a
// byte-order mark. It is read into a map because the keys are case-sensitive.
func metadataFields(data []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimPrefix(data, []byte(byteOrderMark)), &fields) != nil {
		return nil
	}
	return fields
}

func positive(raw json.RawMessage) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// truncates tells whether a metadata event could hide events, now or with
// another reader's tolerance for odd values.
func truncates(data []byte) bool {
	fields := metadataFields(data)
	for _, key := range []string{keyMaxCount, keyMaxAge, keyTruncateBefore} {
		if raw, ok := fields[key]; ok && !bytes.Equal(raw, []byte("null")) {
			return true
		}
	}
	return false
}

// withTruncateBefore is the metadata with another $tb and everything else as
// it was; false when there is no JSON object to change.
func withTruncateBefore(data []byte, revision int64) ([]byte, bool) {
	fields := metadataFields(data)
	if fields == nil {
		return nil, false
	}
	fields[keyTruncateBefore] = json.RawMessage(strconv.FormatInt(revision, 10))
	changed, err := json.Marshal(fields)
	return changed, err == nil
}

// head is what is known of a stream as a whole. It is derived from the
// stream's last entry and its metadata; nothing of it is stored by itself.
type head struct {
	last       int64 // last revision, truncation ignored; -1 if never written
	tombstoned bool  // for a metastream: or its original stream is
	described  bool  // metadata has been written
	retention  retention
	metadata   []byte // newest metadata event's data
}

func (h *head) softDeleted() bool { return h.retention.truncateBefore == softDeleted }

// describe takes over a newly written metadata event.
func (h *head) describe(rec *record) {
	h.described, h.metadata, h.retention = true, rec.data, parseRetention(rec)
}

// first is the lowest revision that count and truncation let a reader see.
func (h *head) first() uint64 {
	first := h.retention.truncateBefore
	if n := h.retention.maxCount; n > 0 {
		first = max(first, h.last-n+1)
	}
	return uint64(max(first, 0))
}

// goOn is the revision of the first visible event for a subscriber who would go
// on at next. History passes over hidden events and ends with the last revision:
// later events are delivered, also where truncation reaches further.
func (h *head) goOn(next uint64) uint64 {
	return max(next, min(h.first(), uint64(h.last+1)))
}

// visible tells whether a reader of the stream may see a record.
func (h *head) visible(rec *record, now time.Time) bool {
	return rec.revision >= h.first() && !h.expired(rec, now)
}

func (h *head) expired(rec *record, now time.Time) bool {
	return h.retention.maxAge > 0 && rec.created < ticks(now.Add(-h.retention.maxAge))
}

// head reads what is known of a stream.
func (r *reader) head(stream string) (head, error) {
	h := head{last: -1}
	last, ok, err := r.last(stream)
	if err != nil {
		return head{}, err
	}
	if ok && last.revision == tombstoneRevision {
		return head{last: tombstoneRevision, tombstoned: true}, nil
	}
	if ok {
		h.last = int64(last.revision)
	}
	if isMetastream(stream) {
		h.retention = metastreamRetention
		original, ok, err := r.last(originalOf(stream))
		h.tombstoned = ok && original.revision == tombstoneRevision
		return h, err
	}
	meta, ok, err := r.newest(metastreamOf(stream))
	if err != nil || !ok {
		return h, err
	}
	rec, err := r.record(metastreamOf(stream), meta)
	if err != nil {
		return head{}, err
	}
	h.describe(&rec)
	return h, nil
}

// ticks is an instant in the protocol's unit.
func ticks(t time.Time) int64 { return t.UnixNano() / 100 }
