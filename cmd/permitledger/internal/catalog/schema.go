package catalog

import (
	"reflect"
	"strings"
	"time"

	"permitledger/domain"
)

// Schema is the part of JSON Schema, draft 2020-12, that events need.
type Schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type"` // a name, or a list of names
	Format      string             `json:"format,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Closed      *bool              `json:"additionalProperties,omitempty"` // always false
	Personal    bool               `json:"x-personal,omitempty"`           // sealed under a person's key
	Opened      *Schema            `json:"x-opened,omitempty"`             // what lies inside once it is opened
}

// formats are the types that are written as strings of one form.
var formats = map[reflect.Type]string{
	reflect.TypeFor[time.Time]():        "date-time",
	reflect.TypeFor[domain.Date]():      "date",
	reflect.TypeFor[domain.PermitID]():  "uuid",
	reflect.TypeFor[domain.AccountID](): "uuid",
	reflect.TypeFor[domain.DisputeID](): "uuid",
	reflect.TypeFor[domain.EventID]():   "uuid",
	reflect.TypeFor[domain.CommandID](): "uuid",
}

// schemaOf makes the schema of an event's stored data from its struct, and
// that of what is sealed in it; nil when nothing is.
func schemaOf(zero domain.Event) (schema, inside *Schema) {
	t := reflect.TypeOf(zero)
	schema = schemaFor(t)
	schema.Dialect, schema.Title = "https://json-schema.org/draft/2020-12/schema", zero.EventType()
	field, ok := t.FieldByName("Personal")
	if !ok || !strings.HasPrefix(field.Type.Name(), "Personal[") {
		return schema, nil
	}
	value, _ := field.Type.FieldByName("Value")
	inside = schemaFor(value.Type)
	sealed := object()
	sealed.Description = "Sealed as a whole under the person's key (AES-256-GCM over the JSON described by x-opened; associated data: stream, newline, event id). Absent when empty; unreadable for ever once the key is destroyed."
	sealed.Properties = map[string]*Schema{"key": {Type: "string", Description: "names the key"},
		"sealed": {Type: "string", Description: "base64url without padding"}}
	sealed.Required = []string{"key", "sealed"}
	sealed.Personal, sealed.Opened = true, inside
	if schema.Properties == nil {
		schema.Properties = map[string]*Schema{}
	}
	schema.Properties["personal"] = sealed
	return schema, inside
}

func object() *Schema { return &Schema{Type: "object", Closed: new(bool)} }

func schemaFor(t reflect.Type) *Schema {
	if format, ok := formats[t]; ok {
		return &Schema{Type: "string", Format: format}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaFor(t.Elem())
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Slice:
		return &Schema{Type: "array", Items: schemaFor(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	}
	s := &Schema{Type: "integer"}
	if t == reflect.TypeFor[domain.Pence]() {
		s.Description = "pence"
	}
	return s
}

func structSchema(t reflect.Type) *Schema {
	s := object()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		member := schemaFor(f.Type)
		if !strings.Contains(options, "omit") { // else it is left out when empty
			s.Required = append(s.Required, name)
			if f.Type.Kind() == reflect.Slice {
				member.Type = []string{"array", "null"} // an empty list may be written either way
			}
		}
		if s.Properties == nil {
			s.Properties = map[string]*Schema{}
		}
		s.Properties[name] = member
	}
	return s
}
