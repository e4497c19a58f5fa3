package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"permitledger/eventstore/node/internal/competing"
)

const (
	// configStream holds the groups that there are, all of them in its last
	// event, in the form of the original server.
	configStream  = "$persistentSubscriptionConfig"
	typeConfig    = "$PersistentConfig"
	configVersion = "2"

	strategyRoundRobin    = "RoundRobin"
	strategySingle        = "DispatchToSingle"
	strategyPinned        = "Pinned"
	strategyByCorrelation = "PinnedByCorrelation"

	// defaultBatch is how many events are read where the client says 0.
	defaultBatch = 20
)

// strategies is what a group of each strategy does in the terms of competing.
var strategies = map[string]competing.Strategy{
	strategyRoundRobin: competing.RoundRobin, strategySingle: competing.Single,
	strategyPinned: competing.Pinned, strategyByCorrelation: competing.Pinned,
}

// groupConfig is the content of an event of configStream.
type groupConfig struct {
	Version string       `json:"version"`
	Updated time.Time    `json:"updated"`
	Entries []groupEntry `json:"entries"`
}

// groupEntry is what is written down of one group. Times are in milliseconds.
type groupEntry struct {
	Stream                string       `json:"stream"`
	Group                 string       `json:"group"`
	Filter                *groupFilter `json:"filter,omitempty"`
	ResolveLinkTos        bool         `json:"resolveLinkTos,omitempty"`
	ExtraStatistics       bool         `json:"extraStatistics,omitempty"`
	MessageTimeout        int64        `json:"messageTimeout,omitempty"`
	StartPosition         string       `json:"startPosition"`
	LiveBufferSize        int32        `json:"liveBufferSize,omitempty"`
	HistoryBufferSize     int32        `json:"historyBufferSize,omitempty"`
	MaxRetryCount         int32        `json:"maxRetryCount,omitempty"`
	ReadBatchSize         int32        `json:"readBatchSize,omitempty"`
	CheckPointAfter       int64        `json:"checkPointAfter,omitempty"`
	MinCheckPointCount    int32        `json:"minCheckPointCount,omitempty"`
	MaxCheckPointCount    int32        `json:"maxCheckPointCount,omitempty"`
	MaxSubscriberCount    int32        `json:"maxSubscriberCount,omitempty"`
	NamedConsumerStrategy string       `json:"namedConsumerStrategy"`

	// ResumeFrom is where a group begins that has no checkpoint yet and starts
	// at the end, or whose stream was tombstoned already: the end as it was when
	// the group was made. The original server does not write it down, and skips
	// what comes while it is away.
	ResumeFrom *uint64 `json:"resumeFrom,omitempty"`
}

// groupFilter is a filter in the form of the original server. As that joins
// prefixes with commas, which may be part of one, they are kept apart, too.
type groupFilter struct {
	Context     string   `json:"context"`
	Type        string   `json:"type"`
	Data        string   `json:"data"`
	IsAllStream bool     `json:"isAllStream"`
	Prefixes    []string `json:"prefixes,omitempty"`
}

const (
	filterStream = "streamid"
	filterType   = "eventtype"
	filterRegex  = "regex"
	filterPrefix = "prefix"
)

// newGroupFilter keeps an expression that was found usable.
func newGroupFilter(context string, e expression) *groupFilter {
	f := &groupFilter{Context: context, Type: filterRegex, Data: e.GetRegex(), IsAllStream: true}
	if f.Data == "" {
		f.Type, f.Data, f.Prefixes = filterPrefix, strings.Join(e.GetPrefix(), ","), e.GetPrefix()
	}
	return f
}

// GetRegex and GetPrefix make a filter that was written down an expression
// like one that came from a client.
func (f *groupFilter) GetRegex() string {
	if f.Type == filterRegex {
		return f.Data
	}
	return ""
}

// GetPrefix is described at GetRegex.
func (f *groupFilter) GetPrefix() []string {
	if f.Type == filterPrefix && f.Prefixes == nil {
		return strings.Split(f.Data, ",")
	}
	return f.Prefixes
}

// matcher is the filter as a test of events; nil without a filter.
func (e *groupEntry) matcher() (func(*record) bool, error) {
	if e.Filter == nil {
		return nil, nil
	}
	match, err := matcher(e.Filter)
	if err != nil {
		return nil, err
	}
	if e.Filter.Context == filterType {
		return func(rec *record) bool { return match(rec.typ) }, nil
	}
	return func(rec *record) bool { return match(rec.stream) }, nil
}

func groupKey(stream, name string) string { return stream + "::" + name }

func (e *groupEntry) key() string { return groupKey(e.Stream, e.Group) }

func (e *groupEntry) ofAll() bool { return e.Stream == streamAll }

func (e *groupEntry) fromEnd() bool {
	return e.StartPosition == "-1" || e.StartPosition == "C:-1/P:-1"
}

// checkStart refuses strategies and names that the node does not serve.
func (e *groupEntry) checkStart() error {
	_, known := strategies[e.NamedConsumerStrategy]
	switch {
	case !known:
		return refusal(fmt.Sprintf("Consumer strategy %s does not exist. There are %s, %s, %s and %s.",
			e.NamedConsumerStrategy, strategyRoundRobin, strategySingle, strategyPinned, strategyByCorrelation))
	case len(checkpointStream(e.key()))+len(metaPrefix) > maxStreamName:
		return refusal("The names of the stream and the group are too long.")
	}
	return nil
}

