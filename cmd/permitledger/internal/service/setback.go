package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/eventstore"
	"permitledger/projections"
)

// seen is what a data folder has seen of its log. It is used by one goroutine
// at a time, but for models.
type seen struct {
	data  string
	first []*eventstore.Place // as it was before the read models were opened
	store *eventstore.Store
	// models are the read models once they are open.
	models atomic.Pointer[projections.Runner]
}

// readSeen reads what the files of a folder have seen, before any of them is
// dropped or made again.
func readSeen(ctx context.Context, data string, store *eventstore.Store) (*seen, error) {
	left, err := projections.Marks(ctx, filepath.Join(data, folder.Projections))
	if err != nil {
		return nil, err
	}
	s := &seen{data: data, store: store}
	if newest, some := newestMark(left); some {
		s.first = append(s.first, &newest)
	}
	mark, some, err := readErasuresMark(data)
	if err == nil && some {
		s.first = append(s.first, &mark)
	}
	return s, err
}

func newestMark(left []projections.Left) (newest eventstore.Place, some bool) {
	for _, l := range left {
		if l.Mark.Ledger > newest.Ledger {
			newest, some = l.Mark.Place(), true
		}
	}
	return newest, some
}

// places lists the newest known places. Those of the start stay in the list: a
// read model that is made again has seen less for a while.
func (s *seen) places() []*eventstore.Place {
	all := slices.Clone(s.first)
	if r := s.models.Load(); r != nil {
		var newest projections.Mark
		for _, p := range r.Projections() {
			if m := p.Mark(); m.Ledger > newest.Ledger {
				newest = m
			}
		}
		if place := newest.Place(); newest.Ledger > 0 && !holds(all, newest.EventID) {
			all = append(all, &place)
		}
	}
	if newest, some := s.store.Newest(); some && !holds(all, newest.ID) {
		all = append(all, &newest)
	}
	return all
}

func holds(places []*eventstore.Place, id string) bool {
	return slices.ContainsFunc(places, func(p *eventstore.Place) bool { return p.ID == id })
}

// compare finds the lost events and lists them.
func (s *seen) compare(ctx context.Context, p eventstore.Place) (*known.SetBackError, error) {
	left, err := projections.Marks(ctx, filepath.Join(s.data, folder.Projections))
	if err != nil {
		return nil, err
	}
	d, err := known.Compare(ctx, s.store, left, p)
	if err != nil {
		return nil, err
	}
	list, err := known.WriteList(s.data, d, time.Now())
	return &known.SetBackError{Difference: d, List: list}, err
}

// newWatch makes the watch over a log. alone says that the log is that of the
// embedded node.
func (s *seen) newWatch(alone bool, lookAgain time.Duration, logger *slog.Logger) *known.Watch {
	w := known.NewWatch(known.Config{Store: s.store, Places: s.places, Compare: s.compare, Alone: alone, LookAgain: lookAgain, Logger: logger})
	s.store.AddFirstGuard(w.Guard)
	return w
}

// checkWhole checks that the log has what this folder has seen of it, and from
// then on after every new session. Nothing was written to the ledger's streams
// before.
func (s *Service) checkWhole(ctx, runCtx context.Context) (err error) {
	if s.seen, err = readSeen(ctx, s.cfg.Data, s.Ledger.Store()); err != nil {
		return err
	}
	s.whole = s.seen.newWatch(s.cfg.EventStore == "", s.cfg.LookAgain, s.cfg.Logger)
	s.running.Go(func() error { return s.whole.Run(runCtx) })
	err = s.whole.Check(ctx)
	lost, ok := errors.AsType[*known.SetBackError](err)
	if !ok || s.cfg.AcceptShorter == nil {
		return err
	}
	if *s.cfg.AcceptShorter != lost.Agreed {
		refused := *lost
		refused.Refused = s.cfg.AcceptShorter
		return &refused
	}
	if err := s.acceptShorter(ctx, lost); err != nil {
		return fmt.Errorf("accept the log that was set back: %w", err)
	}
	return nil
}

// LogWhole looks again whether the log has what this folder has seen of it, and
// returns nil when it has, or else a *known.SetBackError. It takes half a minute
// where one look is not enough for a verdict.
func (s *Service) LogWhole(ctx context.Context) error { return s.whole.Check(ctx) }

// watchLog checks that the log has what the folder has seen of it, before any
// read model is made again, and watches it until Close.
func (k *kept) watchLog(ctx context.Context, data string, store *eventstore.Store, alone bool, logger *slog.Logger) (*seen, *known.Watch, error) {
	s, err := readSeen(ctx, data, store)
	if err != nil {
		return nil, nil, err
	}
	w := s.newWatch(alone, 0, logger)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(watching) }()
	k.closers = append(k.closers, func() error { stop(); return <-ended })
	return s, w, w.Check(ctx)
}

// dropLost removes the files of read models whose last event the log has lost,
// once that is accepted: they are made again, and until then nobody reads them.
func (s *seen) dropLost(ctx context.Context, whole *known.Watch, logger *slog.Logger) error {
	left, err := projections.Marks(ctx, filepath.Join(s.data, folder.Projections))
	if err != nil {
		return err
	}
	for len(left) > 0 {
		l := left[0]
		on, err := whole.Pass(ctx)
		if err != nil {
			return err
		}
		where, _, err := s.store.Locate(ctx, l.Mark.Place())
		if err != nil {
			return fmt.Errorf("look for the last event of read model %s: %w", l.Model, err)
		}
		if now, _ := s.store.Session(); now != on {
			continue // the server that answered may no longer lead
		}
		left = left[1:]
		if where != eventstore.Missing && where != eventstore.Rewritten {
			continue
		}
		logger.Warn("read model is made again", "model", l.Model, "because", "the log has lost its last event")
		if err := l.Remove(); err != nil {
			return fmt.Errorf("remove read model %s: %w", l.Model, err)
		}
	}
	return nil
}

// CheckWhole looks once whether a log has what a folder has seen of it, for a
// sub-command that changes nothing. It waits for no second look, and writes no
// list of lost events.
func CheckWhole(ctx context.Context, data string, store *eventstore.Store) error {
	s, err := readSeen(ctx, data, store)
	if err != nil {
		return err
	}
	return known.LookOnce(ctx, store, s.places())
}

// copyWhileWhole is the copy of the streams, for as long as the log is not known
// to lack what the copy has.
type copyWhileWhole struct {
	eventstore.Copy
	whole *known.Watch
}

// Stream is part of eventstore.Copy.
func (c copyWhileWhole) Stream(ctx context.Context, stream string) ([]eventstore.Recorded, eventstore.Position, error) {
	if lost := c.whole.SetBack(); lost != nil {
		return nil, 0, lost
	}
	return c.Copy.Stream(ctx, stream)
}
