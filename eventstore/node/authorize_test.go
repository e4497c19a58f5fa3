package node

import (
	"strings"
	"testing"
)

// lists are access lists as a test has them.
type lists struct {
	streams map[string]string // $acl by stream
	user    string            // of $settings
	system  string
}

func (l lists) own(stream string) (acl, error) {
	return parseACL([]byte(`{"$acl":`+orNull(l.streams[stream])+`}`), keyACL), nil
}

func (l lists) defaults(system bool) (acl, error) {
	if system {
		return parseACL([]byte(`{"x":`+orNull(l.system)+`}`), "x"), nil
	}
	return parseACL([]byte(`{"x":`+orNull(l.user)+`}`), "x"), nil
}

func orNull(json string) string {
	if json == "" {
		return "null"
	}
	return json
}

var (
	ann    = &user{name: "ann", role: RoleAdmin}
	leo    = &user{name: "leo", role: RoleLedger}
	rita   = &user{name: "rita", role: RoleReader}
	people = map[string]*user{"nobody": nil, "ann": ann, "leo": leo, "rita": rita}
)

// Each line: what is called on which stream, under which lists, and who may.
func TestWhoMayDoWhat(t *testing.T) {
	const (
		svc  = "/event_store.client.streams.Streams/"
		subs = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
	)
	none := lists{}
	closed := lists{streams: map[string]string{"s": `{"$r":["leo"],"$w":[],"$d":"rita","$mr":"rita","$mw":["leo"]}`}}
	set := lists{
		user:    `{"$w":["leo"],"$d":"$admins","$mw":"$admins"}`,
		system:  `{"$r":["$admins","leo"]}`,
		streams: map[string]string{"own": `{"$w":"$all"}`, "half": `{"$r":"nobody"}`},
	}
	odd := lists{streams: map[string]string{"s": `{"$r":7,"$w":{"a":1}}`, "x": `"$all"`, "null": `{"$r":null}`}}
	for _, c := range []struct {
		method string
		stream string
		lists  lists
		may    string
	}{
		{svc + "Read", "s", none, "ann leo rita"},
		{svc + "Append", "s", none, "ann leo"},
		{svc + "Delete", "s", none, "ann leo"},
		{svc + "Tombstone", "s", none, "ann leo"},
		{svc + "Read", "$all", none, "ann"},
		{svc + "Append", "$all", none, ""},
		{svc + "Delete", "$all", none, ""},
		{svc + "Read", "$settings", none, "ann"},
		{svc + "Append", "$settings", none, "ann"},
		{svc + "Read", "$$s", none, "ann leo rita"},
		{svc + "Append", "$$s", none, "ann leo"},
		{svc + "Delete", "$$s", none, ""},
		{svc + "Append", "$$$all", none, "ann"},
		{svc + "Append", "$$$settings", none, "ann"},
		{svc + "BatchAppend", "s", closed, "nobody ann leo rita"}, // each batch asks for itself
		{svc + "NoSuchMethod", "s", none, "ann"},
		{"", "s", none, "ann"},

		{svc + "Read", "s", closed, "ann leo"},
		{svc + "Append", "s", closed, "ann"},
		{svc + "Delete", "s", closed, "ann"}, // rita is named, but only reads
		{svc + "Read", "$$s", closed, "ann rita"},
		{svc + "Append", "$$s", closed, "ann leo"},

		{svc + "Read", "s", set, "ann leo rita"},
		{svc + "Append", "s", set, "ann leo"},
		{svc + "Append", "own", set, "ann leo"},
		{svc + "Delete", "s", set, "ann"},
		{svc + "Append", "$$s", set, "ann"},
		{svc + "Read", "$all", set, "ann leo"},
		{svc + "Read", "half", set, "ann"},
		{svc + "Append", "half", set, "ann leo"},

		{svc + "Read", "s", odd, "ann"},
		{svc + "Append", "s", odd, "ann"},
		{svc + "Read", "x", odd, "ann"},
		{svc + "Delete", "x", odd, "ann"},
		{svc + "Read", "null", odd, "ann leo rita"},

		{subs + "Create", "s", none, "ann"},
		{subs + "Update", "s", none, "ann"},
		{subs + "Delete", "s", none, "ann"},
		{subs + "ReplayParked", "s", none, "ann"},
		{subs + "RestartSubsystem", "", none, "ann"},
		{subs + "Read", "s", closed, "ann leo"},
		{subs + "Read", "$all", none, "ann"},
		{subs + "GetInfo", "s", none, "ann leo rita"},
		{subs + "List", "", none, "ann leo rita"},

		{"/event_store.client.gossip.Gossip/Read", "", none, "nobody ann leo rita"},
		{"/event_store.client.server_features.ServerFeatures/GetSupportedMethods", "", none, "nobody ann leo rita"},
	} {
		var may []string
		for _, name := range []string{"nobody", "ann", "leo", "rita"} {
			if authorize(people[name], methodRights[c.method], c.stream, c.lists) == nil {
				may = append(may, name)
			}
		}
		if got := strings.Join(may, " "); got != c.may {
			t.Errorf("%s of %q: may %q, want %q", c.method, c.stream, got, c.may)
		}
	}
}

// A name in an access list is a user's. Others who have the role of that name
// are not meant: the ledger's user is as a rule called like its role.
func TestAccessListsNameNoRoles(t *testing.T) {
	named := lists{streams: map[string]string{"s": `{"$r":["ledger","reader"],"$w":"ledger"}`}}
	if err := authorize(&user{name: "ledger", role: RoleLedger}, rightWrite, "s", named); err != nil {
		t.Errorf("the user ledger may not write: %v", err)
	}
	for _, who := range []*user{leo, rita} {
		for _, need := range []right{rightRead, rightWrite} {
			if authorize(who, need, "s", named) == nil {
				t.Errorf("%s of the role %s may %s a stream of the users ledger and reader", who.name, who.role, rightVerbs[need])
			}
		}
	}
}

// A refusal says which right is missing and whom to ask.
func TestWhatARefusalSays(t *testing.T) {
	for _, c := range []struct {
		who    *user
		need   right
		stream string
		wants  []string
	}{
		{nil, rightRead, "s", []string{"without credentials", "user:password@", "tls=true"}},
		{leo, rightRead, "$all", []string{`"leo"`, "read", `"$all"`, "$r", "$settings"}},
		{leo, rightWrite, "$$$x", []string{"write the metadata of", `"$x"`, "$mw"}},
		{rita, rightWrite, "s", []string{"role reader", "write to", "users file"}},
		{rita, rightAdmin, "", []string{"only an admin"}},
	} {
		err := authorize(c.who, c.need, c.stream, lists{})
		if err == nil {
			t.Errorf("%v is allowed", c)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// No method is served that nobody has thought about.
func TestEveryMethodHasItsRight(t *testing.T) {
	n := openNode(t, Options{})
	for service, info := range n.server.GetServiceInfo() {
		for _, m := range info.Methods {
			if _, ok := methodRights["/"+service+"/"+m.Name]; !ok {
				t.Errorf("%s/%s is served, and nothing says who may call it", service, m.Name)
			}
		}
	}
}

// TestAccessListIsReadAfterByteOrderMark reads one as some editors save it.
func TestAccessListIsReadAfterByteOrderMark(t *testing.T) {
	if got := parseACL([]byte(byteOrderMark+`{"$acl":{"$r":"ann"}}`), keyACL); len(got["$r"]) != 1 || got["$r"][0] != "ann" {
		t.Errorf("got %v", got)
	}
}
