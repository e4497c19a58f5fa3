package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/domain/audit"
	"permitledger/domain/permit"
)

type replayCommand struct {
	ledgerFlags
	JSON    bool `help:"Print the report as JSON."`
	Workers int  `help:"How many events are decoded at a time; 0 is one for each processor." default:"0"`
}

// errViolations is returned when a replay found something wrong: the report
// says what.
var errViolations = errors.New("the history breaks the rules; each violation is listed with its event")

// Run replays the ledger and reports. The exit code is 0 only for a history
// without violations.
func (c replayCommand) Run(p *program) error {
	l, err := c.open(p)
	if err != nil {
		return err
	}
	defer l.close()
	head, err := l.ledger.Store().Head(p.ctx)
	if err != nil {
		return err
	}
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	bar := rateBar(p.stderr, uint64(head))
	report, err := replay.Run(p.ctx, l.ledger, replay.Options{Workers: workers, Progress: bar.at})
	bar.end()
	if err != nil {
		return err
	}
	if c.JSON {
		err = printDocument(p.stdout, report)
	} else {
		err = printReport(p.stdout, report)
	}
	if err == nil && report.Count > 0 {
		return errViolations
	}
	return err
}

func printReport(w io.Writer, r replay.Report) error {
	var b strings.Builder
	for _, v := range r.Violations {
		printViolation(&b, v)
	}
	if more := r.Count - uint64(len(r.Violations)); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	fmt.Fprintf(&b, "%d events in %.1f s, %.0f a second, up to %s\n", r.Events, r.Seconds, r.PerSecond, r.Clock.Format(time.RFC3339))
	b.WriteString("\nStreams and their events\n")
	for _, kind := range slices.Sorted(maps.Keys(r.BySort)) {
		fmt.Fprintf(&b, "  %-22s %9d %9d\n", kind, r.Streams[kind], r.BySort[kind])
	}
	b.WriteString("\nEvents by type\n")
	for _, name := range slices.Sorted(maps.Keys(r.ByType)) {
		fmt.Fprintf(&b, "  %-22s %9d\n", name, r.ByType[name])
	}
	b.WriteString("\nPermits by state\n")
	for _, state := range []permit.Status{permit.StatusPending, permit.StatusUpcoming, permit.StatusActive,
		permit.StatusExpired, permit.StatusRejected, permit.StatusCancelled} {
		if n := r.Permits[state]; n > 0 {
			fmt.Fprintf(&b, "  %-22s %9d\n", state, n)
		}
	}
	for _, s := range r.SetBacks {
		fmt.Fprintf(&b, "\nThe log was set back: #%d of %s says that the newest event known was number %d (%s), and that the log was the same up to number %d.\n",
			s.Ledger, s.RecordedAt.Format(time.RFC3339), s.Known, s.KnownID, s.Agreed)
	}
	if r.Count == 0 {
		b.WriteString("\nNo violations.\n")
	} else {
		fmt.Fprintf(&b, "\n%d violations.\n", r.Count)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printViolation(w io.Writer, v audit.Violation) {
	fmt.Fprintf(w, "VIOLATION %s: %s\n    #%d  %s at revision %d of %s, event %s\n", v.Rule, v.Wrong,
		v.Ledger, v.Type, v.Revision, v.Stream, v.EventID)
}
