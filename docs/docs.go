// Package docs carries the description of the HTTP interface inside the
// program, so that a service can serve the one it was built with.
//
// The description is written by hand in openapi.yaml and is what others write
// their programs against. It is not generated from the handlers, nor they from
// it: the tests of the API send every request and every response through it.
package docs

import _ "embed"

// OpenAPI is openapi.yaml, an OpenAPI 3.0.3 document. It is not to be changed.
//
//go:embed openapi.yaml
var OpenAPI []byte
