package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// Setup is what a server needs beside its users before a ledger can live on it
// without an admin's rights.
type Setup struct {
	// User is whom the ledger signs in as. The server's own tools make users.
	User string
	// Groups are the persistent subscriptions that the ledger takes part in.
	Groups []Group
	// Replace has other defaults than the ledger's own given up, where an admin
	// has set some.
	Replace bool
}

// ErrOtherDefaults is matched when a server has a default access list that
// somebody else has set.
var ErrOtherDefaults = errors.New("the event store has another default access list")

// errChanging is returned where another admin was faster.
var errChanging = errors.New("somebody else is changing this at the moment: look at what they did, and run it again")

// accessList is an access list as it stands in metadata and in $settings.
type accessList struct {
	Read      []string `json:"$r"`
	Write     []string `json:"$w"`
	Delete    []string `json:"$d"`
	MetaRead  []string `json:"$mr"`
	MetaWrite []string `json:"$mw"`
}

const (
	admins         = "$admins"
	settingsStream = "$settings"
	userStreamACL  = "$userStreamAcl"
	systemACL      = "$systemStreamAcl"
)

// defaults is who may do what with a stream that has no list of its own. Whoever
// may write metadata can truncate, which is as good as deleting.
func (u Setup) defaults() accessList {
	both := []string{admins, u.User}
	return accessList{Read: both, Write: both, Delete: []string{admins}, MetaRead: both, MetaWrite: []string{admins}}
}

// SetUp prepares a server as an admin of it, and says of each thing that it has
// done one sentence; none when all was there. It changes nothing that is as it
// should be, so that it may be run again.
func (s *Store) SetUp(ctx context.Context, u Setup) (done []string, err error) {
	if u.User == "" || strings.HasPrefix(u.User, "$") {
		return nil, fmt.Errorf("%q is no user: name the one whom the ledger signs in as", u.User)
	}
	for _, step := range []func(context.Context, Setup) (string, error){s.setDefaults, s.letReadAll, s.boundCheck} {
		said, err := step(ctx, u)
		if err != nil {
			return done, err
		}
		if said != "" {
			done = append(done, said)
		}
	}
	for _, g := range u.Groups {
		made, err := s.MakeGroup(ctx, g)
		if err != nil {
			return done, err
		}
		if made {
			done = append(done, fmt.Sprintf("made the persistent subscription %s", g.Name))
		}
	}
	return done, nil
}

// setDefaults writes the default access list of ordinary streams: only the
// ledger's user writes them, and only admins delete.
func (s *Store) setDefaults(ctx context.Context, u Setup) (string, error) {
	settings, expected, err := s.lastObject(ctx, settingsStream)
	if err != nil {
		return "", err
	}
	was, there := settings[userStreamACL]
	switch same, err := sameJSON(was, u.defaults()); {
	case err != nil || same:
		return "", err
	case there && !u.Replace:
		return "", fmt.Errorf("%w: %s in %s is %s, and whoever relies on it would lose their rights; see that nobody does, and replace it", ErrOtherDefaults, userStreamACL, settingsStream, was)
	}
	if err := s.putObject(ctx, settingsStream, "$settings", expected, settings, userStreamACL, u.defaults()); err != nil {
		return "", err
	}
	return fmt.Sprintf("set the default access list: %s and admins read and write, only admins delete", u.User), nil
}

// letReadAll gives the user the right to read $all, by the access list of $all
// itself, and leaves the other system streams alone. Who may read it already
// keeps that right.
func (s *Store) letReadAll(ctx context.Context, u Setup) (string, error) {
	const stream = "$$$all" // the metadata of $all
	metadata, expected, err := s.lastObject(ctx, stream)
	if err != nil {
		return "", err
	}
	settings, _, err := s.lastObject(ctx, settingsStream)
	if err != nil {
		return "", err
	}
	list, err := listIn(metadata, "$acl", stream)
	if err != nil {
		return "", err
	}
	usual, err := listIn(settings, systemACL, settingsStream) // where the list of $all is silent
	if err != nil {
		return "", err
	}
	changed := false
	for _, right := range []string{"$r", "$mr"} {
		raw, where := list[right], stream
		if raw == nil {
			raw, where = usual[right], settingsStream
		}
		names := []string{admins}
		if raw != nil {
			if names, err = oneOrMore(raw); err != nil {
				return "", notUnderstood(where, err)
			}
		}
		if has(names, u.User) {
			continue
		}
		changed = true
		if list[right], err = json.Marshal(append(names, u.User)); err != nil {
			return "", err
		}
	}
	if !changed {
		return "", nil
	}
	if err := s.putObject(ctx, stream, "$metadata", expected, metadata, "$acl", list); err != nil {
		return "", err
	}
	return fmt.Sprintf("let %s read $all", u.User), nil
}

