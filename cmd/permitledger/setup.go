package main

import (
	"errors"
	"fmt"

	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/eventstore"
)

type setupCommand struct {
	EventStore  string `name:"eventstore" required:"" placeholder:"esdb://…" help:"Connection string of the EventStoreDB server or cluster."`
	Credentials string `name:"eventstore-credentials-file" help:"File with one line user:password of an admin of the event store, readable by its owner only." type:"path"`
	User        string `required:"" help:"The user as whom the ledger signs in there. It is made beforehand, with the server's own tools."`
	Replace     bool   `name:"replace-default-access" help:"Replace a default access list that somebody else has set. Whoever relies on it loses their rights."`
}

// Help is what --help says beside the flags.
func (setupCommand) Help() string {
	return "It sets the default access list in $settings, so that only the ledger's user and admins write and read and only admins delete; " +
		"lets that user read $all; and makes the persistent subscriptions of the ledger's reactors. What is as it should be is left alone, so it " +
		"may be run again, and has to be after an upgrade that brings new reactors. Then serve needs no admin's rights. " +
		"What was done is printed, a line each."
}

// Run prepares the server.
func (c setupCommand) Run(p *program) error {
	store, err := ledgerFlags{EventStore: c.EventStore, Credentials: c.Credentials}.connect(p)
	if err != nil {
		return err
	}
	defer store.Close()
	done, err := store.SetUp(p.ctx, eventstore.Setup{User: c.User, Groups: reactors.Groups(), Replace: c.Replace})
	for _, line := range done {
		fmt.Fprintln(p.stdout, line)
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
