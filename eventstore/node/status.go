package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Clients tell failures apart by trailers: trailerException names the kind.
const (
	trailerException = "exception"
	trailerStream    = "stream-name"
)

// handlerFailed is all that the original server says where an exception leaves
// its handler.
const handlerFailed = "Exception was thrown by handler. "

// fail sets the trailers of an error answer, given as pairs, and returns it.
func fail(ctx context.Context, code codes.Code, message string, trailers ...string) error {
	if len(trailers) > 0 {
		for i := 1; i < len(trailers); i += 2 {
			trailers[i] = headerSafe(trailers[i])
		}
		_ = grpc.SetTrailer(ctx, metadata.Pairs(trailers...))
	}
	return status.Error(code, message)
}

// headerSafe escapes what may not stand in an HTTP/2 header field. A stream's
// name may hold anything.
func headerSafe(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if c := value[i]; c >= 0x20 && c < 0x7F && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func failDeleted(ctx context.Context, stream string) error {
	return fail(ctx, codes.FailedPrecondition, fmt.Sprintf("Event stream '%s' is deleted.", printable(stream)),
		trailerException, "stream-deleted", trailerStream, stream)
}

// failWrongExpected refuses a deletion; an append is answered otherwise.
func failWrongExpected(ctx context.Context, stream string, want expected, actual int64) error {
	return fail(ctx, codes.FailedPrecondition,
		fmt.Sprintf("Delete failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d", printable(stream), want, actual),
		trailerException, "wrong-expected-version", trailerStream, stream,
		"expected-version", strconv.FormatInt(int64(want), 10), "actual-version", strconv.FormatInt(actual, 10))
}

func failDenied(ctx context.Context, message string) error {
	return fail(ctx, codes.PermissionDenied, message, trailerException, "access-denied")
}

// failHandler answers what the original server has no status of its own for.
func failHandler(ctx context.Context, why string) error {
	return fail(ctx, codes.Unknown, handlerFailed+why)
}

func failInvalid(ctx context.Context, why string) error {
	return fail(ctx, codes.InvalidArgument, why)
}

// failInside answers an error of the node itself.
func (n *Node) failInside(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errProtected):
		return failDenied(ctx, err.Error())
	case errors.Is(err, errAbandoned), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(context.Cause(ctx)).Err()
	case errors.Is(err, errStopped):
		return fail(ctx, codes.Unavailable, err.Error())
	case errors.Is(err, errCorrupt):
		n.log.Error("damaged store", "error", err)
		return fail(ctx, codes.DataLoss, printable(err.Error()))
	default:
		n.log.Error("request failed", "error", err)
		return fail(ctx, codes.Internal, printable(err.Error()))
	}
}

// printable keeps a message valid UTF-8, which a status must be.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
