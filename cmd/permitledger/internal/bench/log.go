package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/eventstore/bare"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
)

// logSide is a log and what it is measured against.
type logSide struct {
	server *bare.Client       // the official client, to the node or the given server
	ledger *eventstore.Ledger // the program's own store, to the same
	bare   *bare.Server
	client *bare.Client // the official client, to the bare server

	given   bool
	from    eventstore.Position // where the events begin that are there to be read; 0: none yet
	mu      sync.Mutex
	streams []string // that a given server is to be rid of; guarded by mu
}

// logs gives the log to measure, which is made on first use.
func (b *bench) logs(ctx context.Context) (*logSide, error) {
	if b.log != nil {
		return b.log, nil
	}
	l := &logSide{given: b.EventStore != ""}
	cfg := eventstore.Config{ConnectionString: b.EventStore}
	dir, err := b.folder("log")
	if err != nil {
		return nil, err
	}
	if !l.given {
		n, err := node.Open(ctx, node.Options{Dir: filepath.Join(dir, "node"), Socket: filepath.Join(dir, "node.sock")})
		if err != nil {
			return nil, err
		}
		b.onClose(n.Close)
		cfg.Socket = n.Socket()
	}
	keys, err := vault.Open(filepath.Join(dir, "keep"))
	if err != nil {
		return nil, err
	}
	b.onClose(keys.Close)
	store, err := eventstore.Connect(cfg)
	if err != nil {
		return nil, err
	}
	b.onClose(store.Close)
	l.ledger = eventstore.NewLedger(store, eventstore.NewCodec(keys))
	if l.server, err = bare.Connect(cfg.ConnectionString, cfg.Socket); err != nil {
		return nil, err
	}
	b.onClose(l.server.Close)
	if l.given {
		if err := l.refuseLedger(ctx); err != nil {
			return nil, err
		}
		b.onClose(func() error { return l.tidy(ctx) })
	}
	if l.bare, err = bare.Serve(dir); err != nil {
		return nil, err
	}
	b.onClose(l.bare.Close)
	if l.client, err = bare.Connect("", l.bare.Socket()); err != nil {
		return nil, err
	}
	b.onClose(l.client.Close)
	if err := l.meet(ctx); err != nil {
		return nil, err
	}
	b.log = l
	return l, nil
}

// meet makes the connections, which are made by their first use and would
// else be part of the first round, and sees that the user may read $all: who
// follows the log waits for a right that is missing.
func (l *logSide) meet(ctx context.Context) error {
	for _, c := range []*bare.Client{l.server, l.client} {
		at, err := c.Append(ctx, l.stream(plainPrefix), bare.Any, plain())
		if err != nil {
			return fmt.Errorf("the first append: %w", err)
		}
		if _, err := c.Drain(ctx, at); err != nil {
			return fmt.Errorf("read what was appended in $all: %w", err)
		}
	}
	_, err := l.ledger.History(ctx, plainPrefix+"none")
	return err
}

// refuseLedger keeps away from a server where a ledger lives: what is written
// to measure would count as its events for ever.
func (l *logSide) refuseLedger(ctx context.Context) error {
	for _, err := range l.ledger.Store().Read(ctx, ledger.VaultStream, 0) {
		if err != nil {
			return err
		}
		return ErrLedgerThere
	}
	return nil
}

// stream makes the name of a new stream.
func (l *logSide) stream(prefix string) string {
	name := prefix + uuid.NewString()
	if l.given {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.streams = append(l.streams, name)
	}
	return name
}

// tidyTime is how long a given server may take to be rid of the streams.
const tidyTime = time.Minute

// tidy deletes what was written to a given server, also after an interruption.
func (l *logSide) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	deleting, ctx := errgroup.WithContext(ctx)
	deleting.SetLimit(32)
	for _, name := range l.streams {
		deleting.Go(func() error {
			// Of a stream that was named and never written there is nothing to
			// delete, and the server says so as an error.
			if n, err := l.server.ReadStream(ctx, name); err != nil || n == 0 {
				return err
			}
			return l.server.Delete(ctx, name)
		})
	}
	if err := deleting.Wait(); err != nil {
		return fmt.Errorf("delete the measured streams, whose names begin with %s and permit-: %w", plainPrefix, err)
	}
	return nil
}

