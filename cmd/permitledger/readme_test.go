package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the output of the README's walk into the README")

// block is a command of the README's walk with the output that it shows.
var block = regexp.MustCompile("(?s)```bash\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")

// The walk in the README is run word for word against a demonstration, and
// prints what the README shows.
func TestTheReadmesWalk(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("THE README'S WALK IS NOT TESTED HERE: it needs %s, which this machine does not have", tool)
		}
	}
	path := filepath.Join("..", "..", "README.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	readme := string(raw)
	blocks := block.FindAllStringSubmatch(readme, -1)
	if len(blocks) < 5 {
		t.Fatalf("the README has only %d commands to walk", len(blocks))
	}
	demo := launch(t, "demo", "--listen", "127.0.0.1:0", "--permits", "20", "--log-level", "error")
	outputs := walk(t, demo.address, blocks)
	for i, b := range blocks {
		if diff := cmp.Diff(b[2], outputs[i]); diff != "" && !*update {
			t.Errorf("the README shows another output of\n%s(-shown +printed):\n%s", b[1], diff)
		}
	}
	if *update {
		i := -1
		readme = block.ReplaceAllStringFunc(readme, func(string) string {
			i++
			shown := "```bash\n" + blocks[i][1] + "```\n"
			if outputs[i] != "" {
				shown += "\n```text\n" + outputs[i] + "```\n"
			}
			return shown
		})
		if err := os.WriteFile(path, []byte(readme), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// walk runs the commands in one shell and gives the output of each.
func walk(t *testing.T, address string, blocks [][]string) []string {
	t.Helper()
	const mark = "=== end of a command ==="
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, b := range blocks {
		fmt.Fprintf(&script, "%s\necho; echo '%s'\n", strings.ReplaceAll(b[1], "127.0.0.1:8080", address), mark)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the walk stopped: %v\n%s\n%s", err, out, stderr.String())
	}
	outputs := strings.Split(string(out), mark+"\n")[:len(blocks)]
	for i, o := range outputs {
		if outputs[i] = strings.TrimRight(o, "\n"); outputs[i] != "" {
			outputs[i] += "\n"
		}
	}
	return outputs
}
