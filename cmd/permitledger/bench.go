package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permitledger/cmd/permitledger/internal/bench"
	"permitledger/eventstore"
)

type benchCommand struct {
	Only        []string      `help:"Measure only these, with commas between: append, append-memory, read-all, catch-up, live, handle, replay, replay-memory, rebuild, account-view."`
	Rounds      int           `help:"How often each is measured, in turn with its reference; what is reported is the median." default:"5"`
	Duration    time.Duration `help:"How long each side of a round takes. What has an end, such as a replay, is repeated until then." default:"2s"`
	Permits     int           `help:"How many permits the seeded ledger has that replay, replay-memory, rebuild and account-view use." default:"500"`
	Appends     int           `help:"How many appends append-memory makes. It is judged from a million on." default:"20000"`
	EventStore  string        `name:"eventstore" help:"Connection string of a server to measure in place of the embedded node: append, read-all, catch-up, live and handle only. What is written there is deleted again, but as on any such server stays in its log until it is scavenged."`
	Credentials string        `name:"eventstore-credentials-file" help:"File with one line user:password of an admin of it, readable by its owner only, so that they need not stand in the connection string." type:"path"`
	Temp        string        `help:"Folder in which the throw-away data lies while measuring: choose one on the disk that counts. Default: the system's." type:"existingdir"`
	JSON        bool          `help:"Print the report as JSON."`
}

// Validate refuses what nothing could be measured with.
func (c benchCommand) Validate() error {
	if c.Rounds < 1 || c.Duration <= 0 || c.Permits < 1 || c.Appends < 10 {
		return errors.New("--rounds, --duration and --permits must be above zero, and --appends at least 10")
	}
	return nil
}

// Run measures and reports. A figure below its aim is no failure: it is a
// measure, and the machine has its part in it.
func (c benchCommand) Run(p *program) error {
	connection, err := eventstore.WithCredentials(c.EventStore, c.Credentials)
	if err != nil {
		return err
	}
	mayWrite := func(context.Context) error { return nil }
	if connection != "" {
		mayWrite = func(context.Context) error { return c.askHolder(p, connection) }
	}
	report, err := bench.Run(p.ctx, bench.Config{MayWrite: mayWrite,
		Only: c.Only, Rounds: c.Rounds, Duration: c.Duration, Permits: c.Permits, Appends: c.Appends, EventStore: connection, TempDir: c.Temp,
		Version: release, Progress: func(line string) { fmt.Fprintln(p.stderr, line) },
	})
	if err != nil {
		return err
	}
	if !c.JSON {
		return report.Print(p.stdout)
	}
	return printDocument(p.stdout, report)
}

// askHolder sees that no service works on the event store: what is measured is
// written to streams of a ledger.
func (benchCommand) askHolder(p *program, connection string) error {
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: connection, Logger: p.logger})
	if err != nil {
		return err
	}
	defer store.Close()
	return askHolder(p, store)
}
