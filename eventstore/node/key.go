package node

import (
	"encoding/binary"
	"math"
	"strings"
)

// The store has two key spaces. spaceAll orders every record by its position
// and holds the record itself; spaceStream orders every stream's revisions and
// holds where the record lies. Both are written in one atomic batch.
const (
	spaceAll    = 'a'
	spaceStream = 's'
)

// tombstoneRevision is the revision of the record that ends a stream for good,
// so that a stream's last key alone says whether it may still be written.
const tombstoneRevision = math.MaxInt64

// allKey is the key of the record at a position.
func allKey(position uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceAll}, position)
}

// streamPrefix begins the keys of one stream and of no other. A stream's name
// may hold any bytes: a zero inside it is followed by 0xFF, and the zero that
// ends it is followed by a revision, whose first byte is at most 0x7F. So no
// name can be read as another's continuation, and the keys of one stream are
// never interleaved with those of a second.
func streamPrefix(stream string) []byte {
	key := make([]byte, 0, 1+len(stream)+1+8)
	key = append(key, spaceStream)
	for {
		zero := strings.IndexByte(stream, 0)
		if zero < 0 {
			break
		}
		key = append(key, stream[:zero]...)
		key = append(key, 0, 0xFF)
		stream = stream[zero+1:]
	}
	key = append(key, stream...)
	return append(key, 0)
}

// prefixOf is the prefix of the stream that a key belongs to.
func prefixOf(key []byte) []byte {
	for i := 1; i < len(key); i++ {
		if key[i] != 0 {
			continue
		}
		if i+1 == len(key) || key[i+1] != 0xFF {
			return key[:i+1]
		}
		i++
	}
	return key
}

// streamOfPrefix is the name that streamPrefix was given.
func streamOfPrefix(prefix []byte) string {
	return strings.ReplaceAll(string(prefix[1:len(prefix)-1]), "\x00\xFF", "\x00")
}

// streamKey is the key of a revision of a stream.
func streamKey(stream string, revision uint64) []byte {
	return binary.BigEndian.AppendUint64(streamPrefix(stream), revision)
}

// streamEnd lies after every key of the stream and before those of the next.
func streamEnd(stream string) []byte {
	return append(streamPrefix(stream), 0x80)
}
