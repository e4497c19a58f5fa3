package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	metaType        = "type"
	metaCreated     = "created"
	metaContentType = "content-type"

	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

// parseID reads both forms of an id. The structured one holds the big-endian
// halves of the RFC 4122 bytes.
func parseID(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(u[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return u, nil
	case *shared.UUID_String_:
		return uuid.Parse(v.String_)
	}
	return uuid.UUID{}, errors.New("an event lacks its id")
}

func idToWire(id uuid.UUID, asString bool) *shared.UUID {
	if asString {
		return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// resolved is what a reader is given for one place in a stream or in $all: the
// event there and, where a link was followed, both ends of it.
type resolved struct {
	event *record // nil when the link's target is gone
	link  *record
}

// original is the record whose place this is.
func (r resolved) original() *record {
	if r.link != nil {
		return r.link
	}
	return r.event
}

// checkEnum refuses a value that its enumeration does not have. Generated code
// takes any number for one.
func checkEnum(ctx context.Context, value protoreflect.Enum) error {
	d := value.Descriptor()
	if d.Values().ByNumber(value.Number()) == nil {
		return failInvalid(ctx, fmt.Sprintf("There is no %s %d.", d.Name(), value.Number()))
	}
	return nil
}
