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
		"The exit code is 1 when a rule that the ledger needs does not hold, or could not be checked. " +
		"A rule that only other programs need prints DIFFERS where it does not hold, and leaves the exit code alone."
}

// checkedCase is one case in the JSON document.
type checkedCase struct {
	Number       string            `json:"number"`
	Name         string            `json:"name"`
	Rule         string            `json:"rule"`
	Needed       bool              `json:"neededByLedger"`
	Others       string            `json:"otherPrograms,omitempty"`
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
	var sum checkSum
	checked := []checkedCase{}
	for r := range storetest.Run(p.ctx, server, options, cases...) {
		sum.add(r)
		checked = append(checked, checkedCase{r.Number, r.Name, r.Rule, r.NeededByLedger(), r.OtherPrograms, r.Outcome, r.Because, r.Left, r.Took.Milliseconds()})
		if !c.JSON {
			tell(p.stdout, r)
		}
	}
	if c.JSON {
		if err := printDocument(p.stdout, map[string]any{"version": server.Version, "ok": sum.held(), "cases": checked}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.stdout, "\nThis server says that it is %s. %s\n", server.Version, sum)
	}
	return sum.err()
}

// checkSum counts how rules ended: those that the ledger needs, and those that
// only other programs need.
type checkSum struct {
	ledger, others [storetest.Interrupted + 1]int
	left           int // streams and groups that could not be removed
}

func (s *checkSum) add(r storetest.Result) {
	counts := &s.others
	if r.NeededByLedger() {
		counts = &s.ledger
	}
	counts[r.Outcome]++
	s.left += len(r.Left)
}

func (s checkSum) interrupted() int {
	return s.ledger[storetest.Interrupted] + s.others[storetest.Interrupted]
}

// held reports whether every rule that the ledger needs was seen to hold, and
// no rule was left unchecked.
func (s checkSum) held() bool {
	return s.ledger[storetest.Failed]+s.ledger[storetest.Forbidden]+s.interrupted() == 0
}

func (s checkSum) String() string {
	total := func(counts [storetest.Interrupted + 1]int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	return fmt.Sprintf("Of %d rules that the ledger needs %d hold and %d do not. "+
		"Of %d that only other programs need %d hold, %d differ, %d are about what the server does not offer, and %d are forbidden to this user.",
		total(s.ledger), s.ledger[storetest.Passed], s.ledger[storetest.Failed],
		total(s.others), s.others[storetest.Passed], s.others[storetest.Differs], s.others[storetest.NotOffered], s.others[storetest.Forbidden])
}

// err is what the command ends with.
func (s checkSum) err() error {
	switch failed, forbidden := s.ledger[storetest.Failed], s.ledger[storetest.Forbidden]; {
	case s.interrupted() > 0:
		return fmt.Errorf("stopped before it was done: %d rules were not checked", s.interrupted())
	case failed > 0:
		return fmt.Errorf("%d rules that the ledger needs do not hold: do not put a ledger on this server before it is clear why", failed)
	case forbidden > 0:
		return fmt.Errorf("%d rules could not be checked, because this user may not do what that needs: check as an admin", forbidden)
	case s.left > 0:
		return errors.New("the rules that the ledger needs hold, but not everything written could be removed again: delete the streams named above")
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
// rule, what was seen, and why the ledger may do without.
func tell(w io.Writer, r storetest.Result) {
	mark := map[storetest.Outcome]string{
		storetest.Passed: "ok", storetest.Failed: "FAILED", storetest.Differs: "DIFFERS", storetest.NotOffered: "NOT OFFERED",
		storetest.Forbidden: "FORBIDDEN", storetest.Interrupted: "not done",
	}[r.Outcome]
	fmt.Fprintf(w, "%-11s  %-5s %s\n", mark, r.Number, r.Name)
	if r.Outcome == storetest.Failed || r.Outcome == storetest.Differs {
		fmt.Fprintf(w, "             rule: %s\n", r.Rule)
	}
	for _, line := range r.Because {
		fmt.Fprintf(w, "             %s\n", strings.ReplaceAll(line, "\n", "\n             "))
	}
	if r.Outcome == storetest.Differs {
		fmt.Fprintf(w, "             Only other programs need this rule. %s\n", r.OtherPrograms)
	}
	for _, line := range r.Left {
		fmt.Fprintf(w, "             not removed: %s\n", line)
	}
}