// check refuses settings with which no group can work.
func (e *groupEntry) check() error {
	if err := e.checkStart(); err != nil {
		return err
	}
	if e.ReadBatchSize >= e.HistoryBufferSize {
		return refusal("Specified argument was out of the range of valid values. (Parameter 'ReadBatchSize may not be greater than or equal to BufferSize')")
	}
	for _, n := range []int64{int64(e.ReadBatchSize), int64(e.LiveBufferSize), int64(e.MaxRetryCount), e.MessageTimeout, e.CheckPointAfter,
		int64(e.MinCheckPointCount), int64(e.MaxCheckPointCount), int64(e.MaxSubscriberCount)} {
		if n < 0 {
			return refusal("None of the settings may be negative.")
		}
	}
	_, err := e.matcher()
	return err
}

// settings is the entry in the terms of the package competing.
func (e *groupEntry) settings() competing.Settings {
	batch := int(e.ReadBatchSize)
	if batch == 0 {
		batch = min(defaultBatch, int(e.HistoryBufferSize)-1)
	}
	return competing.Settings{
		Strategy:        strategies[e.NamedConsumerStrategy],
		Timings:         e.ExtraStatistics,
		Timeout:         milliseconds(e.MessageTimeout),
		MaxRetries:      int(e.MaxRetryCount),
		MinCheckpoint:   uint64(e.MinCheckPointCount),
		MaxCheckpoint:   uint64(e.MaxCheckPointCount),
		CheckpointAfter: milliseconds(e.CheckPointAfter),
		MaxConsumers:    int(e.MaxSubscriberCount),
		Buffer:          int(e.HistoryBufferSize),
		Batch:           batch,
	}
}

// milliseconds is a time as it is written down, or the longest there is.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// place writes a place down as clients and the original server do.
func (e *groupEntry) place(p competing.Place) string {
	if e.ofAll() {
		return fmt.Sprintf("C:%d/P:%d", p, p)
	}
	return strconv.FormatInt(int64(p), 10)
}

// parsePlace reads what place wrote.
func (e *groupEntry) parsePlace(s string) (competing.Place, error) {
	if e.ofAll() {
		commit, _, ok := strings.Cut(strings.TrimPrefix(s, "C:"), "/P:")
		if !ok || !strings.HasPrefix(s, "C:") {
			return 0, fmt.Errorf("%w: %q is no position", errCorrupt, s)
		}
		s = commit
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1 || n == tombstoneRevision && e.ofAll() {
		return 0, fmt.Errorf("%w: %q is no place in %q", errCorrupt, s, e.Stream)
	}
	return competing.Place(n), nil
}

// begin is where the group begins without a checkpoint, inclusive.
func (e *groupEntry) begin() (uint64, error) {
	if e.ResumeFrom != nil {
		return *e.ResumeFrom, nil
	}
	if e.fromEnd() {
		return 0, errors.New("it does not say where the end was")
	}
	p, err := e.parsePlace(e.StartPosition)
	return uint64(max(p, 0)), err
}

// locate refuses a place after the end of $all, and notes where the end is
// for a group that begins there.
func (n *Node) locate(e *groupEntry) error {
	limit, _ := n.tail.get()
	if !e.ofAll() {
		return n.locateInStream(e)
	}
	if e.fromEnd() {
		e.ResumeFrom = &limit
		return nil
	}
	from, err := e.begin()
	if err == nil && from >= limit && from > 0 {
		return refusal("Invalid Start From position: commit position must be less than or equal to the last commit position in the transaction file.")
	}
	return err
}

// locateInStream notes where the end is for a group that begins there. A
// tombstoned stream has nothing for a new group, not even its tombstone.
func (n *Node) locateInStream(e *groupEntry) error {
	h, err := n.headOf(e.Stream)
	if err != nil {
		return err
	}
	if e.fromEnd() || h.tombstoned {
		resume := uint64(h.last) + 1
		e.ResumeFrom = &resume
		return nil
	}
	_, err = e.begin()
	return err
}

// readConfig reads the groups that there are.
func (n *Node) readConfig() ([]groupEntry, error) {
	rec, ok, err := n.lastVisible(configStream)
	if err != nil || !ok {
		return nil, err
	}
	var config groupConfig
	if err := json.Unmarshal(rec.data, &config); err != nil {
		return nil, fmt.Errorf("read the last event of %s: %w", configStream, err)
	}
	if config.Version != configVersion {
		return nil, fmt.Errorf("the last event of %s has the unknown version %q", configStream, config.Version)
	}
	return config.Entries, nil
}

// writeConfig writes down the groups that there are.
func (n *Node) writeConfig(entries []groupEntry) error {
	data, err := json.Marshal(groupConfig{Version: configVersion, Updated: n.now().UTC(), Entries: slices.Concat([]groupEntry{}, entries)})
	if err != nil {
		return err
	}
	return n.writeKept(configStream, record{typ: typeConfig, json: true, data: data})
}
