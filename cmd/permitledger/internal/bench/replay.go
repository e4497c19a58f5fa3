package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"golang.org/x/sync/errgroup"

	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/domain"
	"permitledger/domain/audit"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// replays replays the whole ledger with every check, beside the bare client
// that drains the log and decodes the same JSON into the same structs, with as
// many goroutines.
func replays(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.seeded(ctx)
	if err != nil {
		return nil, err
	}
	d, err := newDecoding(l)
	if err != nil {
		return nil, err
	}
	return []pair{{counts: "events", aim: aim{ratio: 0.9},
		ours: b.wholly(func(ctx context.Context) (int, error) {
			report, err := l.replay(ctx, b.dir, nil)
			return int(report.Events), err
		}),
		beside: b.wholly(d.all),
	}}, nil
}

func (l *ledgerSide) replay(ctx context.Context, temp string, progress func(uint64, eventstore.Position)) (replay.Report, error) {
	report, err := replay.Run(ctx, l.Ledger, replay.Options{Workers: runtime.GOMAXPROCS(0), TempDir: temp, Progress: progress})
	if err == nil && report.Count > 0 {
		err = fmt.Errorf("the seeded history breaks the rules: %s", report.Violations[0].Wrong)
	}
	return report, err
}

// replayMemory measures what a replay holds in memory, in two ways. What it
// keeps of the permits is what grows with the ledger, and is taken by itself.
// The peak is the most that the whole replay was seen to hold; that has in it
// the batches under way and the ids that are not put aside yet, which do not
// grow, and which outweigh the rest of a small ledger.
func replayMemory(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.seeded(ctx)
	if err != nil {
		return nil, err
	}
	return []pair{
		{variant: "kept", each: "permit", aim: aim{bytes: 600}, ours: l.kept},
		{variant: "peak", each: "permit", ours: func(ctx context.Context) (run, error) {
			began := time.Now()
			const looks = 20
			var held, next uint64
			report, err := l.replay(ctx, b.dir, func(events uint64, _ eventstore.Position) {
				if events >= next {
					held, next = max(held, heapInUse()), events+uint64(l.events/looks)
				}
			})
			if err != nil {
				return run{}, err
			}
			return forEach(report.Permits, held, began)
		}},
	}, nil
}

// kept folds the whole ledger as a replay does, one event at a time, and
// measures what is then in memory that was not afterwards.
func (l *ledgerSide) kept(ctx context.Context) (run, error) {
	began := time.Now()
	streams, whole, n := audit.NewStreams(), audit.NewWhole(), uint64(0)
	for r, err := range l.Ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return run{}, err
		}
		e, err := l.Ledger.Codec().Decode(r)
		if err != nil {
			return run{}, err
		}
		n++
		entry := audit.Entry{Ledger: n, Stream: r.Stream, Type: r.Type, Meta: e.Envelope.Meta(), Versions: e.Versions, Body: e.Body}
		streams.Check(entry)
		whole.Check(entry)
	}
	held, permits := heapInUse(), whole.States(whole.Clock())
	runtime.KeepAlive(streams)
	runtime.KeepAlive(whole)
	return forEach(permits, held, began)
}

// forEach divides what was held, less what is in memory now, by the permits.
func forEach(permits map[permit.Status]int, held uint64, began time.Time) (run, error) {
	total := 0
	for _, n := range permits {
		total += n
	}
	if total == 0 {
		return run{}, errNothing
	}
	return run{count: total, elapsed: time.Since(began), bytes: (float64(held) - float64(heapInUse())) / float64(total)}, nil
}

// errNothing is returned for a history without permits.
var errNothing = errors.New("the seeded ledger has no permits to measure with")

// decoding is the reference of a replay: what no reader of the log is spared.
// The JSON of a personal part has to be opened before it can be decoded.
type decoding struct {
	ledger *ledgerSide
	events map[string]reflect.Type // by stored name
}

// described is what stands in the metadata of an event.
type described struct {
	Schema      int              `json:"schema"`
	Actor       domain.Actor     `json:"actor"`
	RecordedAt  time.Time        `json:"recordedAt"`
	Command     domain.CommandID `json:"commandId"`
	BodyHash    string           `json:"bodyHash"`
	Correlation string           `json:"$correlationId"`
	Causation   string           `json:"$causationId"`
	domain.Versions
}

// sealed is what stands for a personal part.
type sealed struct {
	Key    string `json:"key"`
	Sealed string `json:"sealed"`
}

// asTheLedger has the reference read JSON with the decoder that the ledger has.
var asTheLedger = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false))

func newDecoding(l *ledgerSide) (decoding, error) {
	d := decoding{l, map[string]reflect.Type{}}
	for _, name := range eventstore.Types() {
		t, ok := eventstore.StoredTypeOf(name)
		if !ok {
			return d, fmt.Errorf("no stored type %s", name)
		}
		d.events[name] = reflect.TypeOf(t.Zero)
	}
	return d, nil
}

// all drains the log and decodes what comes with as many goroutines as a
// replay has.
func (d decoding) all(ctx context.Context) (int, error) {
	const batchSize = 512
	batches := make(chan []eventstore.Recorded, 8)
	decoders, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() error {
			for batch := range batches {
				for _, r := range batch {
					if err := d.decode(r); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	n := 0
	var batch []eventstore.Recorded
	hand := func() {
		select {
		case batches <- batch:
		case <-ctx.Done():
		}
		batch = nil
	}
	err := d.ledger.client.ReadAll(ctx, func(r eventstore.Recorded) {
		n++
		if batch = append(batch, r); len(batch) == batchSize {
			hand()
		}
	})
	hand()
	close(batches)
	return n, errors.Join(decoders.Wait(), err)
}

func (d decoding) decode(r eventstore.Recorded) error {
	var m described
	if err := json.Unmarshal(r.Metadata, &m, asTheLedger); err != nil {
		return err
	}
	t, ok := d.events[r.Type]
	if !ok {
		return fmt.Errorf("no event type %s", r.Type)
	}
	event := reflect.New(t).Interface()
	clear, part := split(r.Data)
	if err := json.Unmarshal(clear, event, asTheLedger); err != nil {
		return err
	}
	if part == nil {
		return nil
	}
	personal, ok := event.(interface{ PersonalPart() domain.PersonalPart })
	if !ok {
		return fmt.Errorf("a %s has no personal part", r.Type)
	}
	var s sealed
	if err := json.Unmarshal(part, &s, asTheLedger); err != nil {
		return err
	}
	closed, err := base64.RawURLEncoding.DecodeString(s.Sealed)
	if err != nil {
		return err
	}
	plain, erased, err := d.ledger.keys.Open(s.Key, closed, []byte(r.Stream+"\n"+r.ID.String()))
	if err != nil || erased {
		return err
	}
	return json.Unmarshal(plain, personal.PersonalPart().Content(), asTheLedger)
}

// split takes the personal part off the end of a body, where it is written. It
// is the cheapest way there is, and would not do for bodies of other writers.
func split(data []byte) (clear, part []byte) {
	at := bytes.LastIndex(data, []byte(`"personal":{`))
	if at < 0 {
		return data, nil
	}
	part = data[at+len(`"personal":`) : len(data)-1]
	clear = bytes.TrimSuffix(data[:at:at], []byte(","))
	return append(clear, '}'), part
}
