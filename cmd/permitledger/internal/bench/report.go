package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run of measures found, with what it was found on. The names
// of its fields in JSON say their units; docs/performance.md describes it.
type Report struct {
	Version    string   `json:"version"` // of the program
	Go         string   `json:"goVersion"`
	OS         string   `json:"os"`
	Arch       string   `json:"architecture"`
	CPUs       int      `json:"cpus"`
	Processors int      `json:"goMaxProcs"`
	Started    string   `json:"startedAt"` // RFC 3339
	Rounds     int      `json:"rounds"`
	Seconds    float64  `json:"roundSeconds"` // of one side of a round, at least
	Server     string   `json:"eventStore"`   // "embedded" or "given"
	Permits    int      `json:"permits,omitempty"`
	Events     int      `json:"events,omitempty"` // of the seeded ledger
	Results    []Result `json:"results"`
	// LeftOut are measures that were asked for and cannot be had.
	LeftOut []LeftOut `json:"leftOut,omitempty"`
}

// LeftOut is a measure that was not taken.
type LeftOut struct {
	Measure string `json:"measure"`
	Because string `json:"because"`
}

// Result is one figure beside its reference. Every number is the median over
// the rounds; what does not apply is left out.
type Result struct {
	Measure string `json:"measure"`
	Variant string `json:"variant,omitempty"`
	Counts  string `json:"counts,omitempty"` // what is counted each second

	OursPerSecond      float64 `json:"oursPerSecond,omitempty"`
	ReferencePerSecond float64 `json:"referencePerSecond,omitempty"`
	// Ratio is the median of the rounds' own ratios, ours to the reference.
	Ratio    float64 `json:"ratio,omitempty"`
	AimRatio float64 `json:"aimRatio,omitempty"` // at least

	OursP50           *float64 `json:"oursP50Milliseconds,omitempty"`
	OursP99           *float64 `json:"oursP99Milliseconds,omitempty"`
	ReferenceP50      *float64 `json:"referenceP50Milliseconds,omitempty"`
	ReferenceP99      *float64 `json:"referenceP99Milliseconds,omitempty"`
	AimP99            float64  `json:"aimOursP99Milliseconds,omitempty"` // at most
	Difference        *float64 `json:"differenceP99Milliseconds,omitempty"`
	AimDifference     float64  `json:"aimDifferenceP99Milliseconds,omitempty"` // at most
	BytesPerPermit    float64  `json:"bytesPerPermit,omitempty"`
	AimBytesPerPermit float64  `json:"aimBytesPerPermit,omitempty"` // less than
	// BytesPerAppend is by how much memory grew from after a tenth of the appends
	// to after all, or shrank.
	BytesPerAppend    *float64 `json:"bytesPerAppend,omitempty"`
	AimBytesPerAppend float64  `json:"aimBytesPerAppend,omitempty"` // less than
	BytesAfterTenth   float64  `json:"bytesAfterTenth,omitempty"`
	BytesAfterAll     float64  `json:"bytesAfterAll,omitempty"`

	AimMet *bool `json:"aimMet,omitempty"`

	// The single rounds, in order.
	OursByRound      []float64 `json:"oursPerSecondByRound,omitempty"`
	ReferenceByRound []float64 `json:"referencePerSecondByRound,omitempty"`
}

func newReport(cfg Config) Report {
	server := "embedded"
	if cfg.EventStore != "" {
		server = "given"
	}
	return Report{Version: cfg.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), Processors: runtime.GOMAXPROCS(0), Started: time.Now().UTC().Format(time.RFC3339),
		Rounds: cfg.Rounds, Seconds: cfg.Duration.Seconds(), Server: server, Results: []Result{}}
}

// result reduces the runs of a pair to what is reported.
func (t taken) result(measure string) Result {
	r := Result{Measure: measure, Variant: t.variant, Counts: t.counts}
	if t.counts != "" {
		r.OursPerSecond, r.OursByRound = rates(t.ours)
	}
	r.OursP50, r.OursP99 = percentiles(t.ours)
	r.setMemory(t)
	if t.pair.beside != nil || t.beside != nil {
		r.ReferenceP50, r.ReferenceP99 = percentiles(t.beside)
		if r.OursP99 != nil {
			d := rounded(*r.OursP99-*r.ReferenceP99, 3)
			r.Difference = &d
		}
		if t.counts != "" {
			r.ReferencePerSecond, r.ReferenceByRound = rates(t.beside)
			ratios := make([]float64, len(t.ours))
			for i := range t.ours {
				ratios[i] = t.ours[i].perSecond() / t.beside[i].perSecond()
			}
			r.Ratio = rounded(median(ratios), 3)
		}
	}
	r.judge(t.aim)
	return r
}

