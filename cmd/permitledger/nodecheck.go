package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore"
	"permitledger/eventstore/storetest"
)

type nodeCheckCommand struct {
	EventStore  string        `name:"eventstore" required:"" placeholder:"esdb://…" help:"Connection string of the server."`
	Credentials string        `name:"eventstore-credentials-file" help:"File with one line user:password of an admin of it, readable by its owner only, so that they need not stand in the connection string." type:"path"`
	Only        string        `help:"Check only rules whose number and name fit this regular expression." placeholder:"EXPRESSION"`
	Timeout     time.Duration `help:"How long one case may take." default:"1m"`
	Parallel    int           `help:"How many cases to run at once." default:"4"`
	JSON        bool          `name:"json" help:"Write one JSON document instead of lines."`
}

// Help is what --help says beside the flags.
func (nodeCheckCommand) Help() string {
	return "It writes to streams of its own, named storetest- and a random id, and tombstones them when it is done, " +
		"also when it is interrupted; it reads $all only where it wrote. Others may go on working with the server. " +
		"The user needs the right to read, write and delete such streams and their metadata and to read $all, " +
		"and for persistent subscriptions to be in $admins, or in $ops with the right to read $persistentsubscription-… streams: an admin has them all. " +
		"The exit code is 1 when a rule does not hold."
}

// checkedCase is one case in the JSON document.
type checkedCase struct {
	Number       string            `json:"number"`
	Name         string            `json:"name"`
	Rule         string            `json:"rule"`
	Outcome      storetest.Outcome `json:"outcome"`
	Because      []string          `json:"because,omitempty"`
	NotRemoved   []string          `json:"notRemoved,omitempty"`
	Milliseconds int64             `json:"milliseconds"`
}

// Run holds a server to the rules and says of each whether it holds.
func (c nodeCheckCommand) Run(p *program) error {
	cases, err := c.chosen()
	if err != nil {
		return err
	}
	connection, err := eventstore.WithCredentials(c.EventStore, c.Credentials)
	if err != nil {
		return err
	}
	server, err := storetest.Connect(p.ctx, connection)
	if err != nil {
		return notChecked(err)
	}
	defer server.Close()
	if err := server.MayDelete(p.ctx); errors.Is(err, storetest.ErrMayNotDelete) {
		return fmt.Errorf("%w, and nothing was written that could not be removed again: check as an admin", err)
	} else if err != nil {
		return notChecked(err)
	}
	options := storetest.Options{Timeout: c.Timeout, Parallel: c.Parallel}
	counts, checked, left := map[storetest.Outcome]int{}, []checkedCase{}, 0
	for r := range storetest.Run(p.ctx, server, options, cases...) {
		counts[r.Outcome]++
		left += len(r.Left)
		checked = append(checked, checkedCase{r.Number, r.Name, r.Rule, r.Outcome, r.Because, r.Left, r.Took.Milliseconds()})
		if !c.JSON {
			tell(p.stdout, r)
		}
	}
	failed := counts[storetest.Failed] + counts[storetest.Forbidden] + counts[storetest.Interrupted]
	if c.JSON {
		if err := printDocument(p.stdout, map[string]any{"version": server.Version, "ok": failed == 0, "cases": checked}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.stdout, "\nOf %d rules %d hold on this server, which says it is %s; %d do not, %d are about what it does not offer.\n",
			len(cases), counts[storetest.Passed], server.Version, counts[storetest.Failed], counts[storetest.NotOffered])
	}
	switch {
	case counts[storetest.Interrupted] > 0:
		return fmt.Errorf("stopped before it was done: %d rules were not checked", counts[storetest.Interrupted])
	case counts[storetest.Failed] == 0 && counts[storetest.Forbidden] > 0:
		return fmt.Errorf("%d rules could not be checked, because this user may not do what that needs: check as an admin", counts[storetest.Forbidden])
	case failed > 0:
		return fmt.Errorf("%d rules do not hold: do not put a ledger on this server before it is clear why", counts[storetest.Failed])
	case left > 0:
		return errors.New("the rules hold, but not everything written could be removed again: delete the streams named above")
	}
	return nil
}

// notChecked says what to do about a server of which nothing could be learnt.
func notChecked(err error) error {
	if status.Code(err) == codes.Unauthenticated {
		return fmt.Errorf("%w\nLook at --eventstore-credentials-file, or at the user and the password in the connection string", err)
	}
	if strings.HasPrefix(err.Error(), "connection string:") {
		return err
	}
	return fmt.Errorf("%w\n%s", err, unreachable(err))
}

func (c nodeCheckCommand) chosen() (cases []storetest.Case, err error) {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return nil, fmt.Errorf("--only: %w", err)
	}
	for _, one := range storetest.Cases() {
		if only.MatchString(one.Number + " " + one.Name) {
			cases = append(cases, one)
		}
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("--only %s fits no rule", c.Only)
	}
	return cases, nil
}

// tell writes the line of one case; of one that does not simply hold also the
// rule and what was seen.
func tell(w io.Writer, r storetest.Result) {
	mark := map[storetest.Outcome]string{
		storetest.Passed: "ok", storetest.Failed: "FAILED", storetest.NotOffered: "NOT OFFERED",
		storetest.Forbidden: "FORBIDDEN", storetest.Interrupted: "not done",
	}[r.Outcome]
	fmt.Fprintf(w, "%-11s  %-5s %s\n", mark, r.Number, r.Name)
	if r.Outcome == storetest.Failed {
		fmt.Fprintf(w, "             rule: %s\n", r.Rule)
	}
	for _, line := range r.Because {
		fmt.Fprintf(w, "             %s\n", strings.ReplaceAll(line, "\n", "\n             "))
	}
	for _, line := range r.Left {
		fmt.Fprintf(w, "             not removed: %s\n", line)
	}
}
