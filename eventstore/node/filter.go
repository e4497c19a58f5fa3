package node

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// defaultWindow is the search window where the client leaves it open.
const defaultWindow = 32

// filter decides which events of $all a reader gets.
type filter struct {
	match    func(*record) bool
	window   uint64 // how many events a page of history may search
	interval uint64 // events searched between two checkpoints; 0 for plain reads
}

// parseFilter reads a request's filter.
func parseFilter(ctx context.Context, f *streams.ReadReq_Options_FilterOptions, subscription bool) (*filter, error) {
	subject := func(rec *record) string { return rec.stream }
	var expression *streams.ReadReq_Options_FilterOptions_Expression
	switch v := f.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		expression = v.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		expression = v.EventType
		subject = func(rec *record) string { return rec.typ }
	default:
		return nil, failInvalid(ctx, "The filter names neither streams nor event types.")
	}
	window := uint64(defaultWindow)
	switch v := f.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Max:
		window = uint64(v.Max)
	case *streams.ReadReq_Options_FilterOptions_Count:
	default:
		return nil, failInvalid(ctx, "The filter's window is not set.")
	}
	if window == 0 {
		return nil, failInvalid(ctx, "The filter's window must be positive.")
	}
	match, err := matcher(expression)
	if err != nil {
		return nil, failInvalid(ctx, printable(fmt.Sprintf("The filter's regular expression cannot be used: %v", err)))
	}
	result := &filter{match: func(rec *record) bool { return match(subject(rec)) }, window: window}
	if subscription {
		result.interval = window * uint64(f.GetCheckpointIntervalMultiplier())
		if result.interval == 0 {
			return nil, failHandler(ctx, "The checkpoint interval multiplier must be positive.")
		}
	}
	return result, nil
}

// expression is what each request for filtered events declares for itself.
type expression interface {
	GetRegex() string
	GetPrefix() []string
}

// matcher tests a name by the expression: by its regular expression, found
// anywhere in the name, if it has one, and else by its prefixes.
func matcher(e expression) (func(string) bool, error) {
	if e.GetRegex() != "" {
		re, err := regexp.Compile(e.GetRegex())
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	prefixes := e.GetPrefix()
	return func(name string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
		return false
	}, nil
}

// hiddenFromAll tells which events nobody gets from $all: they record how far
// readers of $all have come, so each of them would cause the next.
func hiddenFromAll(rec *record) bool {
	if rec.stream == "" || rec.stream[0] != '$' {
		return false
	}
	if rec.stream == "$epoch-information" {
		return true
	}
	return strings.HasPrefix(rec.stream, "$persistentsubscription-$all::") &&
		(strings.HasSuffix(rec.stream, "-checkpoint") || strings.HasSuffix(rec.stream, "-parked"))
}
