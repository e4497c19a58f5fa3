// Package council is the sample council that is built into the program: a
// made-up council with made-up addresses, as README.md beside this file says.
// It holds data only; package publish reads it like any other council folder.
package council

import (
	"embed"
	"io/fs"
)

//go:embed README.md council.json policy.json gazetteer.csv terms/*.md
var files embed.FS

// Sample gives the folder of the sample council.
func Sample() fs.FS { return files }
