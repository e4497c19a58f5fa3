package api

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections/audit"
)

// auditEvents searches the whole ledger, the newest event first. Which events
// fit is answered from the index; the events themselves are read from the log.
func (s *server) auditEvents(req *request) (answer, error) {
	q, err := req.auditQuery()
	if err != nil {
		return answer{}, err
	}
	sight, open, err := req.sight()
	if err != nil {
		return answer{}, err
	}
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	entries, next, err := s.audit.Search(req.Context(), q, limit, cursor)
	if err != nil {
		return answer{}, err
	}
	places := make([]desk.Place, len(entries))
	for i, e := range entries {
		places[i] = desk.Place{Ledger: e.Ledger, Stream: e.Stream, Revision: e.Revision, Account: e.Account}
		if e.InHistory() {
			places[i].Permit = e.Permit
		}
	}
	page, err := s.Desk.Audit(req.Context(), req.reading(), places, open)
	if err != nil {
		return answer{}, err
	}
	var items []Item
	for _, c := range page {
		items = append(items, HistoryItem(c, sight))
	}
	return pageOf(items, next), nil
}

// auditQuery reads what is looked for.
func (req *request) auditQuery() (q audit.Query, err error) {
	name, err := req.filter("type", "a type of event such as Applied", func(s string) bool {
		return slices.Contains(eventstore.Types(), s)
	})
	if err != nil {
		return q, err
	}
	actor, err := req.filter("actor", "an account's id, a member of staff's sign-in or system", func(s string) bool {
		return s != "" && utf8.RuneCountInString(s) <= maxName
	})
	if err != nil {
		return q, err
	}
	account, err := req.filter("account", "an account's id: a UUID in lower case", isUUID)
	if err != nil {
		return q, err
	}
	permit, err := req.filter("permit", "a permit's id: a UUID in lower case", isUUID)
	if err != nil {
		return q, err
	}
	text, err := req.filter("q", "words to look for, of at most 200 characters", func(s string) bool {
		return utf8.RuneCountInString(s) <= maxName
	})
	if err != nil {
		return q, err
	}
	q = audit.Query{Type: name, Actor: actor, Account: domain.AccountID(account), Permit: domain.PermitID(permit), Text: text}
	if q.From, _, err = req.bound("from"); err != nil {
		return q, err
	}
	until, whole, err := req.bound("to")
	if err != nil {
		return q, err
	}
	if !until.IsZero() {
		q.Until = after(until, whole)
		if !q.From.Before(q.Until) {
			return q, bad("to", "to lies before from.")
		}
	}
	return q, nil
}

// filter reads a parameter that has to be of a kind when it is given.
func (req *request) filter(name, what string, fits func(string) bool) (string, error) {
	value, given, err := req.query(name)
	if err == nil && given && !fits(value) {
		err = bad(name, "%s is %s.", name, what)
	}
	return value, err
}

// bound reads one end of a time: an instant, or a London day, which gives its
// midnight. The zero time is none.
func (req *request) bound(name string) (at time.Time, whole bool, err error) {
	given, err := req.instant(name)
	if err != nil || given == nil {
		return time.Time{}, false, err
	}
	value, _, err := req.query(name)
	return *given, !strings.Contains(value, "T") && !strings.Contains(value, "t"), err
}

// after is the first instant that is no longer meant by the end of a time, both
// of whose ends are: of a day, the midnight at which it ends; else the next
// microsecond, the smallest step in which the ledger counts.
func after(end time.Time, whole bool) time.Time {
	if whole {
		return domain.DateOf(end).AddDays(1).Midnight()
	}
	return end.Truncate(time.Microsecond).Add(time.Microsecond)
}
