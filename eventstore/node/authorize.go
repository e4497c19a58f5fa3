package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// right is what a call needs.
type right int

const (
	rightAdmin     right = iota // the zero value: what is not in the table
	rightNone                   // also for those who do not say who they are
	rightKnown                  // any user
	rightRead                   // these are held on a stream, by access lists
	rightWrite                  //
	rightDelete                 //
	rightMetaRead               //
	rightMetaWrite              //
)

// methodRights is which right each method needs, as on the original server. A
// right on a stream is one on the stream that the first message names.
var methodRights = map[string]right{
	"/event_store.client.streams.Streams/Read":      rightRead,
	"/event_store.client.streams.Streams/Append":    rightWrite,
	"/event_store.client.streams.Streams/Delete":    rightDelete,
	"/event_store.client.streams.Streams/Tombstone": rightDelete,
	// One call writes to many streams: each batch asks for its own right.
	"/event_store.client.streams.Streams/BatchAppend": rightNone,

	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/Create":           rightAdmin,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/Update":           rightAdmin,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/Delete":           rightAdmin,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/ReplayParked":     rightAdmin,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/RestartSubsystem": rightAdmin,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/Read":             rightRead,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/GetInfo":          rightKnown,
	"/event_store.client.persistent_subscriptions.PersistentSubscriptions/List":             rightKnown,

	"/event_store.client.server_features.ServerFeatures/GetSupportedMethods": rightNone,
	"/event_store.client.gossip.Gossip/Read":                                 rightNone,
}

// aclKeys name the rights on streams in metadata.
var aclKeys = map[right]string{rightRead: "$r", rightWrite: "$w", rightDelete: "$d", rightMetaRead: "$mr", rightMetaWrite: "$mw"}

var rightVerbs = map[right]string{
	rightRead: "read", rightWrite: "write to", rightDelete: "delete",
	rightMetaRead: "read the metadata of", rightMetaWrite: "write the metadata of",
}

// streamOf is the stream that a request is about, as access lists know it. One
// that names none is about $all.
func streamOf(request any) string {
	stream := ""
	switch r := request.(type) {
	case *streams.ReadReq:
		stream = string(r.GetOptions().GetStream().GetStreamIdentifier().GetStreamName())
	case *streams.AppendReq:
		stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
	case *streams.DeleteReq:
		stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
	case *streams.TombstoneReq:
		stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
	case *persistent.ReadReq:
		stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
	}
	if stream == "" {
		return streamAll
	}
	return stream
}

// acl is an access list: who holds a right, where it says so.
type acl map[string]roles

// roles are user names and groups.
type roles []string

// UnmarshalJSON takes one name or a list. Of what cannot be read nobody holds
// the right: a slip in an access list must not open the stream.
func (r *roles) UnmarshalJSON(data []byte) error {
	var one string
	var many []string
	switch {
	case string(data) == "null":
		*r = nil
	case json.Unmarshal(data, &one) == nil:
		*r = roles{one}
	case json.Unmarshal(data, &many) == nil:
		*r = append(roles{}, many...)
	default:
		*r = roles{}
	}
	return nil
}

// parseACL reads the access list under a key of a JSON object. Where there is
// none, others decide; where it is no access list, nobody holds any right.
func parseACL(object []byte, key string) acl {
	raw, ok := metadataFields(object)[key]
	if !ok || string(raw) == "null" {
		return nil
	}
	var list acl
	if json.Unmarshal(raw, &list) != nil {
		list = acl{}
		for _, key := range aclKeys {
			list[key] = roles{}
		}
	}
	return list
}

// understoodACL tells whether the original server could read an access list.
// Where it could not it ignores the metadata altogether.
func understoodACL(value json.RawMessage) bool {
	var rights map[string]json.RawMessage
	if json.Unmarshal(value, &rights) != nil || rights == nil {
		return false
	}
	for key, holders := range rights {
		var one *string
		var many []*string
		known := slices.Contains(slices.Collect(maps.Values(aclKeys)), key)
		single := json.Unmarshal(holders, &one) == nil && one != nil
		list := json.Unmarshal(holders, &many) == nil && many != nil && !slices.Contains(many, nil)
		if !known || !single && !list {
			return false
		}
	}
	return true
}

// accessLists finds what the log says about access: a stream's own list, and
// the default for all of its kind.
type accessLists interface {
	own(stream string) (acl, error)
	defaults(system bool) (acl, error)
}

// denial says which right is missing.
type denial struct{ why string }

func (r *denial) Error() string { return "Access Denied. " + r.why }

// authorize decides whether somebody may make a call. The rules are those of
// the original server: a stream's own access list goes before the default for
// its kind in $settings, and where neither says, a user's stream is everybody's
// and a system stream the admins'.
func authorize(who *user, need right, stream string, lists accessLists) error {
	if need == rightNone {
		return nil
	}
	if who == nil {
		return &denial{"The call came without credentials, and this node lets in only whom it knows: put user:password@ into the connection string, and tls=true, without which clients send none."}
	}
	switch need {
	case rightKnown:
		return nil
	case rightAdmin:
		if who.role == RoleAdmin {
			return nil
		}
		return &denial{fmt.Sprintf("User %q has the role %s, and only an admin may do this.", who.name, who.role)}
	}
	if stream == streamAll && (need == rightWrite || need == rightDelete) {
		return &denial{"Nobody may write to $all itself."}
	}
	if isMetastream(stream) {
		if need == rightDelete {
			return &denial{"Nobody may delete metadata; write other metadata instead."}
		}
		need, stream = metaRight(need), originalOf(stream)
	}
	if who.role == RoleAdmin {
		return nil
	}
	if who.role == RoleReader && need != rightRead && need != rightMetaRead {
		return &denial{fmt.Sprintf("User %q has the role reader, and so may not %s stream %q. Give that user another role in the node's users file.", who.name, rightVerbs[need], stream)}
	}
	holders, err := holders(need, stream, lists)
	if err != nil {
		return err
	}
	for _, group := range who.groups() {
		if slices.Contains(holders, group) {
			return nil
		}
	}
	return &denial{fmt.Sprintf("User %q may not %s stream %q: it takes the right %s, by the stream's own $acl or by the default in $settings. An admin can give it.", who.name, rightVerbs[need], stream, aclKeys[need])}
}

func metaRight(need right) right {
	if need == rightWrite {
		return rightMetaWrite
	}
	return rightMetaRead
}

// holders are those who hold a right on a stream.
func holders(need right, stream string, lists accessLists) (roles, error) {
	key := aclKeys[need]
	own, err := lists.own(stream)
	if err != nil || own[key] != nil {
		return own[key], err
	}
	system := strings.HasPrefix(stream, "$")
	usual, err := lists.defaults(system)
	if err != nil || usual[key] != nil {
		return usual[key], err
	}
	if system {
		return roles{groupAdmins}, nil
	}
	return roles{groupEveryone}, nil
}
