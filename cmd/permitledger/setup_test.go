package main

import (
	"slices"
	"testing"

	"permitledger/eventstore"
)

func TestSetupNamesOthersInSentences(t *testing.T) {
	c := setupCommand{User: "ledger"}
	for _, each := range []struct {
		access eventstore.Access
		want   []string
	}{
		{eventstore.Access{Open: true, User: eventstore.UserUnknown, ReadAll: []string{"$all"}},
			[]string{"This server asks for no user: anyone who reaches it may read and write everything."}},
		{eventstore.Access{User: eventstore.UserMissing, ReadAll: []string{"first", "otto"}, Write: []string{"$all", "otto"},
			Streams: []eventstore.StreamAccess{{Stream: "permit-1", Write: []string{"rita"}}}},
			[]string{"The user ledger does not exist on this server: make it with the server's own tools.",
				"Beside admins and ledger, these may read $all: first, otto.",
				"Beside admins and ledger, these may write the ledger's streams: every user.",
				"Beside admins and ledger, these may write permit-1, by its own access list: rita."}},
		{eventstore.Access{User: eventstore.UserDisabled},
			[]string{"The user ledger is disabled on this server: enable it with the server's own tools.",
				"Beside admins and ledger, these may read $all: nobody.",
				"Beside admins and ledger, these may write the ledger's streams: nobody."}},
	} {
		if got := c.lines(each.access); !slices.Equal(got, each.want) {
			t.Errorf("said %q, want %q", got, each.want)
		}
	}
}
