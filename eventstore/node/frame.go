package node

import (
	"encoding/binary"
	"strconv"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// frame is a ReadResp with an event that is encoded already. A read consists
// of little else, and building the generated message with its map for every
// event, only to have it walked over again, took half of the time.
type frame []byte

// frameCodec passes frames on as they are and leaves the rest to the codec
// that gRPC would use.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2("proto")} }

func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// The numbers of the fields in streams.proto and shared.proto.
const (
	fieldRespEvent = 1

	fieldEvent    = 1
	fieldLink     = 2
	fieldPosition = 3

	fieldID       = 1
	fieldStream   = 2
	fieldRevision = 3
	fieldPrepare  = 4
	fieldCommit   = 5
	fieldMetadata = 6
	fieldCustom   = 7
	fieldData     = 8

	fieldStructured = 1
	fieldString     = 2
	fieldMost       = 1
	fieldLeast      = 2
	fieldStreamName = 3
	fieldKey        = 1
	fieldValue      = 2
)

// frames encodes a page of events into one buffer.
func frames(events []resolved, stringIDs bool) []frame {
	size := 0
	for _, e := range events {
		size += e.bound()
	}
	slab := make([]byte, size)
	list := make([]frame, len(events))
	for i, e := range events {
		region := slab[:e.bound():e.bound()]
		slab = slab[e.bound():]
		list[i] = e.frame(region, stringIDs)
	}
	return list
}

// bound is more than the encoded event can take.
func (r resolved) bound() int {
	const fixed = 320 // ids, numbers, keys, tags and lengths
	size := 0
	for _, rec := range []*record{r.event, r.link} {
		if rec != nil {
			size += fixed + len(rec.stream) + len(rec.typ) + len(rec.meta) + len(rec.data)
		}
	}
	return size
}

// frame encodes the event into the end of region.
func (r resolved) frame(region []byte, stringIDs bool) frame {
	w := backwriter{region, len(region)}
	w.resolved(r, stringIDs)
	w.open(fieldRespEvent, len(region))
	return frame(region[w.at:])
}

// backwriter writes a protobuf message from its end to its beginning, so that
// what stands before a part, its length, is known when its turn comes.
type backwriter struct {
	b  []byte
	at int // where the last thing written begins
}

func (w *backwriter) varint(v uint64) {
	w.at -= protowire.SizeVarint(v)
	protowire.AppendVarint(w.b[:w.at], v)
}

func (w *backwriter) tag(field protowire.Number, t protowire.Type) {
	w.varint(protowire.EncodeTag(field, t))
}

func (w *backwriter) number(field protowire.Number, v uint64) {
	w.varint(v)
	w.tag(field, protowire.VarintType)
}

func (w *backwriter) bytes(field protowire.Number, v []byte) {
	end := w.at
	w.at -= copy(w.b[w.at-len(v):], v)
	w.open(field, end)
}

func (w *backwriter) string(field protowire.Number, v string) {
	end := w.at
	w.at -= copy(w.b[w.at-len(v):], v)
	w.open(field, end)
}

// open puts tag and length before what was written since end.
func (w *backwriter) open(field protowire.Number, end int) {
	w.varint(uint64(end - w.at))
	w.tag(field, protowire.BytesType)
}

// resolved writes what a read and a persistent subscription have in common.
func (w *backwriter) resolved(r resolved, stringIDs bool) {
	w.number(fieldPosition, r.original().position)
	for _, part := range []struct {
		field protowire.Number
		rec   *record
	}{{fieldLink, r.link}, {fieldEvent, r.event}} {
		if part.rec != nil {
			end := w.at
			w.record(part.rec, stringIDs)
			w.open(part.field, end)
		}
	}
}

func (w *backwriter) record(rec *record, stringIDs bool) {
	if len(rec.data) > 0 {
		w.bytes(fieldData, rec.data)
	}
	if len(rec.meta) > 0 {
		w.bytes(fieldCustom, rec.meta)
	}
	content := contentBinary
	if rec.json {
		content = contentJSON
	}
	w.metadata(metaContentType, content)
	w.metadata(metaCreated, strconv.FormatInt(rec.created, 10))
	w.metadata(metaType, rec.typ)
	w.number(fieldCommit, rec.position)
	w.number(fieldPrepare, rec.position)
	w.number(fieldRevision, rec.revision)
	end := w.at
	w.string(fieldStreamName, rec.stream)
	w.open(fieldStream, end)
	w.id(rec, stringIDs)
}

func (w *backwriter) metadata(key, value string) {
	end := w.at
	w.string(fieldValue, value)
	w.string(fieldKey, key)
	w.open(fieldMetadata, end)
}

func (w *backwriter) id(rec *record, asString bool) {
	end := w.at
	if asString {
		w.string(fieldString, rec.id.String())
	} else {
		w.number(fieldLeast, binary.BigEndian.Uint64(rec.id[8:]))
		w.number(fieldMost, binary.BigEndian.Uint64(rec.id[:8]))
		w.open(fieldStructured, end)
	}
	w.open(fieldID, end)
}
