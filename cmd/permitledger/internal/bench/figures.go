package bench

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// run is one timed run of one side.
type run struct {
	count     int // of whatever the pair counts
	elapsed   time.Duration
	latencies []time.Duration // of each, where they matter
	bytes     float64         // held in memory for each of whatever it is, where that is what matters
	held      [2]float64      // bytes in memory between and in the end, where they are what it grew from and to
}

func (r run) perSecond() float64 { return float64(r.count) / r.elapsed.Seconds() }

// side runs once what is measured, or what it is measured against.
type side func(ctx context.Context) (run, error)

// pair is a variant of a measure: ours, and the reference beside it.
type pair struct {
	variant string
	counts  string // what is counted, in the plural
	each    string // what memory is told for each of: "permit" or "append"
	ours    side
	beside  side // nil: it has no reference
	aim     aim
}

// aim is what is wanted of a figure. Only one of the fields is set, or none.
type aim struct {
	ratio      float64       // ours to the reference, at least
	p99        time.Duration // ours, at most
	difference time.Duration // of ours from the reference in p99, at most
	bytes      float64       // for each permit or append, less than
}

// taken is a pair with its runs, one of each side for each round.
type taken struct {
	pair
	ours, beside []run
}

// sum adds the runs of several pairs, round by round.
func sum(variant string, a aim, all []taken) taken {
	t := taken{pair: pair{variant: variant, counts: all[0].counts, aim: a}}
	t.ours = slices.Clone(all[0].ours)
	t.beside = slices.Clone(all[0].beside)
	for _, other := range all[1:] {
		for i := range t.ours {
			t.ours[i].count += other.ours[i].count
			t.ours[i].elapsed += other.ours[i].elapsed
			t.beside[i].count += other.beside[i].count
			t.beside[i].elapsed += other.beside[i].elapsed
		}
	}
	return t
}

// median is the middle value, or the mean of the two middle ones.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the least value that p per cent of the values do not exceed.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// medianOf is the median over rounds of what a run is asked for.
func medianOf(runs []run, ask func(run) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = ask(r)
	}
	return median(values)
}

// busily runs an operation by so many workers at once, each beginning the next
// when the last is done, until the time is over. Each does at least one.
func busily(ctx context.Context, workers int, d time.Duration, op func(ctx context.Context, worker, n int) error) (run, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	latencies := make([][]time.Duration, workers)
	var busy sync.WaitGroup
	began := time.Now()
	for w := range workers {
		busy.Go(func() {
			for n, start := 0, began; n == 0 || start.Sub(began) < d; n++ {
				if err := op(ctx, w, n); err != nil {
					cancel(err)
					return
				}
				end := time.Now()
				latencies[w] = append(latencies[w], end.Sub(start))
				start = end
			}
		})
	}
	busy.Wait()
	r := run{elapsed: time.Since(began), latencies: slices.Concat(latencies...)}
	r.count = len(r.latencies)
	return r, context.Cause(ctx)
}

// steadily begins an operation at a fixed rate, whether or not those before it
// are done, and counts its latency from the instant at which it should have
// begun: a stall then shows in all that had to wait for it.
func steadily(ctx context.Context, perSecond int, d time.Duration, op func(ctx context.Context, n int) error) (run, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	total := max(1, int(d.Seconds()*float64(perSecond)))
	latencies := make([]time.Duration, total)
	tick := time.NewTimer(0)
	defer tick.Stop()
	<-tick.C
	var busy sync.WaitGroup
	began := time.Now()
	for n := range total {
		intended := began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		if wait := time.Until(intended); wait > 0 {
			tick.Reset(wait)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		busy.Go(func() {
			if err := op(ctx, n); err != nil {
				cancel(err)
				return
			}
			latencies[n] = time.Since(intended)
		})
	}
	busy.Wait()
	return run{count: total, elapsed: time.Since(began), latencies: latencies}, context.Cause(ctx)
}

// wholly is a side that repeats something for as long as a side takes.
func (b *bench) wholly(op func(context.Context) (int, error)) side {
	return func(ctx context.Context) (run, error) { return wholly(ctx, b.Duration, op) }
}

// wholly repeats something that has an end until the time is over, at least
// once. op tells how much it was.
func wholly(ctx context.Context, d time.Duration, op func(context.Context) (int, error)) (run, error) {
	began := time.Now()
	var r run
	for r.elapsed == 0 || r.elapsed < d {
		n, err := op(ctx)
		if err != nil {
			return run{}, err
		}
		r.count += n
		r.elapsed = time.Since(began)
	}
	return r, nil
}
