// Command permitledger is an event-sourced ledger of resident parking
// permits: the service, its demonstration, the embedded event store and the
// tools of auditors and operators, in one program.
//
// Each sub-command has a file of its own; serve.go is where to begin reading.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// commandLine is the whole command line. Flags can also come from the
// environment, as PERMITLEDGER_ and the flag's name.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Run the service: HTTP API, read models, timers. Without --eventstore it keeps its own event store under --data."`
	Demo    demoCommand    `cmd:"" help:"Run the service on a throw-away folder with the sample council, a simulated clock and a seeded history of permits."`
	Node    nodeCommand    `cmd:"" help:"The embedded EventStoreDB-compatible node by itself."`
	History historyCommand `cmd:"" help:"Show every event of one permit with the state after it."`
	Backup  backupCommand  `cmd:"" help:"Copy the whole data folder, also while a service runs on it."`
	Restore restoreCommand `cmd:"" help:"Bring a backup back into an empty folder."`
	Council councilCommand `cmd:"" help:"Begin a council's own folder."`
	Replay  replayCommand  `cmd:"" help:"Read the whole ledger, check every stream against the rules of the domain, and report each violation with its event."`
	Bench   benchCommand   `cmd:"" help:"Measure this program, each figure beside a reference of its own in the same run."`
	Config  configCommand  `cmd:"" help:"Look at what serve would use."`
	Catalog catalogCommand `cmd:"" help:"Describe every type of event: what it means, its JSON Schema, an example, what in it is personal."`
	Version versionCommand `cmd:"" help:"Say what this program is."`

	Setup    setupCommand    `cmd:"" help:"Prepare an EventStoreDB server or cluster for the ledger, once, as an admin of it: access lists and persistent subscriptions."`
	Reactors reactorsCommand `cmd:"" help:"Look after what the ledger does by itself: what it could not do, and having it done again."`

	Projections projectionsCommand `cmd:"" help:"Look after the read models: list, rebuild, verify."`

	LogFormat string `help:"Form of the log lines on stderr." enum:"text,json" default:"text"`
	LogLevel  string `help:"Least level that is logged." enum:"debug,info,warn,error" default:"info"`
}

// program is what a sub-command works with. Tests give other streams.
type program struct {
	ctx    context.Context // ends when the program is told to stop
	stdout io.Writer
	stderr io.Writer
	logger *slog.Logger
}

func main() {
	keepPrivate()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it gives the exit code, which is 0 only when what was
// asked for holds.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	var line commandLine
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("permitledger"),
		kong.Description("An event-sourced ledger of resident parking permits."),
		kong.DefaultEnvars("PERMITLEDGER"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "permitledger:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help has been printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "permitledger: %v\nSee %s --help.\n", err, misused(err))
		return 2
	}
	p := &program{ctx: ctx, stdout: stdout, stderr: stderr, logger: line.newLogger(stderr)}
	if err := parsed.Run(p); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "permitledger:", err)
		if next := hint(err); next != "" {
			fmt.Fprintln(stderr, next)
		}
		return 1
	}
	return 0
}

// misused is the command that was wrongly used, as far as it was named.
func misused(err error) string {
	if wrong, ok := errors.AsType[*kong.ParseError](err); ok && wrong.Context != nil {
		if command := wrong.Context.Selected(); command != nil {
			return command.FullPath()
		}
	}
	return "permitledger"
}

// unfinished is the error of a command that did not come to its end. One that
// was told to stop failed too: what it was asked for does not hold.
func (p *program) unfinished(err error, next string) error {
	if p.ctx.Err() == nil {
		return err
	}
	return errors.New("stopped before it was done: " + next)
}

func (l commandLine) newLogger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.LogLevel)) // kong has checked it
	options := &slog.HandlerOptions{Level: level}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// printDocument prints what programs are told: one JSON document.
func printDocument(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
