package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"permitledger/eventstore"
)

// maxKinds bounds what is told of what is left behind one by one.
const maxKinds = 50

// verify reads both sides from their beginning and compares them once more,
// also that the target ends where the source does.
func (c *copier) verify(ctx context.Context) (Report, error) {
	r := Report{LeftBehind: map[string]uint64{}, SameLog: true}
	source := pull(func(yield func(eventstore.Recorded, error) bool) {
		for e, err := range c.from.ReadAll(ctx, 0) {
			switch {
			case err == nil && !c.copies(e.Stream):
				r.leave(e.Stream)
				continue
			case err == nil && isBeyond(e):
				r.leaveBeyond(e.Stream)
				continue
			case err == nil && e.Position > c.until:
				r.MovedOn = true
				return
			}
			if !yield(e, err) {
				return
			}
		}
	})
	defer source.stop()
	target := pull(c.eventsOf(ctx, c.to, 0, atTheEnd))
	defer target.stop()
	here, there := sha256.New(), sha256.New()
	c.number = 0
	err := alongside(source, target, &c.number, func(s, t eventstore.Recorded) {
		if s.ID != t.ID {
			r.Renamed++
		}
		r.SameLog = r.SameLog && s.Position == t.Position && s.Created.Equal(t.Created)
		if eventstore.IsLedgerStream(s.Stream) {
			r.LedgerEvents++
			leaf(here, s)
			leaf(there, t)
		}
		c.told(Verifying, s)
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	missing, err := source.peek()
	if err == nil && missing != nil {
		err = &DifferenceError{Number: c.number + 1, Source: describe(*missing)}
	}
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	r.Events, r.Appended = c.number, c.number-c.found
	r.SameLog = r.SameLog && r.Events > 0
	r.SourceDigest, r.TargetDigest = hex.EncodeToString(here.Sum(nil)), hex.EncodeToString(there.Sum(nil))
	if r.SourceDigest != r.TargetDigest { // only the id of a tombstone is not compared
		return Report{}, errors.Join(ErrDiffers, ErrTombstone)
	}
	return r, nil
}

// leave counts an event that is not copied.
func (r *Report) leave(stream string) {
	kind, _, _ := strings.Cut(originalOf(stream), "-")
	count(r.LeftBehind, kind)
}

// leaveBeyond counts an event that no stream has.
func (r *Report) leaveBeyond(stream string) {
	if r.Beyond == nil {
		r.Beyond = map[string]uint64{}
	}
	count(r.Beyond, stream)
}

func count(kinds map[string]uint64, kind string) {
	if _, known := kinds[kind]; !known && len(kinds) >= maxKinds {
		kind = "others"
	}
	kinds[kind]++
}

// leaf adds an event of the ledger to a digest. Its form is fixed and is made
// of stored bytes only, so that a stranger can make the same of any copy:
//
//	v1 LF stream LF revision LF event id LF type LF hex SHA-256(data) LF hex SHA-256(metadata) LF
func leaf(h hash.Hash, r eventstore.Recorded) {
	fmt.Fprintf(h, "v1\n%s\n%d\n%s\n%s\n%x\n%x\n", r.Stream, r.Revision, r.ID, r.Type, sha256.Sum256(r.Data), sha256.Sum256(r.Metadata))
}
