package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore"
)

type reactorsCommand struct {
	List   listReactors  `cmd:"" help:"Show each reactor's persistent subscription: whether a service takes part in it, what waits and what is parked."`
	Replay replayParking `cmd:"" help:"Give what a reactor could not act on to it again. With --eventstore it takes an admin of the event store."`
}

// askAgain is what to do after an interruption.
const askAgain = "ask again"

// reachStore reaches the event store itself: the one that is named, which needs
// no keys, or that of the data folder.
func (f ledgerFlags) reachStore(p *program) (*eventstore.Store, func(), error) {
	if f.EventStore != "" {
		store, err := f.connect(p)
		if err != nil {
			return nil, nil, err
		}
		return store, func() { _ = store.Close() }, nil
	}
	l, err := f.open(p)
	if err != nil {
		return nil, nil, err
	}
	return l.ledger.Store(), l.close, nil
}

// reactorStatus is one reactor in the JSON document.
type reactorStatus struct {
	Name      string `json:"name"`
	State     string `json:"state"` // "at work", "idle" or "not there"
	Consumers int    `json:"consumers"`
	Waiting   int64  `json:"waiting"`
	Parked    int64  `json:"parked"`
}

type listReactors struct {
	ledgerFlags
	JSON bool `name:"json" help:"Print one JSON document."`
}

// Run asks the event store how each group is.
func (c listReactors) Run(p *program) error {
	store, end, err := c.reachStore(p)
	if err != nil {
		return err
	}
	defer end()
	all := []reactorStatus{}
	for _, g := range reactors.Groups() {
		s, err := store.GroupStatus(p.ctx, g.Name)
		one := reactorStatus{g.Name, "idle", s.Consumers, s.Waiting, s.Parked}
		switch {
		case errors.Is(err, eventstore.ErrNoGroup):
			one.State = "not there"
		case err != nil:
			return p.unfinished(err, askAgain)
		case s.Consumers > 0:
			one.State = "at work"
		}
		all = append(all, one)
	}
	if c.JSON {
		return printDocument(p.stdout, map[string]any{"reactors": all})
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REACTOR\tSTATE\tCONSUMERS\tWAITING\tPARKED")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", r.Name, r.State, r.Consumers, r.Waiting, r.Parked)
	}
	return w.Flush()
}

type replayParking struct {
	Name string `arg:"" help:"The reactor, as list names it."`
	ledgerFlags
}

// Run has the event store give again what it has parked.
func (c replayParking) Run(p *program) error {
	if c.EventStore == "" {
		if folder.HasLedger(c.Data) && !answers(service.Socket(c.Data)) {
			if answers(filepath.Join(c.Data, folder.AdminSocket)) {
				return errors.New("the service that runs on this folder has its log on a server; name that one with --eventstore, as an admin of it")
			}
			return errors.New("no service runs on this folder, and so nobody would act on what is given again; start it first")
		}
	}
	store, end, err := c.reachStore(p)
	if err != nil {
		return err
	}
	defer end()
	s, err := store.GroupStatus(p.ctx, c.Name)
	if errors.Is(err, eventstore.ErrNoGroup) {
		return fmt.Errorf("%w: %s; `permitledger reactors list` shows what there is", err, c.Name)
	}
	if err == nil {
		err = store.ReplayParked(p.ctx, c.Name)
	}
	if err != nil {
		return p.unfinished(err, askAgain)
	}
	fmt.Fprintf(p.stderr, "%d parked events are given to %s again; `permitledger reactors list` shows what becomes of them.\n", s.Parked, c.Name)
	return nil
}
