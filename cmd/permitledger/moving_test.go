package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mover follows docs/moving.md with a small ledger.
type mover struct {
	*town
	dir, data string
	words     *strings.Replacer // what the guide's names are here
	variables string
	running   *running
	permit    struct{ PermitID, Reference string }
}

// An operator who follows moving.md has the same ledger on another event store,
// and gets it back from there with all that was added.
func TestTheGuideToMoving(t *testing.T) {
	dir := place(t)
	keys := filepath.Join(dir, "store")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	connection := securedNode(t, keys)
	m := &mover{town: newTown(t, 1, 1), dir: dir, data: filepath.Join(dir, "data")}
	m.tokens(dir)
	blocks := fenced(t, "moving.md", "## Before", -1)
	if len(blocks) != 10 {
		t.Fatalf("the guide has %d blocks of commands", len(blocks))
	}
	m.variables = blocks[0]
	opened := m.live()
	m.words = strings.NewReplacer("esdb://store.example.org:2113?tls=true&tlsCaFile=/etc/permitledger/ca.pem", connection,
		"/etc/permitledger", keys, "/var/lib/permitledger", m.data, "/backup", filepath.Join(dir, "backup"), "/tmp/rehearsal", filepath.Join(dir, "rehearsal"),
		"127.0.0.1:2114", quiet(t), "127.0.0.1:2115", quiet(t), "P-7K4M-9QXD-3F", m.permit.Reference)
	const embedded = `permitledger serve --data "$DATA" --tokens tokens.json`
	m.serve(embedded)
	before := m.views()
	m.stop()

	m.run(blocks[1])                                                                  // see that the server keeps the rules
	contains(t, m.run(blocks[2]+"kill $! && wait $!\n"), "Verified", "No violations") // rehearse
	contains(t, m.run(blocks[3]+blocks[4]), "Verified", "0 were there already", "last ledger number is 23 on")
	contains(t, m.run(blocks[5]), "default access list", "persistent subscription")
	m.run(blocks[6]) // put the old log aside
	contains(t, refused(t, "serve", "--data", m.data, "--listen", "127.0.0.1:0", "--tokens", filepath.Join(dir, "tokens.json")), "the log is empty")
	contains(t, refused(t, "replay", "--data", m.data), "the log is empty")
	if _, err := os.Stat(filepath.Join(m.data, "log")); err == nil {
		t.Error("the start that was refused has made a log, and the old one could not be put back in its place")
	}
	contains(t, m.run(blocks[7]), "No violations")

	m.serve(blocks[8])
	if after := m.views(); after != before {
		t.Errorf("before the move it looked like this:\n%s\nafter it like this:\n%s", before, after)
	}
	contains(t, m.running.said(), "read model is made again")
	ready(t, m.running, "ok")
	again := opened
	if err := m.send(&again); err != nil || position.ReplaceAllString(again.answer, "") != position.ReplaceAllString(opened.answer, "") {
		t.Errorf("a command sent again is answered %v\n%s\nfirst it was\n%s", err, again.answer, opened.answer)
	}
	m.command(m.houses[0].deed("house-0", "/permits/"+m.permit.PermitID+"/change-vehicle", "", `{"vehicle":"XY34 ZZZ"}`))
	added := m.views()
	m.stop()

	contains(t, m.run(blocks[9]), "copied now   1 in", "23 were there already")
	m.serve(embedded)
	if back := m.views(); back != added || added == before {
		t.Errorf("on the other store it looked like this:\n%s\nback again like this:\n%s", added, back)
	}
	m.stop()
}

// live is a short history under a simulated clock: a permit that is bought and
// approved. It gives the command that opened the account.
func (m *mover) live() deed {
	m.t.Helper()
	m.running = launch(m.t, "serve", "--data", m.data, "--listen", "127.0.0.1:0", "--tokens", filepath.Join(m.dir, "tokens.json"), "--demo-clock", "2026-03-02T09:00:00Z", "--log-level", "error")
	m.open(m.running.address)
	h := m.houses[0]
	h.by = h.name
	opened := h.deed(h.by, "/accounts", "", `{"name":"Alex Example"}`)
	m.command(opened)
	m.command(h.upload(&h.bill, "a bill"))
	m.command(h.upload(&h.v5c, "a V5C"))
	uprn, _ := h.somewhere("LB2")
	h.permits = append(h.permits, &parking{})
	bought := h.deed(h.by, "/accounts/"+h.account+"/permits", "",
		fmt.Sprintf(`{"kind":"resident","months":12,"uprn":"%s","vehicle":"AB12 CDE","evidence":%s}`, uprn, h.evidence()))
	m.command(bought)
	if err := json.Unmarshal([]byte(bought.answer), &m.permit); err != nil {
		m.t.Fatal(err)
	}
	m.command(h.deed("rita", "/permits/"+m.permit.PermitID+"/approve", "", `{"basis":"policy","considered":[{"check":"name","result":"match"}],"told":"Yes."}`))
	m.command(h.deed("ada", "/demo/clock", "", `{"advance":"1h"}`)) // the money is taken
	m.stop()
	return *opened
}

// command sends a command, which must be done.
func (m *mover) command(d *deed) {
	m.t.Helper()
	if !m.give(d) || d.status >= 300 {
		m.t.Fatalf("%s: %d %s\n%s", d.path, d.status, d.answer, m.running.said())
	}
	m.houses[0].learn(*d)
}

// script makes a command of what the guide says, which finds everything where
// it is here.
func (m *mover) script(lines string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "sh", "-c", m.words.Replace("set -e\n"+m.variables+lines))
	cmd.Dir = m.dir
	// The check is held to a few rules: all of them have a test of their own.
	cmd.Env = append(os.Environ(), "PERMITLEDGER_LOG_LEVEL=warn", "PERMITLEDGER_LISTEN=127.0.0.1:0", "PERMITLEDGER_ONLY=^(2.1|4.7|4.13) ")
	return cmd
}

// run runs commands of the guide to their end, which must be good.
func (m *mover) run(lines string) string {
	m.t.Helper()
	out, err := m.script(lines).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s\n%v\n%s", lines, err, out)
	}
	return string(out)
}

// serve starts the service by a line of the guide, and waits until it has read
// the whole log.
func (m *mover) serve(line string) {
	m.t.Helper()
	m.running = beginCommand(m.t, m.script("exec "+strings.TrimSpace(line))).served()
	m.open(m.running.address)
	permitledger(m.t, "projections", "list", "--data", m.data)
}

func (m *mover) stop() {
	m.t.Helper()
	m.leave()
	if code := m.running.terminate(); code != 0 {
		m.t.Errorf("stopped with exit code %d:\n%s", code, m.running.said())
	}
}

// views is what people see: the account view and the permit's history.
func (m *mover) views() string {
	m.t.Helper()
	var all []string
	for by, path := range map[string]string{"house-0": "/accounts/" + m.houses[0].account + "/permits", "aude": "/permits/" + m.permit.PermitID + "/history"} {
		answer, ok := m.read(by, path)
		if !ok {
			m.t.Errorf("GET %s is not answered: %s", path, answer)
		}
		all = append(all, answer)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// position is what an answer has that is the server's own.
var position = regexp.MustCompile(`"position":"[0-9]+"`)

// quiet is an address that nothing listens on, with a port that the system does
// not give out by itself.
func quiet(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
}
