package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"permitledger/cmd/permitledger/internal/catalog"
)

type catalogCommand struct {
	Type string `arg:"" optional:"" help:"Only this type of event, such as Applied."`
	JSON bool   `help:"Print JSON, with the JSON Schema (draft 2020-12) of each type."`
}

// Run prints the catalogue of the program's own event types; it needs no
// ledger.
func (c catalogCommand) Run(p *program) error {
	all, err := catalog.All()
	if c.Type != "" {
		var one catalog.Entry
		one, err = catalog.Of(c.Type)
		all = []catalog.Entry{one}
	}
	if err != nil {
		return err
	}
	if !c.JSON {
		return printCatalog(p.stdout, all)
	}
	if c.Type != "" {
		return printDocument(p.stdout, all[0])
	}
	return printDocument(p.stdout, all)
}

func printCatalog(w io.Writer, all []catalog.Entry) error {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "## %s\n\n%s\n\nStream `%s`, schema version %d.\n\n", e.Type, e.Meaning, e.Stream, e.Version)
		printMembers(&b, "", e.Schema)
		fmt.Fprintf(&b, "\n```json\n%s\n```\n\n", strings.TrimSpace(string(e.Example)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printMembers lists the members of an object, and of those within it.
func printMembers(w io.Writer, before string, s *catalog.Schema) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		m := s.Properties[name]
		what := kindOf(m)
		if m.Personal {
			what = "sealed; personal:"
		} else if !slices.Contains(s.Required, name) {
			what += ", optional"
		}
		fmt.Fprintf(w, "* `%s%s` %s\n", before, name, what)
		inner := m
		if m.Items != nil {
			inner = m.Items
		}
		if m.Personal {
			inner = m.Opened
		}
		printMembers(w, before+name+".", inner)
	}
}

func kindOf(s *catalog.Schema) string {
	switch {
	case s.Items != nil:
		return "list of " + kindOf(s.Items)
	case s.Format != "":
		return s.Format
	case s.Description != "":
		return s.Description
	}
	return fmt.Sprint(s.Type)
}
