package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/eventstore"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Print the settings that serve would use with these flags and this environment, and whether it would start. It takes the flags of serve. It changes nothing but one event in the stream permitledger-check of --eventstore, by which it tries the right to write."`
}

type configCheckCommand struct {
	serveFlags
	JSON bool `name:"json" help:"Print one JSON document."`
}

// setting is one thing that can be set, and who has set it.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"` // "flag", "environment" or "default"
}

// finding is what was found about one thing that serve needs.
type finding struct {
	About  string   `json:"about"`
	Found  string   `json:"found,omitempty"`
	Faults []string `json:"faults,omitempty"` // why serve would refuse, each with what to do
}

func (f *finding) fault(err error) {
	text := err.Error()
	if next := hint(err); next != "" {
		text += ". " + next
	}
	f.Faults = append(f.Faults, text)
}

// configReport is all that config check says.
type configReport struct {
	OK       bool      `json:"ok"` // serve would start
	Running  bool      `json:"running"`
	Settings []setting `json:"settings"`
	Findings []finding `json:"findings"`
}

// errWouldRefuse is returned when serve would not start.
var errWouldRefuse = errors.New("serve would refuse to start; what is to be done stands above")

// Run looks at everything and fails when serve would refuse.
func (c configCheckCommand) Run(p *program, parsed *kong.Context) error {
	r := configReport{OK: true, Settings: settings(parsed), Running: answers(filepath.Join(c.Data, folder.AdminSocket))}
	r.Findings = []finding{c.checkFolder(r.Running), c.checkTokens(), c.checkAddresses(p, r.Running)}
	if len(r.Findings[0].Faults) == 0 {
		store, book := c.checkStore(p)
		r.Findings = append(r.Findings, store, c.checkCouncil(book))
	} else {
		r.Findings = append(r.Findings, c.checkCouncil(nil))
	}
	for _, f := range r.Findings {
		r.OK = r.OK && len(f.Faults) == 0
	}
	if err := r.print(p, c.JSON); err != nil {
		return err
	}
	if !r.OK {
		return errWouldRefuse
	}
	return nil
}

// settings lists the flags with what they come to. A connection string may
// hold a password, which is left out.
func settings(parsed *kong.Context) []setting {
	given := map[*kong.Flag]bool{}
	for _, part := range parsed.Path {
		if part.Flag != nil && !part.Resolved {
			given[part.Flag] = true
		}
	}
	var all []setting
	for _, f := range parsed.Flags() {
		if f.Name == "help" || f.Name == "json" {
			continue
		}
		s := setting{Name: f.Name, Value: fmt.Sprint(f.Target.Interface()), From: "default"}
		if at, ok := f.Target.Interface().(time.Time); ok {
			s.Value = ""
			if !at.IsZero() {
				s.Value = at.Format(time.RFC3339)
			}
		}
		if f.Name == "eventstore" {
			s.Value = eventstore.Redacted(s.Value)
		}
		for _, name := range f.Envs {
			if _, ok := os.LookupEnv(name); ok {
				s.From = "environment"
			}
		}
		if given[f] {
			s.From = "flag"
		}
		all = append(all, s)
	}
	return all
}

func (c configCheckCommand) checkFolder(running bool) finding {
	f := finding{About: "data folder"}
	if err := c.checkData(); err != nil {
		f.fault(err)
		return f
	}
	there := c.Data
	if _, err := os.Stat(there); err != nil {
		f.Found = "not there yet; serve makes it"
		for ; err != nil && there != filepath.Dir(there); _, err = os.Stat(there) {
			there = filepath.Dir(there)
		}
	} else if f.Found = "no ledger yet; serve begins one"; folder.HasLedger(c.Data) {
		f.Found = "a ledger"
	}
	if running {
		f.Found = "a ledger, and a service runs on it, which must be stopped before another starts"
	}
	probe, err := os.CreateTemp(there, ".new-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		f.fault(fmt.Errorf("cannot write there: %w", err))
	}
	return f
}

func (c configCheckCommand) checkTokens() finding {
	f := finding{About: "tokens"}
	path := c.Tokens
	if path == "" {
		path = filepath.Join(c.Data, folder.Tokens)
		if _, err := os.Stat(path); err != nil {
			f.Found = "none; serve makes one admin token and shows it once"
			return f
		}
	}
	if _, err := api.ReadTokens(path); err != nil {
		f.fault(err)
		return f
	}
	f.Found = path
	return f
}

// checkAddresses tries the addresses, unless they are taken by the service
// that runs on the folder.
func (c configCheckCommand) checkAddresses(p *program, running bool) finding {
	f := finding{About: "addresses", Found: "free"}
	if err := c.node(p).Check(); err != nil {
		f.Found = ""
		f.fault(err)
		return f
	}
	if running {
		f.Found = "not tried, as a service runs"
		return f
	}
	for flag, address := range map[string]string{"--listen": c.Listen, "--node-listen": c.NodeListen} {
		if address == "" {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			f.Found = ""
			f.fault(fmt.Errorf("%s: %w", flag, err))
		}
	}
	return f
}

func (r configReport) print(p *program, asJSON bool) error {
	if asJSON {
		return printDocument(p.stdout, r)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, s := range r.Settings {
		value := s.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, value, s.From)
	}
	fmt.Fprintln(w)
	for _, f := range r.Findings {
		if f.Found != "" {
			fmt.Fprintf(w, "ok\t%s\t%s\n", f.About, f.Found)
		}
		for _, fault := range f.Faults {
			fmt.Fprintf(w, "FAULT\t%s\t%s\n", f.About, strings.ReplaceAll(fault, "\n", " "))
		}
	}
	return w.Flush()
}
