package known

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// listed is one lost event in the list. It holds nothing personal.
type listed struct {
	Ledger     uint64    `json:"ledger"`
	Stream     string    `json:"stream"`
	Revision   uint64    `json:"revision"`
	EventID    string    `json:"eventId"`
	Type       string    `json:"type"`
	RecordedAt time.Time `json:"recordedAt"`
}

// numbers are ledger numbers, both ends included.
type numbers struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// head is the part of the list before the events. The id comes first, so that
// the beginning of a list identifies it.
type head struct {
	KnownID string `json:"knownId"`
	Known   uint64 `json:"known"`
	Agreed  uint64 `json:"agreed"`
	// NotListed are the numbers whose events are not known. Nil: all are listed.
	NotListed *numbers `json:"notListed"`
}

// WriteList writes the events that are lost into a file lost-<instant>.json of a
// folder. There is one file for each event known: a second list takes the
// place of the first, under its name.
func WriteList(dir string, d Difference, now time.Time) (path string, err error) {
	h := head{KnownID: d.Known.ID, Known: d.Known.Ledger, Agreed: d.Agreed}
	if d.Listed < d.Known.Ledger {
		h.NotListed = &numbers{d.Listed + 1, d.Known.Ledger}
	}
	content, err := render(h, d)
	if err != nil {
		return "", err
	}
	if path, err = listFor(dir, h.KnownID); err != nil {
		return "", err
	}
	if path == "" {
		path = filepath.Join(dir, "lost-"+now.UTC().Format("20060102T150405.000Z")+".json")
	} else if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, content) {
		return path, nil
	}
	if err := folder.WriteDurably(path, content); err != nil {
		return "", fmt.Errorf("list the lost events: %w", err)
	}
	return path, nil
}

// render gives each event a line of its own.
func render(h head, d Difference) ([]byte, error) {
	top, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(top[:len(top)-1])
	b.WriteString(",\"events\":[")
	for i, e := range d.Lost {
		line, err := json.Marshal(listed{e.Ledger, e.Stream, e.Revision, e.EventID, e.Type, e.RecordedAt})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return b.Bytes(), nil
}

// listFor finds the list that was written for an event; empty when there is none.
func listFor(dir, id string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "lost-*.json"))
	if err != nil {
		return "", err
	}
	beginning, err := json.Marshal(id)
	if err != nil {
		return "", err
	}
	beginning = append([]byte(`{"knownId":`), beginning...)
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		start := make([]byte, len(beginning))
		n, _ := f.Read(start) // a shorter file is another list
		_ = f.Close()
		if bytes.Equal(start[:n], beginning) {
			return path, nil
		}
	}
	return "", nil
}
