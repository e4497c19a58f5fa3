package api

import (
	"bytes"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/eventstore"
)

// request is a request as far as it has been taken apart. Handlers get it
// whole.
type request struct {
	*http.Request
	route  *route
	vars   map[string]string
	caller caller

	// What the path is about, and whose it is; set by admit.
	accountID domain.AccountID
	permitID  domain.PermitID
	found     desk.Case // the permit as it stood then
	account   desk.Account
	recorded  bool // that staff read it, by the handler itself
	// copied tells whether the answer came from the copy of the streams; nil
	// where it must not.
	copied *eventstore.CopyUse

	mediaType string    // of the body
	raw       []byte    // the body, whole
	body      *object   // of a JSON command
	call      desk.Call // of a command
}

// bodyKind is what a command takes as its body.
type bodyKind int

const (
	noBody bodyKind = iota
	jsonBody
	documentBody
)

// How large things may be.
const (
	maxJSON     = 1 << 20
	maxDocument = 10 << 20
	maxKey      = 128
	maxName     = 200
	maxWords    = 4000
	maxList     = 50
)

// receive checks type and size of the body and reads it. What is announced as
// too large is refused before any of it is kept.
func (req *request) receive(w http.ResponseWriter) error {
	limit := int64(maxJSON)
	if req.route.body == documentBody {
		limit = maxDocument
	}
	if req.ContentLength > limit {
		return req.tooLarge(limit)
	}
	if err := req.declaredType(); err != nil {
		return err
	}
	var err error
	req.raw, err = io.ReadAll(http.MaxBytesReader(w, req.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return req.tooLarge(limit)
	}
	if err != nil {
		return bad("", "The body was cut off.")
	}
	if req.route.body == documentBody && !isOfType(req.mediaType, req.raw) {
		return &fault{kind: wrongType, field: "Content-Type", detail: "The document's first bytes are not those of a " + req.mediaType + "."}
	}
	return nil
}

// tooLarge lets the rest of a body pass by, up to as much again: many clients
// look for an answer only when they have sent everything, and find the
// connection cut instead. Whoever asked first whether to send is told no.
func (req *request) tooLarge(limit int64) error {
	if req.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, req.Body, limit)
	}
	return &fault{kind: tooLarge, detail: "The body may have at most " + megabytes(limit) + "."}
}

func megabytes(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }

// declaredType checks what the body is said to be.
func (req *request) declaredType() error {
	wanted := "application/json"
	if req.route.body == documentBody {
		wanted = "application/pdf, image/jpeg or image/png"
	}
	declared, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || !strings.Contains(wanted, declared) || charset != "" && !strings.EqualFold(charset, "utf-8") || req.Header.Get("Content-Encoding") != "" {
		return &fault{kind: wrongType, field: "Content-Type", detail: "Send the body as " + wanted + ", not compressed."}
	}
	if req.route.body == documentBody && magic[declared] == nil {
		return &fault{kind: wrongType, field: "Content-Type", detail: "Send the body as " + wanted + "."}
	}
	if req.route.body == jsonBody && declared != wanted {
		return &fault{kind: wrongType, field: "Content-Type", detail: "Send the body as " + wanted + "."}
	}
	req.mediaType = declared
	return nil
}

