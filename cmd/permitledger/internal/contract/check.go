package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

const problemType = "application/problem+json"

var options = &openapi3filter.Options{
	MultiError:                        true,
	IncludeResponseStatus:             true,
	RejectWhenRequestBodyNotSpecified: true,
	SkipSettingDefaults:               true, // the request goes out as the test made it
	AuthenticationFunc:                wantBearer,
}

func wantBearer(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	token, ok := strings.CutPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return errors.New("wants a bearer token")
	}
	return nil
}

func (e exchange) input(req *http.Request) *openapi3filter.RequestValidationInput {
	return &openapi3filter.RequestValidationInput{Request: req, PathParams: e.vars, Route: e.route, Options: options}
}

// checkRequest gives the request to send: the same one, with its body read
// into memory. The error is that of reading it.
func (c *Checker) checkRequest(e exchange) (*http.Request, error) {
	out, body := e.req.Clone(e.req.Context()), []byte(nil)
	if e.req.Body != nil && e.req.Body != http.NoBody {
		var err error
		body, err = io.ReadAll(e.req.Body)
		e.req.Body.Close()
		if err != nil {
			return nil, err
		}
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	}
	faults := explain(openapi3filter.ValidateRequest(e.req.Context(), e.input(out)))
	for name := range e.req.URL.Query() {
		if e.route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			faults = append(faults, fmt.Sprintf("query parameter %q is not in the document", name))
		}
	}
	c.complain(e, "request", faults, body)
	if out.GetBody != nil {
		out.Body, _ = out.GetBody() // validating read it
	}
	return out, nil
}

func (c *Checker) checkResponse(e exchange, resp *http.Response, body []byte) {
	what := fmt.Sprintf("response %d", resp.StatusCode)
	if e.route == nil {
		if strings.HasPrefix(e.req.URL.Path, "/api/") {
			c.complain(e, what, c.strayFaults(resp, body), body)
		}
		return
	}
	c.remember(e.route, resp.StatusCode)
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: e.input(e.req),
		Status:                 resp.StatusCode, Header: resp.Header, Options: options,
	}
	faults := explain(openapi3filter.ValidateResponse(e.req.Context(), in.SetBodyBytes(body)))
	if len(faults) == 0 {
		faults = e.agreement(resp, body)
	}
	c.complain(e, what, faults, body)
}

// strayFaults judges the answer to a path or method that the document does not
// have: still a problem, like every error.
func (c *Checker) strayFaults(resp *http.Response, body []byte) []string {
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, problemType) {
		return []string{fmt.Sprintf("Content-Type is %q, want %s", got, problemType)}
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{err.Error()}
	}
	faults := explain(c.doc.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.MultiErrors()))
	return append(faults, problemFaults(resp, body)...)
}

// agreement checks what a schema cannot say: that a problem's members and the
// ETag agree with what they repeat.
func (e exchange) agreement(resp *http.Response, body []byte) []string {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), problemType) {
		return problemFaults(resp, body)
	}
	if e.route.Operation.Responses.Status(resp.StatusCode).Value.Headers["ETag"] == nil {
		return nil
	}
	var shown struct {
		Revision json.Number `json:"revision"`
	}
	if err := json.Unmarshal(body, &shown); err != nil {
		return []string{err.Error()}
	}
	if got, want := resp.Header.Get("ETag"), `"`+shown.Revision.String()+`"`; got != want {
		return []string{fmt.Sprintf("ETag is %s and the revision says %s", got, want)}
	}
	return nil
}

func problemFaults(resp *http.Response, body []byte) []string {
	var p struct {
		Type, Code string
		Status     int
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return []string{err.Error()}
	}
	var faults []string
	if p.Status != resp.StatusCode {
		faults = append(faults, fmt.Sprintf("/status: %d in an answer %d", p.Status, resp.StatusCode))
	}
	if want := "urn:permitledger:problem:" + p.Code; p.Type != want {
		faults = append(faults, fmt.Sprintf("/type: %q, by its code it is %q", p.Type, want))
	}
	return faults
}

// explain turns kin-openapi's tree of errors, which prints whole schemas, into
// one line for each fault: where it is and what is wrong.
func explain(err error) []string {
	switch e := err.(type) {
	case nil:
		return nil
	case openapi3.MultiError:
		var all []string
		for _, one := range e {
			all = append(all, explain(one)...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	case *openapi3filter.RequestError:
		where := "body"
		if e.Parameter != nil {
			where = fmt.Sprintf("%s parameter %q", e.Parameter.In, e.Parameter.Name)
		}
		return under(where, e.Reason, e.Err)
	case *openapi3filter.ResponseError:
		if e.Err == nil {
			return []string{e.Reason}
		}
		return under(e.Reason, "", e.Err)
	case *openapi3filter.SecurityRequirementsError:
		return explain(openapi3.MultiError(e.Errors))
	case *openapi3.SchemaError:
		return under("/"+strings.Join(e.JSONPointer(), "/"), e.Reason, e.Origin)
	default:
		return []string{err.Error()}
	}
}

// under puts a place and a reason before each line of a cause.
func under(where, reason string, cause error) []string {
	lines := explain(cause)
	if len(lines) == 0 {
		lines = []string{reason}
	}
	for i, line := range lines {
		lines[i] = where + ": " + line
	}
	return lines
}

// complain fails the test when there are faults.
func (c *Checker) complain(e exchange, what string, faults []string, body []byte) {
	if len(faults) == 0 {
		return
	}
	c.t.Errorf("%s %s: the %s strays from docs/openapi.yaml:\n  %s\nbody: %s",
		e.req.Method, e.req.URL.RequestURI(), what, strings.Join(faults, "\n  "), excerpt(body))
}

func excerpt(body []byte) string {
	const most = 2000
	switch {
	case !utf8.Valid(body):
		return fmt.Sprintf("%d bytes", len(body))
	case len(body) > most:
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(string(body[:most]), ""), len(body))
	default:
		return string(body)
	}
}
