package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/eventstore"
)

type setupCommand struct {
	EventStore  string `name:"eventstore" required:"" placeholder:"esdb://…" help:"Connection string of the EventStoreDB server or cluster."`
	Credentials string `name:"eventstore-credentials-file" help:"File with one line user:password of an admin of the event store, readable by its owner only." type:"path"`
	User        string `required:"" help:"The user as whom the ledger signs in there. It is made beforehand, with the server's own tools."`
	Replace     bool   `name:"replace-default-access" help:"Replace a default access list that somebody else has set. Whoever relies on it loses their rights."`
	JSON        bool   `help:"Print one JSON document."`
}

// Help is what --help says beside the flags.
func (setupCommand) Help() string {
	return "It sets the default access list in $settings, so that only the ledger's user and admins write and read and only admins delete; " +
		"lets that user read $all; limits permitledger-check, where serve tries its right to write, to one event; and makes the persistent subscriptions of " +
		"the ledger's reactors. It changes only what differs, so it " +
		"may be run again, and has to be after an upgrade that brings new reactors. Then serve needs no admin's rights. " +
		"It prints a line for each change, and then names the other users who may read $all and write the ledger's streams."
}

// setupReport is the document that --json prints.
type setupReport struct {
	Done   []string           `json:"done"`
	Access *eventstore.Access `json:"access"` // null: the setup failed before
}

// Run prepares the server.
func (c setupCommand) Run(p *program) error {
	store, err := ledgerFlags{EventStore: c.EventStore, Credentials: c.Credentials}.connect(p)
	if err != nil {
		return err
	}
	defer store.Close()
	report := setupReport{Done: []string{}}
	done, err := store.SetUp(p.ctx, eventstore.Setup{User: c.User, Groups: reactors.Groups(), Replace: c.Replace})
	report.Done = append(report.Done, done...)
	if err == nil {
		var access eventstore.Access
		if access, err = store.Access(p.ctx, c.User); err == nil {
			report.Access = &access
		}
	}
	if err := c.print(p, report); err != nil {
		return err
	}
	switch {
	case errors.Is(err, eventstore.ErrOtherDefaults):
		return fmt.Errorf("%w with --replace-default-access", err)
	case err != nil:
		return p.unfinished(err, "run it again, it does what is left")
	case len(done) == 0:
		fmt.Fprintln(p.stderr, "Nothing had to be done: it is all there.")
	default:
		fmt.Fprintf(p.stderr, "Start `permitledger serve` with the user %s.\n", c.User)
	}
	return nil
}

func (c setupCommand) print(p *program, r setupReport) error {
	if c.JSON {
		return printDocument(p.stdout, r)
	}
	for _, line := range r.Done {
		fmt.Fprintln(p.stdout, line)
	}
	if r.Access != nil {
		for _, line := range c.lines(*r.Access) {
			fmt.Fprintln(p.stdout, line)
		}
	}
	return nil
}

// lines lists in sentences the rights of others beside the ledger's user.
func (c setupCommand) lines(a eventstore.Access) []string {
	if a.Open {
		return []string{"This server asks for no user: anyone who reaches it may read and write everything."}
	}
	var lines []string
	switch a.User {
	case eventstore.UserMissing:
		lines = append(lines, fmt.Sprintf("The user %s does not exist on this server: make it with the server's own tools.", c.User))
	case eventstore.UserDisabled:
		lines = append(lines, fmt.Sprintf("The user %s is disabled on this server: enable it with the server's own tools.", c.User))
	case eventstore.UserUnknown:
		lines = append(lines, fmt.Sprintf("This server cannot be asked whether the user %s exists.", c.User))
	}
	also := func(may string, names []string) {
		lines = append(lines, fmt.Sprintf("Beside admins and %s, these may %s: %s.", c.User, may, everyone(names)))
	}
	also("read $all", a.ReadAll)
	also("write the ledger's streams", a.Write)
	for _, s := range a.Streams {
		also(fmt.Sprintf("write %s, by its own access list", s.Stream), s.Write)
	}
	return lines
}

// everyone lists names of an access list in words.
func everyone(names []string) string {
	switch {
	case len(names) == 0:
		return "nobody"
	case slices.Contains(names, "$all"):
		return "every user"
	}
	return strings.Join(names, ", ")
}
