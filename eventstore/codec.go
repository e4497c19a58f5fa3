package eventstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"

	"permitledger/domain"
)

// Keys seals and opens the personal parts of events. All methods are safe
// for concurrent use.
type Keys interface {
	// Seal encrypts plaintext under the person's key, bound to aad. The key
	// is on disk before Seal returns. It fails for a person whose key was
	// destroyed.
	Seal(person domain.AccountID, plaintext, aad []byte) (keyID string, sealed []byte, err error)
	// Open decrypts what Seal made under keyID. erased says that the key was
	// destroyed, for ever. An error that matches domain.ErrKeyLost says that the
	// key is known to be lost; a key that was never here, or bytes that do not
	// open under a living key, are other errors.
	Open(keyID string, sealed, aad []byte) (plaintext []byte, erased bool, err error)
	// Erasures counts the keys that were destroyed here so far. Who keeps what
	// was opened lets go of it when the count has become another one.
	Erasures() uint64
}

// Codec turns events into stored bytes and back. It is safe for concurrent
// use.
//
// The stored body is the event struct's own JSON. A personal part is a member
// "personal" beside it, sealed as a whole under the person's key and bound to
// its stream and event id, so that it cannot be moved to another event.
// Reading is strict: an unknown type, a newer schema version or an unknown
// field is an error, because guessing would lose data silently.
type Codec struct {
	keys Keys
}

// NewCodec makes the codec over the keys of the personal parts.
func NewCodec(keys Keys) *Codec { return &Codec{keys: keys} }

// erasures is how many keys were destroyed. Where there are no keys nothing
// personal is ever opened.
func (c *Codec) erasures() uint64 {
	if c.keys == nil {
		return 0
	}
	return c.keys.Erasures()
}

// sealedPart is the stored form of a personal part.
type sealedPart struct {
	Key    string `json:"key"`
	Sealed string `json:"sealed"` // base64url without padding
}

// personalEvent is an event struct, by pointer, that has a personal part.
type personalEvent interface {
	PersonalPart() domain.PersonalPart
}

// Encode makes the stored form of an event. It takes the id, stream and the
// descriptive fields of env; type and schema version follow from the body.
// A personal part is sealed under the key of person. One that is empty is not
// stored at all, so that what the system itself does to a permit, with nobody's
// words in it, can still be written after its holder was erased.
func (c *Codec) Encode(env Envelope, person domain.AccountID, body domain.Event) (Proposed, error) {
	name := body.EventType()
	k, ok := kindOf(name)
	if !ok {
		return Proposed{}, &UnknownTypeError{Type: name}
	}
	data, part, err := k.encode(body)
	if err != nil {
		return Proposed{}, fmt.Errorf("encode %s: %w", name, err)
	}
	if part != nil {
		if data, err = c.seal(env, person, data, part); err != nil {
			return Proposed{}, fmt.Errorf("encode %s: %w", name, err)
		}
	}
	env.Schema = k.schema
	meta, err := jsonv1.Marshal(metadataOf(env))
	if err != nil {
		return Proposed{}, fmt.Errorf("encode %s: %w", name, err)
	}
	if size := len(data) + len(meta); size > MaxEventSize {
		return Proposed{}, &TooLargeError{Type: name, Size: size}
	}
	return Proposed{ID: env.ID, Type: name, Data: data, Metadata: meta}, nil
}

// seal adds the sealed personal part to a body, which is a JSON object.
func (c *Codec) seal(env Envelope, person domain.AccountID, data []byte, part domain.PersonalPart) ([]byte, error) {
	if part.IsErased() {
		return nil, errors.New("its personal part was erased")
	}
	if reflect.ValueOf(part.Content()).Elem().IsZero() {
		return data, nil
	}
	if person == "" {
		return nil, errors.New("it has a personal part and no person to seal it for")
	}
	plain, err := jsonv1.Marshal(part.Content())
	if err != nil {
		return nil, err
	}
	key, sealed, err := c.keys.Seal(person, plain, associatedData(env.Stream, env.ID))
	if err != nil {
		return nil, err
	}
	member, err := jsonv1.Marshal(sealedPart{Key: key, Sealed: base64.RawURLEncoding.EncodeToString(sealed)})
	if err != nil {
		return nil, err
	}
	return addMember(data, personalMember, member), nil
}