// magic is how documents of a type begin.
var magic = map[string][]byte{
	"application/pdf": []byte("%PDF-"),
	"image/jpeg":      {0xFF, 0xD8, 0xFF},
	"image/png":       {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'},
}

func isOfType(mediaType string, body []byte) bool { return bytes.HasPrefix(body, magic[mediaType]) }

// command reads what every command carries beside its rule: the key, the
// channel, the revision seen; and opens the JSON of its body.
func (req *request) command(pepper []byte) error {
	key, _, err := req.header("Idempotency-Key")
	if err != nil {
		return err
	}
	if len(key) < 1 || len(key) > maxKey || !visibleASCII(key) {
		return bad("Idempotency-Key", "Send an Idempotency-Key of 1 to %d visible ASCII characters; a random UUID is a good one.", maxKey)
	}
	req.call = desk.Call{
		ID:      eventstore.CommandID(pepper, req.caller.subject, req.Method, req.URL.Path, key),
		Subject: req.caller.subject, Role: req.caller.role,
	}
	if req.call.Channel, err = req.channel(); err != nil {
		return err
	}
	if req.call.IfRevision, err = req.ifMatch(); err != nil {
		return err
	}
	if req.route.body == documentBody {
		// The type is part of what was sent: the same bytes as another type are another request.
		req.call.BodyHash = eventstore.BodyHash(pepper, append([]byte(req.mediaType+"\n"), req.raw...))
		return nil
	}
	if req.body, err = readObject(req.Context(), req.raw); err != nil {
		return err
	}
	canonical, err := eventstore.CanonicalJSON(req.raw)
	if err != nil {
		return bad("", "The body is not JSON that can be read.")
	}
	req.call.BodyHash = eventstore.BodyHash(pepper, canonical)
	return nil
}

// reading is a read that the desk records: every one is a call of its own.
func (req *request) reading() desk.Call {
	return desk.Call{ID: domain.CommandID(uuid.NewString()), Subject: req.caller.subject, Role: req.caller.role, Channel: domain.ChannelAPI}
}

// header gives a header that may be sent once.
func (req *request) header(name string) (value string, given bool, err error) {
	values := req.Header.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, bad(name, "Send the header %s once.", name)
}

// channel is how a resident asked. Only an operator is asked by somebody else
// and may say how.
func (req *request) channel() (domain.Channel, error) {
	value, given, err := req.header("Channel")
	if err != nil || !given {
		return domain.ChannelAPI, err
	}
	switch channel := domain.Channel(value); channel {
	case domain.ChannelPhone, domain.ChannelEmail, domain.ChannelPost:
		if req.caller.role != domain.RoleOperator {
			return domain.ChannelAPI, nil
		}
		return channel, nil
	case domain.ChannelAPI:
		return channel, nil
	}
	return "", bad("Channel", "The Channel is phone, email or post.")
}

func (req *request) ifMatch() (*uint64, error) {
	value, given, err := req.header("If-Match")
	if err != nil || !given {
		return nil, err
	}
	if req.route.noRevision {
		return nil, bad("If-Match", "There is nothing here yet that has a revision: leave If-Match out.")
	}
	digits, ok := strings.CutPrefix(value, `"`)
	digits, closed := strings.CutSuffix(digits, `"`)
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || !closed || err != nil || strconv.FormatUint(n, 10) != digits {
		return nil, bad("If-Match", `Send If-Match with one revision in quotes, as the ETag gives it: "1".`)
	}
	return &n, nil
}

func (req *request) minPosition() (position eventstore.Position, given bool, err error) {
	value, given, err := req.header("Min-Position")
	if err != nil || !given {
		return 0, false, err
	}
	if position, err = eventstore.ParsePosition(value); err != nil {
		if digits := strings.Trim(value, "0123456789") == ""; digits && len(value) <= maxKey && value != "" && value[0] != '0' {
			return math.MaxInt64, true, nil // a position all the same, further than any log will get
		}
		return 0, false, bad("Min-Position", "Send the position of a command's answer as it was.")
	}
	return position, true, nil
}

func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}

// query gives a parameter that may be sent once.
func (req *request) query(name string) (value string, given bool, err error) {
	all, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return "", false, bad("", "The query cannot be read.")
	}
	values := all[name]
	if len(values) > 1 {
		return "", false, bad(name, "Send %s once.", name)
	}
	if len(values) == 0 {
		return "", false, nil
	}
	if !plainText(values[0]) {
		return "", false, bad(name, "%s is not plain text.", name)
	}
	return values[0], true, nil
}

// page reads limit and cursor.
func (req *request) page() (limit int, cursor string, err error) {
	value, given, err := req.query("limit")
	if err != nil {
		return 0, "", err
	}
	limit = 50
	if given {
		if limit, err = strconv.Atoi(value); err != nil || limit < 1 || limit > 500 {
			return 0, "", bad("limit", "The limit is a whole number from 1 to 500.")
		}
	}
	cursor, given, err = req.query("cursor")
	if err == nil && given && cursor == "" {
		err = bad("cursor", "Send the next of the answer before, or no cursor.")
	}
	return limit, cursor, err
}

// instant reads an instant, or a day that stands for its London midnight.
func (req *request) instant(name string) (*time.Time, error) {
	value, given, err := req.query(name)
	if err != nil || !given {
		return nil, err
	}
	if day, err := domain.ParseDate(value); err == nil {
		at := day.Midnight()
		return &at, nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return nil, bad(name, "%s is an instant such as 2026-03-03T10:14:00Z or a day such as 2026-03-03.", name)
	}
	at = at.UTC()
	return &at, nil
}