const (
	// plainPrefix begins the names of streams that are nothing to a ledger.
	plainPrefix = "plbench-"
	// permitPrefix begins the names of those that go through the store.
	permitPrefix = "permit-"
	// perStream is how many events a stream gets: about as many as a permit.
	perStream = 8
	// eventBytes is how large the events are that are nothing but bytes: about
	// as large as those of a permit.
	eventBytes = 400
	// fill is how many events go into one append where only many matter.
	fill = 100
	// mostRead is how many events are read from $all at most.
	mostRead = 50_000
)

var payload = []byte(`{"of":"` + strings.Repeat("x", eventBytes-len(`{"of":""}`)) + `"}`)

// plain is an event that is nothing but bytes.
func plain() eventstore.Proposed {
	return eventstore.Proposed{ID: uuid.New(), Type: "Measured", Data: payload}
}

// appends writes single events to many streams by so many writers at once.
func appends(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.logs(ctx)
	if err != nil {
		return nil, err
	}
	to := func(c *bare.Client, writers int, name func() string) side {
		return func(ctx context.Context) (run, error) {
			streams := make([]string, writers)
			return busily(ctx, writers, b.Duration, func(ctx context.Context, w, n int) error {
				if n%perStream == 0 {
					streams[w] = name()
				}
				_, err := c.Append(ctx, streams[w], bare.Any, plain())
				return err
			})
		}
	}
	var pairs []pair
	for _, v := range []struct {
		writers int
		name    string
		aim     float64
	}{{1, "1 writer", 0.65}, {16, "16 writers", 0.55}, {128, "128 writers", 0.50}} {
		pairs = append(pairs, pair{variant: v.name, counts: "appends", aim: aim{ratio: v.aim},
			ours:   to(l.server, v.writers, func() string { return l.stream(plainPrefix) }),
			beside: to(l.client, v.writers, func() string { return plainPrefix + uuid.NewString() }),
		})
	}
	return pairs, nil
}

// readAll drains $all, from the server and as the same messages from memory:
// encoded one by one as they are sent, and encoded beforehand.
func readAll(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.logs(ctx)
	if err != nil {
		return nil, err
	}
	from, err := b.fill(ctx, l)
	if err != nil {
		return nil, err
	}
	messages, err := l.server.Capture(ctx, from)
	if err != nil {
		return nil, err
	}
	if len(messages) < fill {
		return nil, errors.New("the server does not give back what was written")
	}
	drain := func(ctx context.Context, c *bare.Client) (run, error) {
		return wholly(ctx, b.Duration, func(ctx context.Context) (int, error) { return c.Drain(ctx, from) })
	}
	ours := func(ctx context.Context) (run, error) { return drain(ctx, l.server) }
	beside := func(encoded bool) side {
		return func(ctx context.Context) (run, error) {
			l.bare.Answer(messages, encoded)
			return drain(ctx, l.client)
		}
	}
	return []pair{
		{variant: "messages", counts: "events", aim: aim{ratio: 0.85}, ours: ours, beside: beside(false)},
		{variant: "bytes", counts: "events", ours: ours, beside: beside(true)},
	}, nil
}

// fill writes events to read, once, and tells where they begin: as many as there
// is time for, four writers at once, but at least one batch.
func (b *bench) fill(ctx context.Context, l *logSide) (eventstore.Position, error) {
	if l.from != 0 {
		return l.from, nil
	}
	b.Progress("filling the log")
	batch := func() []eventstore.Proposed {
		events := make([]eventstore.Proposed, fill)
		for i := range events {
			events[i] = plain()
		}
		return events
	}
	from, err := l.server.Append(ctx, l.stream(permitPrefix), bare.Any, batch()...)
	if err != nil {
		return 0, err
	}
	const writers = 4
	full := errors.New("enough")
	_, err = busily(ctx, writers, max(b.Duration, time.Second), func(ctx context.Context, _, n int) error {
		if (n+1)*fill*writers >= mostRead {
			return full
		}
		_, err := l.server.Append(ctx, l.stream(permitPrefix), bare.Any, batch()...)
		return err
	})
	if err != nil && !errors.Is(err, full) {
		return 0, err
	}
	l.from = from
	return from, nil
}
