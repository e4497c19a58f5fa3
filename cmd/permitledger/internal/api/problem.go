package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/eventstore"
	"permitledger/projections"
)

// kind is a kind of problem: its status, its code for programs, its title.
type kind struct {
	status int
	code   string
	title  string
}

// The kinds of problem.
var (
	malformed    = kind{http.StatusBadRequest, "malformed", "The request cannot be read"}
	unauthorised = kind{http.StatusUnauthorized, "unauthorised", "Sign in with a known token"}
	forbidden    = kind{http.StatusForbidden, "forbidden", "Your role may not do this"}
	notFound     = kind{http.StatusNotFound, "not-found", "There is no such thing, or it is not yours"}
	wrongMethod  = kind{http.StatusMethodNotAllowed, "method-not-allowed", "This cannot be done here"}
	refused      = kind{http.StatusConflict, "refused", "The ledger's rules refuse this"}
	movedOn      = kind{http.StatusPreconditionFailed, "revision-mismatch", "This has changed since you saw it"}
	tooLarge     = kind{http.StatusRequestEntityTooLarge, "too-large", "This is too large"}
	wrongType    = kind{http.StatusUnsupportedMediaType, "wrong-media-type", "Content of this type is not taken here"}
	keyReused    = kind{http.StatusUnprocessableEntity, "key-reused", "The Idempotency-Key was used for another request"}
	tooMany      = kind{http.StatusTooManyRequests, "too-many-requests", "Too many requests"}
	internal     = kind{http.StatusInternalServerError, "internal", "Something went wrong here"}
	unavailable  = kind{http.StatusServiceUnavailable, "unavailable", "This is not available now"}
)

// fault is an error that this package finds by itself.
type fault struct {
	kind       kind
	detail     string
	field      string
	retryAfter time.Duration
}

// Error gives the kind and the field, and nothing that a person typed.
func (f *fault) Error() string { return f.kind.code + " " + f.field }

// bad is a request that cannot be read; field says where.
func bad(field, format string, args ...any) *fault {
	return &fault{kind: malformed, field: field, detail: fmt.Sprintf(format, args...)}
}

var (
	errNoRoute   = &fault{kind: notFound, detail: "There is nothing under this path."}
	errNotFound  = &fault{kind: notFound, detail: "There is no such thing, or it is not yours."}
	errMethod    = &fault{kind: wrongMethod, detail: "This method is not for this path: see the Allow header."}
	errForbidden = &fault{kind: forbidden, detail: "The role of your token may not do this."}
	errNoToken   = &fault{kind: unauthorised, detail: "Send Authorization: Bearer with a token that the council gave you."}
	errPanic     = &fault{kind: internal, detail: unexplained}
	errBehind    = &fault{kind: unavailable, detail: "The answer would not be up to date yet: try again.", retryAfter: time.Second}
	errStopped   = &fault{kind: unavailable, detail: "What answers this is stopped and has to be repaired: see /readyz.", retryAfter: time.Minute}
)

// atPresentRefused is for a caller whose request the event store refuses to the
// ledger itself.
const atPresentRefused = "The event store refuses this to the ledger at present. The operator can see why and correct it. Send the same request again later, with the same key."

const unexplained = "Try again. If it happens again, tell the council's operator when it happened."

// problem is an error as it is answered (RFC 9457).
type problem struct {
	Type     string      `json:"type"`
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Detail   string      `json:"detail"`
	Code     string      `json:"code"`
	Field    string      `json:"field,omitempty"`
	Rule     domain.Rule `json:"rule,omitempty"`
	OpensOn  domain.Date `json:"opensOn,omitzero"`
	Revision *int64      `json:"revision,omitempty"`

	retryAfter time.Duration // of 429 and 503
}

func (k kind) problem(detail, field string) problem {
	return problem{Type: "urn:permitledger:problem:" + k.code, Title: k.title, Status: k.status, Code: k.code,
		Detail: detail, Field: field}
}

