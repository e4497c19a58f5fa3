package node

import (
	"encoding/json"
	"hash/fnv"
	"strings"
	"time"
)

// keyCorrelation is where the metadata of an event hold its correlation id.
const keyCorrelation = "$correlationId"

// pins decides which events go to the same consumer of a group: those of one
// stream or, by correlation, those with one correlation id.
type pins struct {
	correlation bool
	resolve     bool // the group follows links
}

// pins is nil for a group whose strategy pins nothing.
func (e *groupEntry) pins() *pins {
	switch e.NamedConsumerStrategy {
	case strategyPinned:
		return &pins{resolve: e.ResolveLinkTos}
	case strategyByCorrelation:
		return &pins{resolve: e.ResolveLinkTos, correlation: true}
	}
	return nil
}

// of hashes the name that an event is pinned by.
func (p *pins) of(view *reader, rec *record, now time.Time) (uint32, error) {
	if p == nil {
		return 0, nil
	}
	if p.resolve {
		return p.ofParked(view, rec, now)
	}
	return p.hash(rec), nil
}

// ofParked does the same for a link that is followed in any case.
func (p *pins) ofParked(view *reader, rec *record, now time.Time) (uint32, error) {
	if p == nil {
		return 0, nil
	}
	r, err := view.resolve(rec, now)
	if err != nil {
		return 0, err
	}
	if r.event == nil {
		return p.hash(r.link), nil
	}
	return p.hash(r.event), nil
}

func (p *pins) hash(rec *record) uint32 {
	name := ""
	if p.correlation {
		name = correlationOf(rec)
	}
	if name == "" {
		name = sourceOf(rec)
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}

// correlationOf is the correlation id of an event, "" if it has none.
func correlationOf(rec *record) string {
	var id string
	if json.Unmarshal(metadataFields(rec.meta)[keyCorrelation], &id) != nil {
		return ""
	}
	return id
}

// sourceOf is the stream that an event belongs to. A link belongs to that of its
// target, which the link itself names.
func sourceOf(rec *record) string {
	if _, target, ok := strings.Cut(string(rec.data), "@"); rec.typ == typeLink && ok {
		return target
	}
	return rec.stream
}
