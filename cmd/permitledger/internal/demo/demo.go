// Package demo tells a small history of permits through the desk, so that
// whoever starts a demonstration finds a council at work: permits of every
// kind, each sort of decision with its reasons, money that was held, taken,
// declined and given back, and a review queue that wants attention.
//
// Everybody in it is made up. The history is planned before any of it is told:
// one story for each resident, written from the seed alone, so that the same
// seed gives the same people, dates, marks, decisions and prices. Stories share
// nothing, not even a house, which is why those that have something to do in
// the same hour are told side by side without changing what is written.
//
// It holds no rule. What the desk refuses is an error, unless the story meant
// it to be refused. Begin reading at Seed, then plots.go.
package demo

import (
	"context"
	"errors"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
)

// Config is what a history is told with. Instruct and Progress may be nil.
type Config struct {
	// Desk takes the commands. Its clock stands at Start(Until) or a little
	// later, and the sample council is published there.
	Desk *desk.Desk
	// Walk puts the desk's clock forward and does what falls due on the way;
	// it returns when the effects are in the log. No other call comes while it
	// runs. What the commands wrote before must count as known to it.
	Walk func(ctx context.Context, to time.Time) error
	// Instruct tells the simulated payment provider what to do with the next
	// requests of an account. Without it no payment is ever declined.
	Instruct func(ctx context.Context, account domain.AccountID, next []string) error
	// Permits is how many permits the history has, rejected and withdrawn
	// applications counted. The council needs HousesFor so many.
	Permits int
	// Seed chooses the history.
	Seed uint64
	// Until is where the history ends and the demonstration begins.
	Until time.Time
	// Progress is told now and then how many of the history's steps are done.
	Progress func(done, total int)
}

// HousesFor is how many houses in zones a council needs for a history of so
// many permits. Stories share no house, some have two, and each zone must have
// some to spare.
func HousesFor(permits int) int { return permits + permits/2 }

// historyMonths is how far a history reaches back: far enough that permits of
// twelve months come to be renewed, and that a change of prices lies within.
const historyMonths = 24

var (
	// ErrTooEarly is returned when the history would end before there is room
	// for one since the sample council's first tariff.
	ErrTooEarly = errors.New("demo: the history ends too early: let it end on 2025-06-01 or later")
	// ErrTooFew is returned for a number of permits below 0.
	ErrTooFew = errors.New("demo: a history has 0 permits at the least")
	// ErrTooMany is returned when the council has not houses enough.
	ErrTooMany = errors.New("demo: the council has too few houses for a history of so many permits")
)

// Start is the instant at which the desk's clock must begin for a history that
// ends at an instant. It is never before the sample council's first tariff.
func Start(until time.Time) time.Time {
	until = until.In(domain.London())
	from := domain.NewDate(until.Year(), until.Month()-historyMonths, 1)
	if first := domain.NewDate(2024, time.April, 1); from.Before(first) {
		from = first
	}
	return from.Midnight().Add(6 * time.Hour)
}

// Seed tells a history and leaves the desk's clock at its end.
func Seed(ctx context.Context, cfg Config) (Summary, error) {
	switch {
	case cfg.Until.Before(domain.NewDate(2025, time.June, 1).Midnight()):
		return Summary{}, ErrTooEarly
	case cfg.Permits < 0:
		return Summary{}, ErrTooFew
	}
	cfg.Until = cfg.Until.UTC().Truncate(time.Microsecond)
	stories, err := write(cfg)
	if err != nil {
		return Summary{}, err
	}
	t := &teller{Config: cfg, refusals: map[domain.Rule]int{}}
	if err := t.tell(ctx, stories); err != nil {
		return Summary{}, err
	}
	return t.sum(ctx, stories)
}