// sentinels are the errors of other packages that need nothing but a status.
// What is in no table here is a fault of the program: 500.
var sentinels = []struct {
	err    error
	kind   kind
	detail string
	field  string
	retry  time.Duration
}{
	{err: desk.ErrNotFound, kind: notFound, detail: errNotFound.detail},
	{err: domain.ErrKeyLost, kind: unavailable, detail: "The key to this person's data is lost, so nobody can read or change the data. The council's operator must restore the key.", retry: time.Hour},
	{err: desk.ErrDocumentLost, kind: unavailable, detail: "The file of this document is lost. The council's operator must restore it.", retry: time.Hour},
	{err: eventstore.ErrNoStream, kind: notFound, detail: errNotFound.detail},
	{err: account.ErrNotOpen, kind: notFound, detail: errNotFound.detail},
	{err: account.ErrNoInvitation, kind: notFound, detail: errNotFound.detail},
	{err: account.ErrOwned, kind: refused, detail: "This account belongs to a resident already, who signs in to it."},
	{err: account.ErrNoEmail, kind: refused, field: "email", detail: "There is no e-mail address to send an invitation to: change the account's details first."},
	{err: account.ErrNoName, kind: malformed, field: "name", detail: "An account needs a name."},
	{err: notice.ErrNothingAsked, kind: malformed, field: "what", detail: "Say what the resident should send."},
	{err: projections.ErrCursor, kind: malformed, field: "cursor", detail: "This is not a cursor of this list: begin again without one."},
	{err: eventstore.ErrKeyReused, kind: keyReused, field: "Idempotency-Key", detail: "The same key was sent with another body before: use a new key for a new request."},
	{err: eventstore.ErrDamaged, kind: unavailable, detail: "The ledger is damaged where this would have to be read: see /readyz.", retry: time.Minute},
	{err: eventstore.ErrTooLarge, kind: tooLarge, detail: "All the words together are too long for one entry of the ledger: shorten them."},
	{err: projections.ErrStopped, kind: unavailable, detail: errStopped.detail, retry: time.Minute},
	{err: projections.ErrClosed, kind: unavailable, detail: "The service is being stopped: try again.", retry: time.Second},
	{err: eventstore.ErrClosed, kind: unavailable, detail: "The service is being stopped: try again.", retry: time.Second},
	{err: eventstore.ErrRefused, kind: unavailable, detail: atPresentRefused, retry: 10 * time.Second},
	{err: eventstore.ErrDenied, kind: unavailable, detail: atPresentRefused, retry: 10 * time.Second},
	{err: eventstore.ErrCredentials, kind: unavailable, detail: atPresentRefused, retry: 10 * time.Second},
	{err: eventstore.ErrUnavailable, kind: unavailable, detail: "The ledger cannot be reached: send the same request again, with the same key.", retry: 2 * time.Second},
	{err: context.DeadlineExceeded, kind: unavailable, detail: "This took too long: send the same request again, with the same key.", retry: time.Second},
	{err: context.Canceled, kind: unavailable, detail: "The request was broken off: send it again, with the same key.", retry: time.Second},
}

// problemOf is the one place where an error becomes a status.
func problemOf(err error) problem {
	if f, ok := errors.AsType[*fault](err); ok {
		p := f.kind.problem(f.detail, f.field)
		p.retryAfter = f.retryAfter
		return p
	}
	if r, ok := errors.AsType[*domain.Refusal](err); ok {
		p := refused.problem(r.Detail, r.Field)
		p.Rule, p.OpensOn = r.Rule, r.OpensOn
		return p
	}
	if r, ok := errors.AsType[*eventstore.RevisionError](err); ok {
		p := movedOn.problem("Read it again, and decide whether you still want this.", "If-Match")
		if r.Actual >= 0 {
			p.Revision = &r.Actual
		}
		return p
	}
	if _, ok := errors.AsType[*known.SetBackError](err); ok {
		p := unavailable.problem("The ledger lacks entries that it had before. It accepts no command and shows no lists until its operator has resolved this.", "")
		p.retryAfter = time.Minute
		return p
	}
	if _, ok := errors.AsType[*known.MissingError](err); ok || errors.Is(err, known.ErrUndecided) {
		p := unavailable.problem("The ledger is checking that none of its entries are missing. Send the same request again, with the same key.", "")
		p.retryAfter = 10 * time.Second
		return p
	}
	if d, ok := errors.AsType[*account.TooManyDocumentsError](err); ok {
		return tooMany.problem(fmt.Sprintf("At most %d documents may be uploaded to an account in a day: upload the others from %s on.",
			account.DocumentsPerDay, domain.DateOf(d.RetryAt)), "")
	}
	if errors.Is(err, account.ErrErased) {
		p := refused.problem("The personal data of this account was destroyed: open a new account.", "")
		p.Rule = domain.RuleRetention
		return p
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			p := s.kind.problem(s.detail, s.field)
			p.retryAfter = s.retry
			return p
		}
	}
	return internal.problem(unexplained, "")
}

// fail answers with a problem. What was not foreseen is logged here, once.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error, o outcome) outcome {
	p := problemOf(err)
	if d, ok := errors.AsType[*account.TooManyDocumentsError](err); ok {
		p.retryAfter = d.RetryAt.Sub(s.Desk.Now())
	}
	if p.Status == http.StatusInternalServerError && err != errPanic {
		s.Logger.ErrorContext(r.Context(), "request failed", "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.retryAfter.Seconds())))))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that has gone away is nobody's fault
	o.status, o.code = p.Status, p.Code
	if p.Rule != "" {
		o.code = string(p.Rule)
	}
	return o
}
