package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// erasuresFile says how far the log's erasures are known to be done in this
// vault. It lies beside the keys, so that keys which were restored bring back
// the mark of their own time, and the erasures since then are done again.
const erasuresFile = "erasures"

// erasuresMark names the last event that was looked at. It is only believed
// when the log still has that event in that place. A mark without a ledger
// number is of a version that did not compare the keys: it is not believed.
type erasuresMark struct {
	Ledger   uint64 `json:"ledger,omitempty"` // marks of earlier versions have no number
	Position string `json:"position"`
	Stream   string `json:"stream"`
	Revision uint64 `json:"revision"`
	EventID  string `json:"eventId"`
	// Clock is the instant at which the event was recorded.
	Clock time.Time `json:"clock,omitzero"`
}

// readErasuresMark reads the mark of a data folder as a place in the log. It is
// false where there is none, or none that can be read.
func readErasuresMark(data string) (eventstore.Place, bool, error) {
	content, err := os.ReadFile(filepath.Join(data, folder.Keep, erasuresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return eventstore.Place{}, false, nil
	}
	if err != nil {
		return eventstore.Place{}, false, err
	}
	var m erasuresMark
	if json.Unmarshal(content, &m) != nil || m.EventID == "" {
		return eventstore.Place{}, false, nil
	}
	position, err := eventstore.ParsePosition(m.Position)
	if err != nil {
		return eventstore.Place{}, false, nil
	}
	return eventstore.Place{Ledger: m.Ledger, Position: position, Stream: m.Stream, Revision: m.Revision, ID: m.EventID, Clock: m.Clock}, true, nil
}

// errLogGone is returned for keys that were in use beside a log without a
// single event.
var errLogGone = errors.New("the log is empty, but the keys belong to a ledger with a history: " +
	"name its event store with --eventstore if it has one of its own; otherwise the log was lost, or --data names another folder: restore the log that goes with these keys")

// hasHistory reports whether the keys were in use beside a log.
func hasHistory(data string) (bool, error) {
	_, err := os.Stat(filepath.Join(data, folder.Keep, erasuresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// CheckLogKept refuses to make an empty log beside keys with a history: it would
// be in the way of the one that is to be put back.
func CheckLogKept(data string) error {
	known, err := hasHistory(data)
	if err != nil || !known {
		return err
	}
	there, err := node.Exists(filepath.Join(data, folder.Log))
	if err == nil && !there {
		err = errLogGone
	}
	return err
}

// CheckLogThere refuses to begin a new ledger with the keys of an old one, and
// to say anything about that one from a log in which nothing of it lies.
func CheckLogThere(ctx context.Context, store *eventstore.Store, data string) error {
	known, err := hasHistory(data)
	if err != nil || !known {
		return err
	}
	head, err := store.Head(ctx)
	if err == nil && head == 0 {
		err = errLogGone
	}
	return err
}

// compareKeep compares the keep folder with the log, before anything is folded
// or served. It destroys again the keys and the documents of everybody whom the
// log records as erased: a vault that was restored from before an erasure has
// the key again. It refuses a vault that lacks keys or documents which the log
// uses, unless the operator has accepted that number.
func (s *Service) compareKeep(ctx context.Context) error {
	path := filepath.Join(s.cfg.Data, folder.Keep, erasuresFile)
	from, number, err := s.erasuresDone(ctx)
	if err != nil {
		return fmt.Errorf("compare the keys with the log: %w", err)
	}
	found, err := newLosses(s.vault, s.papers)
	if err != nil {
		return err
	}
	var last *eventstore.Recorded
	for r, err := range s.Ledger.Store().ReadAll(ctx, from) {
		if err != nil {
			return fmt.Errorf("compare the keys with the log: %w", err)
		}
		last = &r
		number++
		if err := found.see(r, number); err != nil {
			return fmt.Errorf("compare the keys with the log: %w", err)
		}
		if r.Type != account.TypeAccountErased {
			continue
		}
		person := personOf(r.Stream)
		if err := errors.Join(s.vault.Destroy(person), s.papers.Erase(person)); err != nil {
			return fmt.Errorf("do an erasure again: %w", err)
		}
	}
	if err := found.settle(s.cfg.AcceptLostKeys, time.Now()); err != nil {
		return err
	}
	if err := s.watchLosses(); err != nil || last == nil {
		return err
	}
	at, _ := eventstore.RecordedAt(*last) // without it the mark has no clock
	content, err := json.Marshal(erasuresMark{Ledger: number, Position: last.Position.String(), Stream: last.Stream, Revision: last.Revision,
		EventID: last.ID.String(), Clock: at})
	if err == nil {
		err = folder.WriteDurably(path, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note how far the erasures are done: %w", err)
	}
	return nil
}

// erasuresDone returns the position up to which nothing must be done again, and
// its ledger number: 0 where there is no mark, one without a number, or one of
// another log. Comparing everything again is always correct.
func (s *Service) erasuresDone(ctx context.Context) (eventstore.Position, uint64, error) {
	m, some, err := readErasuresMark(s.cfg.Data)
	if err != nil || !some || m.Ledger == 0 {
		return 0, 0, err
	}
	for r, err := range s.Ledger.Store().Read(ctx, m.Stream, m.Revision) {
		if err != nil {
			return 0, 0, err
		}
		if r.ID.String() == m.ID && r.Position == m.Position {
			return r.Position, m.Ledger, nil
		}
		break
	}
	return 0, 0, nil
}

// personOf is the account whose stream it is; empty for any other stream.
func personOf(stream string) domain.AccountID {
	if person, ok := strings.CutPrefix(stream, account.Stream("")); ok {
		return domain.AccountID(person)
	}
	return ""
}
