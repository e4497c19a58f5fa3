package node

import "github.com/google/uuid"

// expected is the revision a writer believes its stream to be at, or one of
// the three special beliefs, numbered as the protocol's trailers number them.
type expected int64

const (
	expectNoStream expected = -1
	expectAny      expected = -2
	expectExists   expected = -4
)

// verdict is what the check of an expected revision comes to.
type verdict int

const (
	verdictWrite      verdict = iota // nothing speaks against writing
	verdictIdempotent                // these very events are there already
	verdictWrong                     // the stream is not where the writer believes
	verdictDeleted                   // the stream takes no such write any more
)

// stored is where a check found events that were written before.
type stored struct {
	revision uint64
	position uint64
}

// history answers the check's questions about what was written before.
type history interface {
	// recent finds an event lately written to a stream by its id. It forgets.
	recent(stream string, id uuid.UUID) (stored, bool)
	// entries lists the stream's entries from a revision on, at most max. It
	// never forgets.
	entries(stream string, from uint64, max int) ([]entry, error)
}

// checkCommit decides whether a batch may be written to a stream, was written
// before, or contradicts it. For verdictIdempotent it also says where the last
// event of the batch lies.
func checkCommit(h *head, stream string, want expected, ids []uuid.UUID, past history) (verdict, stored, error) {
	if h.tombstoned {
		return verdictDeleted, stored{}, nil
	}
	switch want {
	case expectExists:
		if h.softDeleted() {
			return verdictDeleted, stored{}, nil
		}
		if h.last < 0 && !h.described {
			return verdictWrong, stored{}, nil
		}
		v, at := checkRecent(stream, ids, past)
		return v, at, nil
	case expectAny:
		v, at := checkRecent(stream, ids, past)
		return v, at, nil
	}
	switch e := int64(want); {
	case e == h.last:
		return verdictWrite, stored{}, nil
	case e > h.last:
		return verdictWrong, stored{}, nil
	}
	return checkStored(h, stream, want, ids, past)
}

// checkRecent recognises a repeated batch that named no revision by its ids,
// as long as they are remembered.
func checkRecent(stream string, ids []uuid.UUID, past history) (verdict, stored) {
	v, last := verdictWrite, stored{}
	for i, id := range ids {
		at, ok := past.recent(stream, id)
		switch {
		case !ok && i == 0:
			return verdictWrite, stored{}
		case !ok:
			return verdictWrong, stored{}
		}
		v, last = verdictIdempotent, at
	}
	return v, last
}

// checkStored compares a batch that names a revision of the past with what
// follows that revision.
func checkStored(h *head, stream string, want expected, ids []uuid.UUID, past history) (verdict, stored, error) {
	list, err := past.entries(stream, uint64(int64(want)+1), len(ids))
	if err != nil {
		return verdictWrong, stored{}, err
	}
	last := stored{}
	for i, id := range ids {
		if i >= len(list) || list[i].id != id {
			if i == 0 && want == expectNoStream && h.softDeleted() {
				return verdictWrite, stored{}, nil
			}
			return verdictWrong, stored{}, nil
		}
		last = stored{revision: list[i].revision, position: list[i].position}
	}
	if len(ids) == 0 {
		return verdictWrong, stored{}, nil
	}
	return verdictIdempotent, last, nil
}
