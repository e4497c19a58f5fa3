package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const npmSwitch = "PERMITLEDGER_NPM_CLIENTS"

// npmPackages are two generations of the client for Node.js: the last of its
// old name, and the newest, which reads and reconnects through a library in
// Rust. The versions are in testdata/npm/package-lock.json.
var npmPackages = []string{"@eventstore/db-client", "@kurrent/kurrentdb-client"}

// npmChecks is how many checks each script has: one that says less did not run
// to its end.
var npmChecks = map[string]int{"streams.mjs": 11, "following.mjs": 7, "groups.mjs": 10, "secured.mjs": 5}

// TestNpmClients uses a node through clients that are not ours and not written
// in Go.
func TestNpmClients(t *testing.T) {
	if os.Getenv(npmSwitch) != "1" {
		t.Skipf("SKIPPED: the clients from npm; set %s=1 to run them (it takes Node.js 18 or later, and downloads the clients)", npmSwitch)
	}
	t.Parallel()
	dir := installNpmClients(t)
	for _, client := range npmPackages {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			plain := openNode(t, Options{Dir: t.TempDir()})
			secured := openSecured(t, Options{Dir: t.TempDir(), UsersFile: writeUsersWith(t, npmUsers, func(string) string { return npmPassword })})
			as := func(name, password string) string { return secured.connection("esdb", name, password, secured.ca.file) }
			for _, script := range []string{"streams.mjs", "following.mjs", "groups.mjs"} {
				runNpmScript(t, dir, "in clear, "+script, script, client, "esdb+discover://"+plain.Addr()+"?tls=false")
				runNpmScript(t, dir, "over TLS, "+script, script, client, as("ann", npmPassword))
			}
			front := advertiseBatches(t, plain)
			runNpmScript(t, dir, "by BatchAppend, streams.mjs", "streams.mjs", client, "esdb+discover://"+front.address+"?tls=false", "by BatchAppend")
			if front.calls.Load() == 0 {
				t.Error("BatchAppend was advertised, and not used")
			}
			runNpmScript(t, dir, "users", "secured.mjs", client,
				as("ann", npmPassword), as("leo", npmPassword), as("rita", npmPassword), as("", ""), as("leo", "wrong"))
		})
	}
}

// npmPassword is everybody's, and plain: the library in Rust does not decode
// what is encoded in a connection string.
const npmPassword = "known-to-the-scripts"

var npmUsers = map[string]Role{"ann": RoleAdmin, "leo": RoleLedger, "rita": RoleReader}

// installNpmClients copies the scripts aside and installs the clients there.
func installNpmClients(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "npm"))); err != nil {
		t.Fatal(err)
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}

// runNpmScript makes a test of each check of a script.
func runNpmScript(t *testing.T, dir, name, script, client string, connections ...string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		run := exec.CommandContext(ctx, "node", append([]string{script, client}, connections...)...)
		run.Dir = dir
		run.Env = append(os.Environ(), "PASSWORD="+npmPassword)
		var said bytes.Buffer
		run.Stderr = &said
		out, err := run.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", script, err, said.Bytes())
		}
		ran := 0
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			var line struct{ Check, Error string }
			if json.Unmarshal(lines.Bytes(), &line) != nil || line.Check == "" {
				t.Errorf("%s says %q", script, lines.Bytes())
				continue
			}
			ran++
			t.Run(line.Check, func(t *testing.T) {
				if line.Error != "" {
					t.Error(line.Error)
				}
			})
		}
		if want := npmChecks[script]; ran != want {
			t.Errorf("%s ran %d checks, want %d\n%s", script, ran, want, said.Bytes())
		}
	})
}
