// Package transfer copies a whole log from one event store into another that
// is empty, so that a ledger can move: from the embedded node to a cluster,
// from one cluster to the next, and back.
//
// It copies every stream but the server's own (those that begin with $) and the
// service's (permitledger-): each event with its id, type, data, metadata and
// content type at its revision, in the order of $all, and also the metadata,
// deletions and tombstones of streams. So an event has the same ledger
// number in the copy. It cannot copy what a server makes itself: positions,
// the time at which it stored an event, and the ids of tombstones and of the
// metadata that it writes when a stream is deleted or written again.
//
// There is one loop, and no note of how far a copy is. The target's own log is
// that note: it is read beside the source's and must be the beginning of the
// same log; where it ends, copying goes on. So a copy that was interrupted, one whose
// last append has an unknown outcome, and one that a source has outgrown are the
// same case, and every run begins with checking what the ones before have done.
// One thing cannot be taken up again: a target that has got events in another
// order, see ErrOrder.
//
// Begin reading at Copy, then copier.run; several.go has the appends under way.
// Nothing here locks anything: the caller stops the writers of both sides, and
// the report names events that came meanwhile.
package transfer

import (
	"context"
	"errors"
	"fmt"

	"permitledger/eventstore"
)

var (
	// ErrDiffers is matched by a *DifferenceError: the target holds something
	// else than the source.
	ErrDiffers = errors.New("the target is no copy of this source")
	// ErrGap is returned when events of a stream are missing in the source: they
	// cannot be left out of the copy, because the later ones would get other
	// revisions.
	ErrGap = errors.New("the source lacks the beginning of a stream")
	// ErrTombstone is returned for a stream of the ledger that was tombstoned.
	// The tombstone counts as an event of the ledger, and its id is the server's.
	ErrTombstone = errors.New("a stream of the ledger was tombstoned, which a copy cannot repeat under the same event id")
	// ErrRevived is returned for a source in which a deleted stream was written
	// again though its metadata had a tombstone. An EventStoreDB server that is
	// asked for that does not survive it.
	ErrRevived = errors.New("a deleted stream was written again after the tombstone of its metadata, as an earlier version of the node allowed")
	// ErrOrder is returned when the target has got events in another order than
	// the source: of several appends under way it has written a later one without
	// one before it. No later append mends that.
	ErrOrder = errors.New("the target has got events in another order than the source; begin again with an empty event store")
	// ErrDisturbed is returned when somebody else writes to the target.
	ErrDisturbed = errors.New("somebody else writes to the target")
)

// DifferenceError names the first event that is not the same on both sides. It
// says nothing of what stands in it.
type DifferenceError struct {
	Number uint64 // its place in the common order, from 1
	What   string // in what the two differ
	Source string // which event it is there; "" where the log ends before
	Target string
}

// Error names the event on both sides.
func (e *DifferenceError) Error() string {
	where := fmt.Sprintf("%v: event %d ", ErrDiffers, e.Number)
	switch {
	case e.Source == "":
		return where + "of the target, " + e.Target + ", is not in the source"
	case e.Target == "":
		return where + "of the source, " + e.Source + ", is not in the target"
	}
	return fmt.Sprintf("%sis %s in the source and %s in the target; they differ in their %s", where, e.Source, e.Target, e.What)
}

// Is matches ErrDiffers.
func (e *DifferenceError) Is(target error) bool { return target == ErrDiffers }

// Phase is what a transfer is at.
type Phase string

// A transfer first copies, then reads both sides again and compares them.
const (
	Copying   Phase = "copying"
	Verifying Phase = "verifying"
)

// Options is what a transfer passes over and how it is watched.
type Options struct {
	// Leave names streams that are not copied, on neither side. Nil: there are
	// none but the servers' own.
	Leave func(stream string) bool
	// Progress is called after each event that is checked or copied, with their
	// number so far, the place of the last one in the source, and where the
	// source ends. It is called by the goroutine that called Copy. Nil: nobody
	// watches.
	Progress func(phase Phase, events uint64, at, end eventstore.Position)
}

// Report says what a copy came to. It is only given once both sides were read
// to their end and found the same.
type Report struct {
	Events   uint64 `json:"events"`   // on each side, without those left behind
	Appended uint64 `json:"appended"` // of these came into the target by this run; the others were there

	LedgerEvents uint64 `json:"ledgerEvents"` // of these in streams of the ledger; also the last ledger number
	SourceDigest string `json:"sourceDigest"` // SHA-256 of the ledger's events, see leaf
	TargetDigest string `json:"targetDigest"`

	Renamed    uint64            `json:"renamed"`          // deletions and tombstones that have ids of the target's own
	LeftBehind map[string]uint64 `json:"leftBehind"`       // events of the source in streams that are not copied, by kind of stream
	Beyond     map[string]uint64 `json:"beyond,omitempty"` // events of the source with revisions above the last that there is, which are left out, by stream
	MovedOn    bool              `json:"movedOn"`          // the source has got events since the copy began
	SameLog    bool              `json:"sameLog"`          // positions and times agree too: the two are one log, or one a restored backup of the other
}

// Copy brings everything that the source holds now into the target, which is
// empty or holds the beginning of the same log, and verifies that both are the
// same. Streams of the servers' own do not count there. After any error
// but ErrOrder, the same call goes on where it stopped.
func Copy(ctx context.Context, from, to *eventstore.Store, o Options) (Report, error) {
	c := &copier{from: from.Verbatim(), to: to.Verbatim(), Options: o}
	var err error
	if c.until, err = c.from.Head(ctx); err != nil {
		return Report{}, fmt.Errorf("find the end of the source: %w", err)
	}
	c.source = pull(c.ofSource(ctx))
	defer c.source.stop()
	c.several.pipeline = c.to.Pipeline()
	c.several.singly = 1 // a refusal of the first batch, as for a missing right, leaves nothing behind it
	defer c.endPipeline()
	if err := c.run(ctx); err != nil {
		return Report{}, err
	}
	return c.verify(ctx)
}
