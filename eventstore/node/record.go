package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
)

// errCorrupt is returned when stored bytes are not the bytes that were
// written. Such bytes are named, never served.
var errCorrupt = errors.New("the store is damaged")

// maxStreamName keeps the length of a name inside the two bytes it has in a
// record, and a key reasonably short.
const maxStreamName = 16 << 10

// record is one event as it is stored. Its byte fields may alias the buffer
// that it was decoded from.
type record struct {
	position uint64
	revision uint64
	created  int64 // 100 ns ticks since the Unix epoch, the protocol's own unit
	id       uuid.UUID
	json     bool
	stream   string
	typ      string
	meta     []byte
	data     []byte
	size     uint64 // of the stored form; the next position is position+size
}

// The stored form, integers big-endian:
//
//	version 1 | flags 1 | created 8 | revision 8 | id 16 |
//	len(stream) 2 | len(type) 4 | len(meta) 4 | stream | type | meta | data | crc 4
//
// The checksum also covers the position, so that a sound record in the wrong
// place is found out too.
const (
	recordVersion = 1
	recordHeader  = 1 + 1 + 8 + 8 + 16 + 2 + 4 + 4
	recordTrailer = 4
	flagJSON      = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(position uint64, body []byte) uint32 {
	var p [8]byte
	binary.BigEndian.PutUint64(p[:], position)
	return crc32.Update(crc32.Checksum(p[:], castagnoli), castagnoli, body)
}

func (r *record) encodedSize() int {
	return recordHeader + len(r.stream) + len(r.typ) + len(r.meta) + len(r.data) + recordTrailer
}

// encode writes the stored form into dst, which is encodedSize long.
func (r *record) encode(dst []byte) {
	b := append(dst[:0], recordVersion, 0)
	if r.json {
		b[1] |= flagJSON
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.created))
	b = binary.BigEndian.AppendUint64(b, r.revision)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.stream)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.typ)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.meta)))
	b = append(b, r.stream...)
	b = append(b, r.typ...)
	b = append(b, r.meta...)
	b = append(b, r.data...)
	binary.BigEndian.AppendUint32(b, checksum(r.position, b))
}

// decodeRecord reads the stored form found at a position. The result's meta
// and data alias b.
func decodeRecord(position uint64, b []byte) (record, error) {
	if len(b) < recordHeader+recordTrailer {
		return record{}, fmt.Errorf("%w: the record at position %d has only %d bytes", errCorrupt, position, len(b))
	}
	body := b[:len(b)-recordTrailer]
	if checksum(position, body) != binary.BigEndian.Uint32(b[len(body):]) {
		return record{}, fmt.Errorf("%w: the record at position %d does not match its checksum", errCorrupt, position)
	}
	if body[0] != recordVersion {
		return record{}, fmt.Errorf("%w: the record at position %d has the unknown version %d", errCorrupt, position, body[0])
	}
	r := record{
		position: position,
		size:     uint64(len(b)),
		json:     body[1]&flagJSON != 0,
		created:  int64(binary.BigEndian.Uint64(body[2:])),
		revision: binary.BigEndian.Uint64(body[10:]),
		id:       uuid.UUID(body[18:34]),
	}
	streamLen := int(binary.BigEndian.Uint16(body[34:]))
	typeLen := int(binary.BigEndian.Uint32(body[36:]))
	metaLen := int(binary.BigEndian.Uint32(body[40:]))
	rest := body[recordHeader:]
	if streamLen+typeLen+metaLen > len(rest) {
		return record{}, fmt.Errorf("%w: the record at position %d contradicts its own lengths", errCorrupt, position)
	}
	r.stream, rest = string(rest[:streamLen]), rest[streamLen:]
	r.typ, rest = string(rest[:typeLen]), rest[typeLen:]
	r.meta, r.data = rest[:metaLen:metaLen], rest[metaLen:]
	return r, nil
}

// entry is what a stream's index holds of one revision.
type entry struct {
	revision uint64
	position uint64
	id       uuid.UUID
}

const entrySize = 8 + 16 + 4

func (e entry) encode(dst []byte) {
	b := binary.BigEndian.AppendUint64(dst[:0], e.position)
	b = append(b, e.id[:]...)
	binary.BigEndian.AppendUint32(b, checksum(e.revision, b))
}

// decodeEntry reads an index entry; prefix is the stream's prefix in key.
func decodeEntry(prefix, key, value []byte) (entry, error) {
	if len(key) != len(prefix)+8 || len(value) != entrySize {
		return entry{}, fmt.Errorf("%w: malformed index entry %q", errCorrupt, key)
	}
	e := entry{
		revision: binary.BigEndian.Uint64(key[len(prefix):]),
		position: binary.BigEndian.Uint64(value),
		id:       uuid.UUID(value[8:24]),
	}
	if checksum(e.revision, value[:24]) != binary.BigEndian.Uint32(value[24:]) {
		return entry{}, fmt.Errorf("%w: the index entry %q does not match its checksum", errCorrupt, key)
	}
	return e, nil
}
