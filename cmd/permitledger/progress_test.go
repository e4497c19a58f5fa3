package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The bar of a reading shows the share of the log, the rate and the time left,
// and is silent where nobody looks.
func TestRateBar(t *testing.T) {
	var out bytes.Buffer
	silent := rateBar(&out, 400)
	silent.at(10, 100)
	silent.end()
	if out.Len() > 0 {
		t.Errorf("drawn into a file: %q", out.String())
	}
	now := time.Unix(0, 0)
	bar := &rate{w: &out, head: 400, began: now, now: func() time.Time { return now }}
	now = now.Add(10 * time.Second)
	bar.at(5000, 100)
	now = now.Add(time.Millisecond)
	bar.at(5001, 101) // too soon to be drawn again
	for _, want := range []string{"[==========    ", " 25 %", "5000 events, 500/s", "30s left"} {
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "5001") {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
	bar.at(5002, 900) // the log has grown since
	now = now.Add(time.Second)
	bar.at(5003, 900)
	if !strings.Contains(out.String(), "100 %") || !strings.Contains(out.String(), "0s left") {
		t.Errorf("past the head: %q", out.String())
	}
}
