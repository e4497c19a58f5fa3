// Package storetest holds a running EventStoreDB server, whichever it is, to
// the rules that a ledger leans on: what an append promises, what a read
// gives, what a subscription never loses. The same cases run on the embedded
// node in a test and, by `permitledger node check`, on the server that is to
// go live.
//
// A case is one numbered rule. It works on streams of its own, under names
// that nobody else has, and removes them when it is done. It never assumes
// that the server is empty or quiet, and it never reads $all from the start.
//
// Cases talk to the server through the official client; only what that client
// cannot say or show goes through the generated one.
//
// Begin reading here, then room.go for what a case works with, and chapter by
// chapter: appends.go is the first.
package storetest

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"sync"
	"time"
)

// Case is one rule and the check that holds a server to it.
type Case struct {
	Number string // chapter and place in it, such as "2.4"
	Name   string // a few words
	Rule   string // what must hold, in plain words

	// OtherPrograms says of a rule that only they need why the ledger does
	// without it. It is empty where the ledger needs the rule: a call of
	// eventstore, or of a copy, relies on it.
	OtherPrograms string

	persistent bool // needs persistent subscriptions
	check      func(*room)
}

// Reasons why the ledger does without several rules.
const (
	noBatchAppend = "The ledger makes one call for each append. A copy uses BatchAppend, and reads both sides again at its end."
	revisionNamed = "Each append of the ledger, and of a copy, names a revision, or that there is no stream."
	noMetadata    = "The ledger's streams have no metadata, and a copy reads $all, which hides nothing."
	noLinks       = "The ledger writes no links and asks for none to be followed."
	onlyAll       = "The ledger subscribes to $all, and to no stream."
	noGroups      = "Without persistent subscriptions the ledger's timekeeper settles the payments."
)

// NeededByLedger reports whether a server that breaks the rule is no place for
// a ledger.
func (c Case) NeededByLedger() bool { return c.OtherPrograms == "" }

// Cases lists every case in the order of the rules.
func Cases() []Case {
	return slices.Concat(appendCases, batchCases, expectCases, readCases, keepCases, linkCases, allCases, followCases, groupCases, groupWireCases)
}

// Outcome is how a case ended.
type Outcome int

const (
	// Passed means that the rule was seen to hold.
	Passed Outcome = iota
	// Failed means that a rule which the ledger needs was seen not to hold, or
	// that its case could not come to its end.
	Failed
	// Differs means the same of a rule that only other programs need.
	Differs
	// NotOffered means that the server does not have what the rule is about.
	NotOffered
	// Forbidden means that the user may not do what the case must, so that
	// nothing is known of the rule.
	Forbidden
	// Interrupted means that the context ended before the case did.
	Interrupted
)

func (o Outcome) String() string {
	return [...]string{"ok", "FAILED", "DIFFERS", "not offered by this server", "forbidden to this user", "interrupted"}[o]
}

// MarshalJSON writes the outcome as its word.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return json.Marshal([...]string{"ok", "failed", "differs", "not-offered", "forbidden", "interrupted"}[o])
}

// Result is what came of a case.
type Result struct {
	Case
	Outcome Outcome
	Because []string      // what was expected and what was seen instead
	Left    []string      // what could not be removed again
	Took    time.Duration // with the cleaning
}

// Options bounds a run.
type Options struct {
	// Timeout is how long one case may take. Default 60 s.
	Timeout time.Duration
	// Patience is how long a case waits for any one thing. Default 10 s.
	Patience time.Duration
	// Parallel is how many cases run at once. Default 1.
	Parallel int
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	o.Parallel = max(o.Parallel, 1)
	return o
}

// Run runs cases and gives their results in the order of the cases. When the
// context ends or the loop is left, no further case begins, and those under
// way still clean up after themselves.
func Run(ctx context.Context, s *Server, o Options, cases ...Case) iter.Seq[Result] {
	o = o.withDefaults()
	return func(yield func(Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		results := make([]chan Result, len(cases))
		for i := range results {
			results[i] = make(chan Result, 1)
		}
		turns := make(chan int, len(cases))
		for i := range cases {
			turns <- i
		}
		close(turns)
		for range o.Parallel {
			running.Go(func() {
				for i := range turns {
					results[i] <- cases[i].Run(ctx, s, o)
				}
			})
		}
		for _, r := range results {
			if !yield(<-r) {
				return
			}
		}
	}
}

// Run runs one case. It returns within the case's time and that of cleaning
// up, also when the server does not answer.
func (c Case) Run(ctx context.Context, s *Server, o Options) Result {
	o = o.withDefaults()
	begun := time.Now()
	result := Result{Case: c}
	if ctx.Err() != nil {
		result.Outcome = Interrupted
		return result
	}
	if c.persistent && !s.Offers(persistentService) {
		result.Outcome = NotOffered
		return result
	}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	r := newRoom(limited, s, o)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.enter(c.check)
	}()
	select {
	case <-ended:
	case <-limited.Done():
		// The client does not look at the context while it discovers a node.
		select {
		case <-ended:
		case <-time.After(time.Second):
			r.fail("the case could not be brought to its end")
		}
	}
	cancel()
	result.Left = r.leave(context.WithoutCancel(ctx))
	result.Outcome, result.Because = r.verdict(c.NeededByLedger())
	if (result.Outcome == Failed || result.Outcome == Differs) && ctx.Err() != nil {
		result.Outcome = Interrupted
	}
	result.Took = time.Since(begun)
	return result
}
