package storetest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"permitledger/eventstore/storetest"
)

var update = flag.Bool("update", false, "write the rules into the docs")

// The docs list the rules as the cases have them.
func TestTheDocsListTheRules(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "eventstore-rules.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
	}
	var b strings.Builder
	b.WriteString(head + begin + "| no. | about | rule | needed by |\n|---|---|---|---|\n")
	for _, c := range storetest.Cases() {
		by := "the ledger"
		if !c.NeededByLedger() {
			by = "other programs. " + c.OtherPrograms
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Number, c.Name, strings.ReplaceAll(c.Rule, "|", `\|`), by)
	}
	b.WriteString(end + tail)
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if b.String() != string(text) {
		t.Errorf("%s is behind the cases: go test ./eventstore/storetest -run %s -update", file, t.Name())
	}
}

// Numbers are cited by people, names by --only: neither may stand for two.
func TestRulesAreToldApart(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range storetest.Cases() {
		if !regexp.MustCompile(`^\d\.\d+$`).MatchString(c.Number) || c.Name == "" || !strings.HasSuffix(strings.TrimSuffix(c.Rule, ")"), ".") {
			t.Errorf("%q %q wants a number, a name and a sentence", c.Number, c.Name)
		}
		if !c.NeededByLedger() && !strings.HasSuffix(c.OtherPrograms, ".") {
			t.Errorf("%q %q wants a sentence on why the ledger does without", c.Number, c.Name)
		}
		if seen[c.Number] || seen[c.Name] {
			t.Errorf("%s %s stands twice", c.Number, c.Name)
		}
		seen[c.Number], seen[c.Name] = true, true
	}
}
