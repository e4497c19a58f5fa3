package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/storetest"
	"permitledger/eventstore/transfer"
)

// copyPatience is how long either side may be away before a copy gives up. It
// is longer than a cluster needs to choose another leader.
const copyPatience = 30 * time.Second

type nodeCopyCommand struct {
	To              string `required:"" placeholder:"esdb://…" help:"Connection string of the event store to copy into: an empty one, or the one in which an earlier copy of the same source lies."`
	ToCredentials   string `name:"to-credentials-file" help:"File with one line user:password for --to, readable by its owner only." type:"path"`
	From            string `placeholder:"esdb://…" help:"Connection string of the event store to copy from, in place of --data."`
	FromCredentials string `name:"from-credentials-file" help:"File with one line user:password for --from, readable by its owner only." type:"path"`
	Data            string `help:"Folder to copy from: of a ledger, or of a node's log. Whoever runs there is asked; otherwise the folder is opened." default:"./data" type:"path"`
	JSON            bool   `name:"json" help:"Print the report as JSON."`
}

// Help is what --help says beside the flags.
func (nodeCopyCommand) Help() string {
	return "Every stream is copied but the server's own, which begin with $, the service's own, which begin with permitledger-, and those of node check: each event with its id, type, data, metadata and content type, " +
		"in the order of $all, so that ledger numbers stay the same; with the metadata, deletions and tombstones of streams. " +
		"What the target holds already is compared first, so that the same command goes on after an interruption. " +
		"In the end both sides are read anew and compared. The exit code is 0 only when they are the same and the source has got nothing meanwhile: " +
		"stop what writes to it first. Both users need to read $all; that of --to also to write every stream and its metadata: an admin may."
}

// copySummary is what programs are told of a copy.
type copySummary struct {
	Verified bool `json:"verified"`
	transfer.Report
	LastLedgerNumber uint64  `json:"lastLedgerNumber"`
	Seconds          float64 `json:"seconds"`
}

// errMovedOn is returned for a copy that is the beginning of its source only.
var errMovedOn = errors.New("the source has got events since the copy began, which are not in it; stop what writes there and run the same command again: it goes on from here")

// Run copies, verifies, and says what came of it.
func (c nodeCopyCommand) Run(p *program) error {
	ends := &openedLedger{}
	defer ends.close()
	from, err := c.source(p, ends)
	if err != nil {
		return p.unfinished(err, goesOn)
	}
	to, err := c.target(p, ends)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	began := time.Now()
	bar := &copyBar{w: p.stderr}
	report, err := transfer.Copy(p.ctx, from, to, transfer.Options{Progress: bar.at, Leave: ofACheck})
	bar.end()
	if errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrRefused) {
		err = fmt.Errorf("%w\nSee that both event stores run and are named rightly, then %s", err, goesOn)
	}
	if err != nil {
		return p.unfinished(err, goesOn)
	}
	took := time.Since(began)
	if c.JSON {
		err = printDocument(p.stdout, copySummary{true, report, report.LedgerEvents, took.Seconds()})
	} else {
		err = printCopy(p.stdout, report, took)
	}
	if err == nil && report.MovedOn {
		err = errMovedOn
	}
	return err
}

// ofACheck reports whether a stream was left by node check, or by the claims of
// services on one event store.
func ofACheck(stream string) bool {
	return strings.HasPrefix(stream, storetest.StreamPrefix) || stream == eventstore.ServiceStream
}

// goesOn is what to do about a copy that was interrupted.
const goesOn = "run the same command again: it goes on where it stopped"

// source reaches what is copied from.
func (c nodeCopyCommand) source(p *program, ends *openedLedger) (*eventstore.Store, error) {
	if c.From != "" {
		from, err := c.connect(p, ends, c.From, c.FromCredentials)
		if err != nil {
			err = fmt.Errorf("--from: %w", err)
		}
		return from, err
	}
	if c.FromCredentials != "" {
		return nil, errors.New("--from-credentials-file goes with --from; a folder needs no user")
	}
	if err := folder.Check(c.Data); err != nil {
		return nil, err
	}
	if err := folder.CheckLog(c.Data); err != nil {
		return nil, err
	}
	for _, dir := range []string{filepath.Join(c.Data, folder.Log), c.Data} {
		there, err := node.Exists(dir)
		if err != nil {
			return nil, err
		}
		if there {
			return ends.connect(p, eventstore.Config{Bound: copyPatience}, c.Data, dir)
		}
	}
	return nil, fmt.Errorf("%s: %w, or the event store that has it with --from", c.Data, errNoLog)
}

// target reaches what is copied into. Nothing is written there before it
// returns, but the question to a service that has claimed it: while that one
// lives, the copy is refused.
func (c nodeCopyCommand) target(p *program, ends *openedLedger) (*eventstore.Store, error) {
	to, err := c.connect(p, ends, c.To, c.ToCredentials)
	if err == nil {
		err = askHolder(p, to)
	}
	return to, err
}

func (nodeCopyCommand) connect(p *program, ends *openedLedger, connection, credentials string) (*eventstore.Store, error) {
	whole, err := eventstore.WithCredentials(connection, credentials)
	if err == nil && whole == "" {
		err = errors.New("no connection string")
	}
	if err != nil {
		return nil, err
	}
	return ends.connect(p, eventstore.Config{ConnectionString: whole, Bound: copyPatience}, "", "")
}

// copyBar shows how far a copy is, a bar for each of its phases.
type copyBar struct {
	w     io.Writer
	phase transfer.Phase
	*rate
}

var phaseLines = map[transfer.Phase]string{
	transfer.Copying:   "Copying; what is there already is compared first.",
	transfer.Verifying: "Verifying: both sides are read anew.",
}

func (b *copyBar) at(phase transfer.Phase, events uint64, at, end eventstore.Position) {
	if phase != b.phase {
		b.end()
		fmt.Fprintln(b.w, phaseLines[phase])
		b.phase, b.rate = phase, rateBar(b.w, uint64(end))
	}
	b.rate.at(events, at)
}

func (b *copyBar) end() {
	if b.rate != nil {
		b.rate.end()
	}
}

func printCopy(w io.Writer, r transfer.Report, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Verified: the target holds the same %d events as the source, in the same order.\n", r.Events)
	fmt.Fprintf(&b, "  copied now   %d in %.1f s with verifying; %d were there already\n", r.Appended, took.Seconds(), r.Events-r.Appended)
	fmt.Fprintf(&b, "  ledger       %d events; the last ledger number is %d on both sides\n", r.LedgerEvents, r.LedgerEvents)
	fmt.Fprintf(&b, "  digest       %s of the ledger's events, on both sides\n", r.SourceDigest)
	if r.Renamed > 0 {
		fmt.Fprintf(&b, "  renamed      %d deletions and tombstones, which the target wrote under ids of its own\n", r.Renamed)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.LeftBehind)) {
		fmt.Fprintf(&b, "  left behind  %d events in streams %s…\n", r.LeftBehind[kind], kind)
	}
	for _, stream := range slices.Sorted(maps.Keys(r.Beyond)) {
		fmt.Fprintf(&b, "  left out     %d events of %s with revisions beyond the last: an earlier version wrote them, and no stream has them\n", r.Beyond[stream], stream)
	}
	if r.SameLog {
		b.WriteString("Every event has the same position and time on both sides: these are one and the same log, or one is a restored backup of the other.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
