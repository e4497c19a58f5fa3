package docs_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"permitledger/docs"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all[method+" "+path] = op
		}
	}
	return all
}

func TestDocumentIsValidWithItsExamples(t *testing.T) {
	err := load(t).Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Fatal(err)
	}
}

// Strangers read the document, so each operation says what it is for and who
// may call it, under a name that a generated client can use.
func TestEveryOperationIsDescribed(t *testing.T) {
	doc, names := load(t), map[string]string{}
	for where, op := range operations(doc) {
		if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
			t.Errorf("%s: wants an operationId, a summary and one declared tag", where)
		}
		if other, taken := names[op.OperationID]; taken {
			t.Errorf("%s has the operationId of %s", where, other)
		}
		names[op.OperationID] = where
		if !strings.Contains(op.Description, "Roles:") && !strings.Contains(op.Description, "Anybody") {
			t.Errorf("%s does not say who may call it", where)
		}
		guarded := op.Security == nil
		if says := strings.Contains(op.Description, "Roles:"); says != guarded {
			t.Errorf("%s: names roles: %t, needs a token: %t", where, says, guarded)
		}
	}
}

func TestEveryCommandNeedsAnIdempotencyKey(t *testing.T) {
	for where, op := range operations(load(t)) {
		key := op.Parameters.GetByInAndName(openapi3.ParameterInHeader, "Idempotency-Key")
		if command := strings.HasPrefix(where, http.MethodPost); command != (key != nil && key.Required) {
			t.Errorf("%s: Idempotency-Key is required exactly for commands", where)
		}
		if op.Responses.Status(http.StatusPreconditionFailed) != nil !=
			(op.Parameters.GetByInAndName(openapi3.ParameterInHeader, "If-Match") != nil) {
			t.Errorf("%s: 412 and If-Match belong together", where)
		}
	}
}

func TestEveryAnswerOfTheAPIForbidsCaching(t *testing.T) {
	for where, op := range operations(load(t)) {
		if !strings.Contains(where, " /api/v1/") {
			continue
		}
		for status, response := range op.Responses.Map() {
			if h := response.Value.Headers["Cache-Control"]; h == nil || !h.Value.Required {
				t.Errorf("%s %s: no Cache-Control", where, status)
			}
			if isError := status >= "400"; isError != (response.Value.Content["application/problem+json"] != nil) {
				t.Errorf("%s %s: errors, and only errors, are application/problem+json", where, status)
			}
		}
	}
}

// An object that says nothing about further members lets strays through.
func TestEveryObjectSaysWhetherItIsClosed(t *testing.T) {
	doc := load(t)
	for name, schema := range doc.Components.Schemas {
		if s := schema.Value; s.Type.Is("object") && s.AdditionalProperties.Has == nil {
			t.Errorf("%s says nothing about further members", name)
		}
		for member, p := range schema.Value.Properties {
			if p.Ref == "" && p.Value.Type.Is("object") && p.Value.AdditionalProperties.Has == nil {
				t.Errorf("%s.%s says nothing about further members", name, member)
			}
		}
	}
}

func TestThePermitIsTheSameEverywhere(t *testing.T) {
	schemas := load(t).Components.Schemas
	same := func(base, extended string, more ...string) {
		t.Helper()
		b, e := schemas[base].Value, schemas[extended].Value
		want := append(slices.Sorted(maps.Keys(b.Properties)), more...)
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(e.Properties)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", extended, got, want)
		}
		for member, p := range b.Properties {
			if e.Properties[member] != nil && e.Properties[member].Ref != p.Ref {
				t.Errorf("%s.%s is %q, in %s it is %q", extended, member, e.Properties[member].Ref, base, p.Ref)
			}
		}
		if got := append(slices.Clone(b.Required), more...); !slices.Equal(got, e.Required) {
			t.Errorf("%s requires %v, want %v", extended, e.Required, got)
		}
	}
	same("Permit", "PermitAnswer", "position")
	same("Permit", "ReviewItem", "holdEndsAt", "orderedBy", "warning", "flags")
	same("Account", "AccountAnswer", "position")
}