// setMemory says what was held in memory.
func (r *Result) setMemory(t taken) {
	each := medianOf(t.ours, func(r run) float64 { return r.bytes })
	switch t.each {
	case "permit":
		r.BytesPerPermit = rounded(each, 0)
	case "append":
		each = rounded(each, 1)
		r.BytesPerAppend = &each
		r.BytesAfterTenth = medianOf(t.ours, func(r run) float64 { return r.held[0] })
		r.BytesAfterAll = medianOf(t.ours, func(r run) float64 { return r.held[1] })
	}
}

// judge says what was wanted and whether it was met.
func (r *Result) judge(a aim) {
	var met bool
	switch {
	case a.ratio > 0:
		r.AimRatio, met = a.ratio, r.Ratio >= a.ratio
	case a.p99 > 0:
		r.AimP99, met = milliseconds(a.p99), *r.OursP99 <= milliseconds(a.p99)
	case a.difference > 0:
		r.AimDifference, met = milliseconds(a.difference), *r.Difference <= milliseconds(a.difference)
	case a.bytes > 0 && r.BytesPerAppend != nil:
		r.AimBytesPerAppend, met = a.bytes, *r.BytesPerAppend < a.bytes
	case a.bytes > 0:
		r.AimBytesPerPermit, met = a.bytes, r.BytesPerPermit < a.bytes
	default:
		return
	}
	r.AimMet = &met
}

func rates(runs []run) (mid float64, each []float64) {
	for _, r := range runs {
		each = append(each, rounded(r.perSecond(), 1))
	}
	return rounded(median(each), 1), each
}

func percentiles(runs []run) (p50, p99 *float64) {
	if len(runs) == 0 || runs[0].latencies == nil {
		return nil, nil
	}
	of := func(p float64) *float64 {
		v := rounded(medianOf(runs, func(r run) float64 { return milliseconds(percentile(r.latencies, p)) }), 3)
		return &v
	}
	return of(50), of(99)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func rounded(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// Print writes the report as a table.
func (r Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "permitledger %s, %s, %s/%s, %d CPUs; event store: %s\n", r.Version, r.Go, r.OS, r.Arch, r.CPUs, r.Server)
	fmt.Fprintf(w, "medians of %d rounds of %g s for each side", r.Rounds, r.Seconds)
	if r.Events > 0 {
		fmt.Fprintf(w, "; the ledger: %d permits, %d events", r.Permits, r.Events)
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "measure\tours\treference\tp99 ours\tp99 reference\tresult\taim\tmet")
	for _, x := range r.Results {
		fmt.Fprintln(t, strings.Join(x.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range r.LeftOut {
		if _, err := fmt.Fprintf(w, "\nleft out: %s: %s\n", l.Measure, l.Because); err != nil {
			return err
		}
	}
	return nil
}

func (r Result) cells() []string {
	rate := func(v float64) string {
		if v == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f %s/s", v, r.Counts)
	}
	time := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.2f ms", *v)
	}
	ours, result, aim, met := rate(r.OursPerSecond), "–", "–", "–"
	switch {
	case r.BytesPerPermit != 0:
		ours = fmt.Sprintf("%.0f bytes/permit", r.BytesPerPermit)
		result = ours
		if r.AimBytesPerPermit != 0 {
			aim = fmt.Sprintf("< %.0f", r.AimBytesPerPermit)
		}
	case r.BytesPerAppend != nil:
		ours = fmt.Sprintf("%.0f → %.0f MB", r.BytesAfterTenth/1e6, r.BytesAfterAll/1e6)
		result = fmt.Sprintf("%+.0f bytes/append", *r.BytesPerAppend)
		if r.AimBytesPerAppend != 0 {
			aim = fmt.Sprintf("< %.0f", r.AimBytesPerAppend)
		}
	case r.AimP99 != 0:
		result, aim = "p99 "+time(r.OursP99), fmt.Sprintf("≤ %.0f ms", r.AimP99)
	case r.AimDifference != 0:
		result, aim = fmt.Sprintf("%+.2f ms", *r.Difference), fmt.Sprintf("≤ %.0f ms", r.AimDifference)
	case r.Ratio != 0:
		result = fmt.Sprintf("%.2f", r.Ratio)
		if r.AimRatio != 0 {
			aim = fmt.Sprintf("≥ %.2f", r.AimRatio)
		}
	}
	if r.AimMet != nil {
		met = map[bool]string{true: "yes", false: "no"}[*r.AimMet]
	}
	return []string{strings.TrimSpace(r.Measure + " " + r.Variant), ours, rate(r.ReferencePerSecond), time(r.OursP99), time(r.ReferenceP99), result, aim, met}
}
