package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"permitledger/eventstore"
)

const barWidth = 40

// terminal reports whether somebody looks at a stream. A bar drawn elsewhere
// would only fill a log.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// drawBar is a bar that is full to a fraction.
func drawBar(fraction float64) string {
	full := int(barWidth * min(max(fraction, 0), 1))
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "]"
}

// progressBar draws how far something is, on a terminal only.
func progressBar(w io.Writer) func(done, total int) {
	if !terminal(w) {
		return func(int, int) {}
	}
	return func(done, total int) {
		if total <= 0 {
			return
		}
		fmt.Fprintf(w, "\r%s %d of %d", drawBar(float64(done)/float64(total)), done, total)
		if done >= total {
			fmt.Fprintln(w)
		}
	}
}

// rate is a bar for a reading of the log, with the rate and the time left. How
// many events the log has is not known, so it shows how far the position is.
type rate struct {
	w     io.Writer // nil: nobody looks
	head  uint64
	began time.Time
	drawn time.Time
	now   func() time.Time
}

// rateBar begins a bar for a reading up to a position.
func rateBar(w io.Writer, head uint64) *rate {
	r := &rate{head: head, now: time.Now, began: time.Now()}
	if terminal(w) {
		r.w = w
	}
	return r
}

// at is told how far the reading is; it draws at most ten times a second.
func (r *rate) at(events uint64, position eventstore.Position) {
	now := r.now()
	if r.w == nil || r.head == 0 || now.Sub(r.drawn) < 100*time.Millisecond {
		return
	}
	r.drawn = now
	done := min(1, float64(position)/float64(r.head))
	spent := now.Sub(r.began).Seconds()
	left := time.Duration(spent * (1 - done) / max(done, 1e-9) * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(r.w, "\r%s %3.0f %%  %d events, %.0f/s, %s left   ", drawBar(done), 100*done, events,
		float64(events)/max(spent, 1e-3), left)
}

// end clears the bar: what follows is the report.
func (r *rate) end() {
	if r.w != nil {
		fmt.Fprintf(r.w, "\r%s\r", strings.Repeat(" ", barWidth+50))
	}
}
