package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Access lists the rights of others than the admins and the ledger's user.
type Access struct {
	// User says whether the server knows the ledger's user.
	User UserState `json:"user"`
	// Open says that the server asks for no user: anyone who reaches it may do
	// everything.
	Open bool `json:"open"`
	// ReadAll are the others who may read $all, and Write those who may write
	// streams that have no access list of their own. "$all" is every user.
	ReadAll []string `json:"readAll"`
	Write   []string `json:"write"`
	// Streams are those of the ledger whose own access lists let others write,
	// in the order of their names.
	Streams []StreamAccess `json:"streams"`
}

// StreamAccess is who else may write a stream by the stream's own access list.
type StreamAccess struct {
	Stream string   `json:"stream"`
	Write  []string `json:"write"`
}

// UserState is whether a server knows a user.
type UserState string

// The states of a user. An EventStoreDB server without security and the node
// keep no users in streams, so they cannot be asked.
const (
	UserThere    UserState = "there"
	UserDisabled UserState = "disabled"
	UserMissing  UserState = "missing"
	UserUnknown  UserState = "cannot be asked"
)

// Access lists the rights of others beside the ledger's user. It reads the
// metadata of all streams of the ledger.
func (s *Store) Access(ctx context.Context, user string) (a Access, err error) {
	if a.User, err = s.userState(ctx, user); err != nil {
		return Access{}, err
	}
	conf := s.conn.conf
	a.Open = conf.UserCertFile == "" && (conf.Username == "" || conf.DisableTLS)
	a.ReadAll, a.Write, a.Streams = []string{"$all"}, []string{"$all"}, []StreamAccess{}
	if a.Open {
		return a, nil
	}
	settings, _, err := s.lastObject(ctx, settingsStream)
	if err != nil {
		return Access{}, err
	}
	all, _, err := s.lastObject(ctx, "$$$all")
	if err != nil {
		return Access{}, err
	}
	if a.ReadAll, err = whoMay("$r", []string{admins},
		granted{all, "$acl", "$$$all"}, granted{settings, systemACL, settingsStream}); err != nil {
		return Access{}, err
	}
	if a.Write, err = whoMay("$w", []string{"$all"}, granted{settings, userStreamACL, settingsStream}); err != nil {
		return Access{}, err
	}
	a.ReadAll, a.Write = others(a.ReadAll, user), others(a.Write, user)
	a.Streams, err = s.ownLists(ctx, user)
	return a, err
}

// userState asks for the stream in which a server keeps a user. A server that
// keeps users has a list of them, with the admin who is there from the start.
func (s *Store) userState(ctx context.Context, name string) (UserState, error) {
	known, found, err := s.lastObject(ctx, "$user-"+name)
	if err != nil {
		return "", err
	}
	if found.exists {
		disabled, err := sameJSON(known["disabled"], true)
		if err != nil || !disabled {
			return UserThere, err
		}
		return UserDisabled, nil
	}
	listed, err := s.exists(ctx, "$users")
	switch {
	case err != nil:
		return "", err
	case listed:
		return UserMissing, nil
	}
	return UserUnknown, nil
}

// exists reports whether a stream has events.
func (s *Store) exists(ctx context.Context, stream string) (bool, error) {
	for _, err := range s.Read(ctx, stream, 0) {
		return err == nil, err
	}
	return false, nil
}

// granted is an access list under a key of an object in a stream.
type granted struct {
	object map[string]json.RawMessage
	key    string
	stream string
}

// whoMay gives the names to which the first list grants a right that says
// something of it, or else the usual ones.
func whoMay(right string, usual []string, lists ...granted) ([]string, error) {
	for _, g := range lists {
		list, err := listIn(g.object, g.key, g.stream)
		if err != nil {
			return nil, err
		}
		if raw, said := list[right]; said {
			names, err := oneOrMore(raw)
			if err != nil {
				return nil, notUnderstood(g.stream, err)
			}
			return names, nil
		}
	}
	return usual, nil
}

// others leaves out the admins and a user, and sorts the rest.
func others(names []string, user string) []string {
	rest := []string{}
	for _, name := range names {
		if name != admins && name != user && name != "" {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return slices.Compact(rest)
}

// ownLists finds the streams of the ledger whose own metadata let others write.
func (s *Store) ownLists(ctx context.Context, user string) ([]StreamAccess, error) {
	var prefixes []string
	for _, p := range LedgerPrefixes() {
		prefixes = append(prefixes, "$$"+p)
	}
	found := metadataReader{user: user, write: map[string][]string{}}
	if err := s.follow(ctx, 0, 0, prefixes, &found); !errors.Is(err, errReachedEnd) {
		return nil, err
	}
	streams := []StreamAccess{}
	for stream, names := range found.write {
		streams = append(streams, StreamAccess{stream, names})
	}
	slices.SortFunc(streams, func(a, b StreamAccess) int { return strings.Compare(a.Stream, b.Stream) })
	return streams, nil
}

// errReachedEnd ends a subscription that was for what is stored.
var errReachedEnd = errors.New("the end of the log")

// metadataReader reads metadata up to the end of the log. The newest of a stream
// counts.
type metadataReader struct {
	user  string
	write map[string][]string // others, by stream
}

// Event implements Handler.
func (m *metadataReader) Event(r Recorded) error {
	stream := strings.TrimPrefix(r.Stream, "$$")
	delete(m.write, stream)
	object, err := members(r.Data)
	if err != nil {
		return nil // a server takes it for no metadata
	}
	names, err := whoMay("$w", nil, granted{object, "$acl", r.Stream})
	if err != nil {
		return err
	}
	if rest := others(names, m.user); len(rest) > 0 {
		m.write[stream] = rest
	}
	return nil
}

// CaughtUp implements Handler.
func (*metadataReader) CaughtUp() error { return errReachedEnd }

// Progress implements Handler.
func (*metadataReader) Progress(Position) error { return nil }
