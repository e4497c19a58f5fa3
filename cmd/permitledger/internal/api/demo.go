package api

import (
	"time"

	"permitledger/domain"
)

// moveClock puts the simulated clock forward, to an instant or by a duration.
func (s *server) moveClock(req *request) (answer, error) {
	o := req.body
	var to *time.Time
	var advance time.Duration
	switch {
	case o.has("to") == o.has("advance"):
		o.fail("", "Give to or advance, one of the two.")
	case o.has("to"):
		at, err := time.Parse(time.RFC3339, o.words("to", maxName))
		if err != nil {
			o.fail("to", "to is not an instant such as 2027-10-31T09:00:00Z.")
		}
		at = at.UTC()
		to = &at
	default:
		var err error
		if advance, err = time.ParseDuration(o.words("advance", maxName)); err != nil || advance < 0 {
			o.fail("advance", "advance is not a duration such as 720h.")
		}
	}
	o.take("to")
	o.take("advance")
	if err := o.done(); err != nil {
		return answer{}, err
	}
	now, position, err := s.Demo.MoveClock(req.Context(), req.call, to, advance)
	if err != nil {
		return answer{}, err
	}
	return ok(struct {
		Now      time.Time `json:"now"`
		Position string    `json:"position"`
	}{now.UTC(), position.String()}), nil
}

// instructions are what a simulated payment provider can be told.
var instructions = map[string]bool{"decline": true, "lapse": true, "duplicate": true, "late": true}

// instructPayments tells the simulated payment provider what to do next.
func (s *server) instructPayments(req *request) (answer, error) {
	o := req.body
	o.need("account")
	o.need("next")
	account, next := domain.AccountID(o.id("account")), o.texts("next", maxName)
	for i, word := range next {
		if !instructions[word] {
			o.fail(indexed("next", i), "The provider knows decline, lapse, duplicate and late.")
		}
	}
	if err := o.done(); err != nil {
		return answer{}, err
	}
	position, err := s.Demo.Instruct(req.Context(), req.call, account, next)
	if err != nil {
		return answer{}, err
	}
	return ok(struct {
		Account  domain.AccountID `json:"account"`
		Next     []string         `json:"next"`
		Position string           `json:"position"`
	}{account, listed(next), position.String()}), nil
}