// boundCheck has the server keep only the newest event of the stream of checks.
// That stream has no access list of its own: it shows what the default one lets
// the ledger's user do with the streams of the ledger.
func (s *Store) boundCheck(ctx context.Context, _ Setup) (string, error) {
	const stream, bound = "$$" + CheckStream, "$maxCount"
	metadata, expected, err := s.lastObject(ctx, stream)
	if err != nil {
		return "", err
	}
	_, listed := metadata["$acl"]
	if bounded, err := sameJSON(metadata[bound], 1); err != nil || bounded && !listed {
		return "", err
	}
	delete(metadata, "$acl")
	if err := s.putObject(ctx, stream, "$metadata", expected, metadata, bound, 1); err != nil {
		return "", err
	}
	return fmt.Sprintf("limited %s, where serve tries its right to write, to one event", CheckStream), nil
}

// listIn is the access list under a key of an object, empty where there is none.
func listIn(object map[string]json.RawMessage, key, stream string) (map[string]json.RawMessage, error) {
	raw, ok := object[key]
	if !ok {
		return map[string]json.RawMessage{}, nil
	}
	list, err := members(raw)
	if err != nil {
		return nil, notUnderstood(stream, err)
	}
	return list, nil
}

// members are those of a JSON object that say something: null is no value.
func members(object []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(object, &all); err != nil {
		return nil, err
	}
	if all == nil { // the object itself was null
		return map[string]json.RawMessage{}, nil
	}
	maps.DeleteFunc(all, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return all, nil
}

func notUnderstood(stream string, err error) error {
	return fmt.Errorf("the access list in %s cannot be understood; an admin has to mend it: %v", stream, err)
}

// oneOrMore reads names as they stand in access lists: one, or a list.
func oneOrMore(raw json.RawMessage) (names []string, err error) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	return names, json.Unmarshal(raw, &names)
}

// has reports whether a list of names covers a user.
func has(names []string, user string) bool {
	for _, name := range names {
		if name == user || name == "$all" {
			return true
		}
	}
	return false
}

func sameJSON(raw json.RawMessage, want any) (bool, error) {
	text, err := json.Marshal(want)
	if err != nil || raw == nil {
		return false, err
	}
	var a, b any
	if json.Unmarshal(raw, &a) != nil || json.Unmarshal(text, &b) != nil {
		return false, nil
	}
	return reflect.DeepEqual(a, b), nil
}

// lastObject reads the last event of a system stream, which is a JSON object,
// and the revision at which a change of it is to be expected.
func (s *Store) lastObject(ctx context.Context, stream string) (object map[string]json.RawMessage, expected Expected, err error) {
	object = map[string]json.RawMessage{}
	err = s.manage(ctx, "read ($r) the stream "+stream+" ("+adminsRight+")", func(ctx context.Context, c *esdb.Client) error {
		rs, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
		if err != nil {
			return err
		}
		defer rs.Close()
		e, err := rs.Recv()
		if errors.Is(err, io.EOF) || noSuchStream(err) {
			return nil
		}
		if err != nil {
			return err
		}
		expected = At(e.OriginalEvent().EventNumber)
		if object, err = members(e.OriginalEvent().Data); err != nil {
			return fmt.Errorf("the last event of %s is no JSON object; an admin has to mend it: %v", stream, err)
		}
		return nil
	})
	return object, expected, err
}

// putObject writes the object anew with one member changed, unless somebody
// else has written it meanwhile.
func (s *Store) putObject(ctx context.Context, stream, eventType string, expected Expected, object map[string]json.RawMessage, member string, value any) error {
	var err error
	if object[member], err = json.Marshal(value); err != nil {
		return err
	}
	data, err := json.Marshal(object)
	if err != nil {
		return err
	}
	// The same id each time it is sent: an answer that is lost does no harm.
	event := esdb.EventData{EventID: uuid.New(), EventType: eventType, ContentType: esdb.ContentTypeJson, Data: data}
	err = s.manage(ctx, "write to ($w) the stream "+stream+" ("+adminsRight+")", func(ctx context.Context, c *esdb.Client) error {
		_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: clientRevision(expected)}, event)
		if isConflict(err) {
			return errChanging
		}
		return err
	})
	if errors.Is(err, errChanging) {
		return fmt.Errorf("%s: %w", stream, errChanging)
	}
	return err
}