// Decode reads a stored event. When the person's key was destroyed the event
// comes with its personal part erased, and that is no error.
func (c *Codec) Decode(r Recorded) (Event, error) {
	env, err := envelopeOf(r)
	if err != nil {
		return Event{}, decodeError(r, err)
	}
	k, ok := kindOf(r.Type)
	if !ok {
		return Event{}, &UnknownTypeError{Type: r.Type}
	}
	if env.Schema < 1 || env.Schema > k.schema {
		return Event{}, &UnknownSchemaError{Type: r.Type, Schema: env.Schema, Known: k.schema}
	}
	s := stored{clear: r.Data}
	if k.personal {
		if s, err = c.unseal(r); err != nil {
			return Event{}, decodeError(r, err)
		}
	}
	if env.Schema < k.schema {
		if s, err = upcast(r.Type, env.Schema, k.schema, s); err != nil {
			return Event{}, decodeError(r, err)
		}
	}
	body, err := k.decode(s)
	if err != nil {
		return Event{}, decodeError(r, err)
	}
	return Event{Envelope: env, Body: body}, nil
}

// stored is a body after its personal part was taken out and opened.
type stored struct {
	clear    []byte
	personal []byte // nil: there is none, or it cannot be opened
	erased   bool
	lost     bool
}

func (c *Codec) unseal(r Recorded) (stored, error) {
	clear, part, err := cutPersonal(r.Data)
	if err != nil || part == nil {
		return stored{clear: clear}, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(part.Sealed)
	if err != nil {
		return stored{}, err
	}
	plain, erased, err := c.keys.Open(part.Key, sealed, associatedData(r.Stream, r.ID))
	if errors.Is(err, domain.ErrKeyLost) {
		return stored{clear: clear, lost: true}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("personal part: %w", err)
	}
	return stored{clear: clear, personal: plain, erased: erased}, nil
}

// cutPersonal takes the sealed part out of a stored body; nil when there is none.
func cutPersonal(data []byte) (clear []byte, part *sealedPart, err error) {
	clear, member, err := cutMember(data, personalMember)
	if err != nil || member == nil {
		return clear, nil, err
	}
	part = new(sealedPart)
	if err := strict(member, part); err != nil {
		return nil, nil, err
	}
	return clear, part, nil
}

// PersonalKey reads the id of the key that seals the personal part of a stored
// event, and opens nothing. It is empty for an event without such a part, and
// for one that cannot be read.
func PersonalKey(r Recorded) string {
	if k, ok := kindOf(r.Type); !ok || !k.personal {
		return ""
	}
	_, part, err := cutPersonal(r.Data)
	if err != nil || part == nil {
		return ""
	}
	return part.Key
}

// associatedData binds a sealed part to the event it belongs to.
func associatedData(stream string, id uuid.UUID) []byte {
	return []byte(stream + "\n" + id.String())
}

// decodeError says which event could not be read, and never what is in it:
// errors of JSON may quote a value.
func decodeError(r Recorded, err error) error {
	return &DecodeError{Type: r.Type, Stream: r.Stream, Revision: r.Revision, reason: err}
}

// strictly is how stored JSON is read: with the meaning that encoding/json
// gives to it, and no unknown fields. Only its errors are those of version 2:
// for its own, encoding/json goes through all of the text once before it
// decodes any.
var strictly = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false), json.RejectUnknownMembers(true))

// strict decodes JSON into v and refuses unknown fields and trailing data. It
// reads with the coming version 2 of encoding/json, which takes less than a
// quarter of the time: reading JSON is most of what a replay or a rebuild does.
func strict(data []byte, v any) error { return json.Unmarshal(data, v, strictly) }
