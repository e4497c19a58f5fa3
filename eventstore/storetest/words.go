package storetest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Cases compare what happened in words: short enough for a table, and what a
// report shows as it is.

// codeOf names what kind of error it is.
func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			return strings.TrimPrefix(e.Err().Error(), "wrong expected version: ")
		case esdb.ErrorCodeStreamDeleted:
			return "deleted"
		case esdb.ErrorCodeResourceNotFound:
			return "not found"
		case esdb.ErrorCodeResourceAlreadyExists:
			return "exists"
		case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated:
			return "denied"
		case esdb.ErrorCodeUnsupportedFeature:
			return "unsupported"
		}
	}
	return statusOf(err)
}

// statusOf names the gRPC status at the bottom of an error.
func statusOf(err error) string {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return "error: " + err.Error()
	}
	s := carrier.GRPCStatus()
	switch {
	case s.Code() == codes.FailedPrecondition && strings.Contains(s.Message(), "is deleted"):
		return "deleted" // subscriptions hand the status on as it is
	case s.Code() == codes.PermissionDenied, s.Code() == codes.Unauthenticated:
		return "denied"
	case s.Code() == codes.Unimplemented:
		return "unsupported"
	}
	return s.Code().String()
}

// events makes JSON events whose ids follow from the case and their names, so
// that the same name twice is the same event.
func (r *room) events(names ...string) []esdb.EventData {
	events := make([]esdb.EventData, len(names))
	for i, name := range names {
		events[i] = esdb.EventData{
			EventID:     r.id(name),
			EventType:   "storetest-" + name,
			ContentType: esdb.ContentTypeJson,
			Data:        []byte(strconv.Quote(name)),
			Metadata:    []byte(`{"m":1}`),
		}
	}
	return events
}

func (r *room) id(name string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(r.prefix+name))
}

// nameOf is the name that an event was made under, or its type.
func nameOf(e *esdb.RecordedEvent) string {
	if e == nil {
		return "-"
	}
	if name, err := strconv.Unquote(string(e.Data)); err == nil && strings.HasPrefix(e.EventType, "storetest-") {
		return name
	}
	return e.EventType
}

// namesOf is a line of events; a resolved link is "link>target".
func namesOf(events ...*esdb.ResolvedEvent) string {
	names := make([]string, 0, len(events))
	for _, e := range events {
		name := nameOf(e.Event)
		if e.Link != nil {
			name = nameOf(e.Link) + ">" + name
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// numbered names n events from start on.
func numbered(prefix string, start, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, start+i)
	}
	return names
}

// append writes and says what came of it: the stream's last revision, or why
// not.
func (r *room) append(stream string, want esdb.ExpectedRevision, names ...string) string {
	result, err := r.write(stream, want, r.events(names...)...)
	if err != nil {
		return codeOf(err)
	}
	return fmt.Sprintf("ok %d", result.NextExpectedVersion)
}

// write may also be called by goroutines of a case: the client's panics, with
// which it meets answers that it does not know, become errors here.
func (r *room) write(stream string, want esdb.ExpectedRevision, events ...esdb.EventData) (result *esdb.WriteResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the client panics: %v", p)
		}
	}()
	return r.client.AppendToStream(r.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: want}, events...)
}

// put writes events that the case needs to begin with.
func (r *room) put(stream string, names ...string) *esdb.WriteResult {
	result, err := r.write(stream, esdb.Any{}, r.events(names...)...)
	r.must("append to "+stream, err)
	return result
}

// describe writes a stream's metadata as it is.
func (r *room) describe(stream, metadata string) *esdb.WriteResult {
	result, err := r.write("$$"+stream, esdb.Any{}, esdb.EventData{
		EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(metadata),
	})
	r.must("set the metadata of "+stream, err)
	return result
}

const everything = 1 << 40

// read reads a stream and gives its events' names, or why it could not.
func (r *room) read(stream string, direction esdb.Direction, from esdb.StreamPosition, count uint64) string {
	events, err := r.readWith(stream, esdb.ReadStreamOptions{Direction: direction, From: from}, count)
	if err != nil {
		return codeOf(err)
	}
	return namesOf(events...)
}

// whole reads a stream from its start.
func (r *room) whole(stream string) string {
	return r.read(stream, esdb.Forwards, esdb.Start{}, everything)
}

func (r *room) readWith(stream string, o esdb.ReadStreamOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	read, err := r.client.ReadStream(r.ctx, stream, o, count)
	if err != nil {
		return nil, err
	}
	return drain(read)
}

func (r *room) mustRead(stream string, direction esdb.Direction, from esdb.StreamPosition, count uint64) []*esdb.ResolvedEvent {
	events, err := r.readWith(stream, esdb.ReadStreamOptions{Direction: direction, From: from}, count)
	r.must("read "+stream, err)
	return events
}

func (r *room) readAll(direction esdb.Direction, from esdb.AllPosition, count uint64) []*esdb.ResolvedEvent {
	read, err := r.client.ReadAll(r.ctx, esdb.ReadAllOptions{Direction: direction, From: from}, count)
	r.must("read $all", err)
	events, err := drain(read)
	r.must("read $all", err)
	return events
}

func drain(read *esdb.ReadStream) (events []*esdb.ResolvedEvent, err error) {
	defer read.Close()
	for {
		e, err := read.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// placed is the position of what a write result is about.
func placed(w *esdb.WriteResult) esdb.Position {
	return esdb.Position{Commit: w.CommitPosition, Prepare: w.PreparePosition}
}
