package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
)

type demoCommand struct {
	Listen  string    `help:"Address of the HTTP server." default:"127.0.0.1:8080"`
	Council string    `help:"Folder with the council's data. Default: the built-in sample." type:"existingdir"`
	Permits int       `help:"How many permits the history has; 0 leaves the ledger empty. More than 1000 make the sample's towns larger." default:"200"`
	Seed    uint64    `help:"The same seed gives the same history." default:"1"`
	Until   time.Time `help:"Instant at which the seeded history ends and the demonstration begins (RFC 3339)." default:"2026-10-05T08:00:00Z" format:"2006-01-02T15:04:05Z07:00"`
	Data    string    `help:"Keep the data in this empty folder instead of a throw-away one." type:"path"`
}

// demoTokens are fixed, so that what is written about the demonstration can be
// typed as it stands. They open nothing but a throw-away ledger.
var demoTokens = []api.Grant{
	{Token: "demo-resident", Subject: "alex", Role: domain.RoleResident},
	{Token: "demo-neighbour", Subject: "sam", Role: domain.RoleResident},
	{Token: "demo-operator", Subject: "olga", Role: domain.RoleOperator},
	{Token: "demo-reviewer", Subject: "rita", Role: domain.RoleReviewer},
	{Token: "demo-disputes", Subject: "dana", Role: domain.RoleDisputes},
	{Token: "demo-enforcement", Subject: "ed", Role: domain.RoleEnforcement},
	{Token: "demo-auditor", Subject: "aude", Role: domain.RoleAuditor},
	{Token: "demo-reporting", Subject: "ron", Role: domain.RoleReporting},
	{Token: "demo-admin", Subject: "ada", Role: domain.RoleAdmin},
}

// Run seeds the demonstration and serves it until the program is told to stop.
func (c demoCommand) Run(p *program) (err error) {
	dir, remove, err := c.folder()
	if err != nil {
		return err
	}
	defer remove()
	tokens, err := api.NewTokens(demoTokens...)
	if err != nil {
		return err
	}
	town, err := c.town()
	if err != nil {
		return err
	}
	start := c.Until
	if c.Permits > 0 {
		start = demo.Start(c.Until)
	}
	s, err := service.Open(p.ctx, service.Config{Data: dir, Listen: c.Listen, Tokens: tokens,
		Council: town, DemoClock: start, HoldTimers: true, HoldModels: true, Logger: p.logger})
	if err != nil {
		return err
	}
	var told demo.Summary
	if c.Permits > 0 {
		if told, err = c.seed(p, s); err != nil {
			_ = s.Close() // the seeding's own error says what went wrong
			return err
		}
	}
	if err := c.followModels(p, s); err != nil {
		_ = s.Close() // as above
		return err
	}
	s.StartTimers()
	c.announce(p, s, told.Examples)
	fmt.Fprintf(p.stderr, "permitledger serves http://%s/api/v1\n", s.Addr())
	return untilStopped(p.ctx, s, nil)
}

// town is the council's folder: the one that was named, or the sample with as
// many houses as the history needs.
func (c demoCommand) town() (fs.FS, error) {
	if c.Council != "" {
		return councilFolder(c.Council), nil
	}
	more := 0
	if c.Permits > sampleHolds {
		more = demo.HousesFor(c.Permits)
	}
	return council.Town(more)
}

// sampleHolds is how many permits the sample council has houses for.
const sampleHolds = 1000

func (c demoCommand) folder() (dir string, remove func(), err error) {
	if c.Data != "" {
		return c.Data, func() {}, os.MkdirAll(c.Data, 0o700)
	}
	dir, err = os.MkdirTemp("", "permitledger-demo-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// seedGarbage is the percentage of GOGC while a history is told, if nobody set
// one. That makes much garbage and keeps little, so memory is cheaper than the
// fifth of the time that collecting it more often costs.
const seedGarbage = 400

func (c demoCommand) seed(p *program, s *service.Service) (demo.Summary, error) {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(seedGarbage))
	}
	began := time.Now()
	summary, err := demo.Seed(p.ctx, demo.Config{
		Desk: s.Desk, Permits: c.Permits, Seed: c.Seed, Until: c.Until,
		Walk: func(ctx context.Context, to time.Time) error {
			_, err := s.Timekeeper.Walk(ctx, to)
			return err
		},
		Instruct: s.InstructProvider,
		Progress: progressBar(p.stderr),
	})
	if err != nil {
		return summary, fmt.Errorf("seed the demonstration: %w", err)
	}
	fmt.Fprintf(p.stderr, "Seeded in %.1f s: %s\n", time.Since(began).Seconds(), summary)
	return summary, nil
}

// followModels has the read models come to the end of what was told.
func (c demoCommand) followModels(p *program, s *service.Service) error {
	began := time.Now()
	s.FollowModels()
	if err := s.CatchUp(p.ctx); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "Read models up to date in %.1f s\n", time.Since(began).Seconds())
	return nil
}

func (c demoCommand) announce(p *program, s *service.Service, examples []demo.Example) {
	var b strings.Builder
	if len(examples) > 0 {
		b.WriteString("\nOne permit of each kind of story; look at it with GET /api/v1/search?q=REFERENCE and then its history:\n\n")
		for _, e := range examples {
			fmt.Fprintf(&b, "  %-14s %-9s %s\n", e.Reference, e.State, e.Shows)
		}
	}
	fmt.Fprintf(&b, "\nThe demonstration is ready. Its clock stands at %s.\n\n", s.Desk.Now().Format(time.RFC3339))
	fmt.Fprintf(&b, "  http://%s/api/v1/council        who the council is (no token needed)\n", s.Addr())
	fmt.Fprintf(&b, "  http://%s/api/v1/openapi.yaml   every route and shape\n", s.Addr())
	fmt.Fprintf(&b, "  http://%s/readyz                whether all read models are up to date\n\n", s.Addr())
	b.WriteString("Tokens, one for each role (Authorization: Bearer …):\n\n")
	for _, g := range demoTokens {
		fmt.Fprintf(&b, "  %-18s %-12s signed in as %s\n", g.Token, g.Role, g.Subject)
	}
	b.WriteString("\nStop it with Ctrl-C; a throw-away folder goes with it.\n")
	fmt.Fprint(p.stdout, b.String())
}
