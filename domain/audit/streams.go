package audit

import (
	"slices"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
)

// Streams checks what can be told from one stream alone. Each stream must be
// given to one Streams, whole and in its order. It is owned by one goroutine.
type Streams struct {
	sorts    []sort
	lives    shelf[life]
	purses   shelf[purse]
	accounts shelf[person]
	lines    shelf[line] // of all other streams
}

// NewStreams makes checks that have seen nothing.
func NewStreams() *Streams {
	return &Streams{sorts: sorts()}
}

// line is what holds of every stream.
type line struct {
	at    int64  // recorded instant of the last event, in microseconds
	next  uint32 // the revision to come
	blind bool   // an event could not be read: what follows from it is not known
}

// Check says what is wrong with one event as far as its stream tells.
func (s *Streams) Check(e Entry) []Violation {
	f := &finder{Entry: e}
	found, ok := sortOf(s.sorts, e.Stream)
	body := e.Body
	switch {
	case body == nil:
		f.wrong(RuleUnreadable, "%s", e.Fault)
	case !ok:
		f.wrong(RuleStreamName, "no stream of the ledger is named so")
		body = nil
	case !slices.Contains(found.types, e.Type):
		f.wrong(RuleEventType, "a %s has no place in this stream", e.Type)
		body = nil
	}
	if e.Body != nil {
		f.envelope()
	}
	s.fold(f, body)
	return f.found
}

// fold folds an event into the summary of its stream; a nil body is one that
// is only counted.
func (s *Streams) fold(f *finder, body domain.Event) {
	k := keyOf(f.Stream)
	switch Sort(f.Stream) {
	case "permit":
		l := s.lives.at(k)
		l.follow(f)
		if e, ok := body.(permit.Event); ok && !l.blind {
			l.check(f, e)
		}
	case "payment":
		p := s.purses.at(k)
		p.follow(f)
		if e, ok := body.(payment.Event); ok && !p.blind {
			p.check(f, e)
		}
	case "account":
		p := s.accounts.at(k)
		p.follow(f)
		if e, ok := body.(account.Event); ok && !p.blind {
			p.check(f, e)
		}
	default:
		l := s.lines.at(k)
		l.follow(f)
		if !l.blind {
			l.check(f, body)
		}
	}
}

// follow checks the place of an event in its stream.
func (l *line) follow(f *finder) {
	f.expect(f.Meta.Revision == uint64(l.next), RuleRevision, "revision %d stands where %d was to come", f.Meta.Revision, l.next)
	l.next = uint32(f.Meta.Revision) + 1
	if f.Body == nil && f.Fault != "" {
		l.blind = true
	}
	if f.Meta.At.IsZero() {
		return
	}
	at := f.Meta.At.UnixMicro()
	f.expect(at >= l.at, RuleInstant, "recorded before the event that precedes it in the stream")
	l.at = max(at, l.at)
}

// envelope checks who acted, by what, under which published rules.
func (f *finder) envelope() {
	a := f.Meta.Actor
	f.expect(a.ID != "", RuleEnvelope, "no actor is named")
	f.expect(slices.Contains(roles, a.Role), RuleEnvelope, "the actor's role %q does not exist", a.Role)
	f.expect(slices.Contains(channels, a.Channel), RuleEnvelope, "the channel %q does not exist", a.Channel)
	f.expect(f.Meta.Command != "", RuleEnvelope, "no command is named")
	needs := func(what, version string) {
		f.expect(version != "", RuleEnvelope, "the version of the %s that was applied is missing", what)
	}
	switch f.Body.(type) {
	case permit.Applied, permit.AddressChanged:
		needs("policy", f.Versions.Policy)
		needs("tariff", f.Versions.Tariff)
		needs("terms", f.Versions.Terms)
		needs("gazetteer", f.Versions.Gazetteer)
	case permit.Renewed:
		needs("policy", f.Versions.Policy)
		needs("tariff", f.Versions.Tariff)
		needs("terms", f.Versions.Terms)
	case permit.Event:
		needs("policy", f.Versions.Policy)
	}
}

var (
	roles = []domain.Role{domain.RoleResident, domain.RoleOperator, domain.RoleReviewer, domain.RoleDisputes,
		domain.RoleEnforcement, domain.RoleAuditor, domain.RoleReporting, domain.RoleAdmin, domain.RoleSystem}
	channels = []domain.Channel{domain.ChannelWeb, domain.ChannelPhone, domain.ChannelEmail, domain.ChannelPost,
		domain.ChannelAPI, domain.ChannelSystem}
)

// check checks the streams that have few rules of their own.
func (l *line) check(f *finder, body domain.Event) {
	switch e := body.(type) {
	case notice.InformationRequested:
		f.expect(string(e.Permit) == idIn(f.Stream), RuleContent, "it names another permit than its stream")
	case notice.InformationSupplied:
		f.expect(string(e.Permit) == idIn(f.Stream), RuleContent, "it names another permit than its stream")
	case access.RecordRead:
		f.expect(string(e.Account) == idIn(f.Stream), RuleContent, "it names another account than its stream")
	case policy.GazetteerImported:
		f.expect(e.Part >= 1 && e.Part <= e.Parts, RuleContent, "part %d of %d", e.Part, e.Parts)
	case ledger.VaultBound:
		f.expect(f.Meta.Revision == 0, RuleLifeCycle, "the ledger was bound to a vault again")
	case ledger.LogSetBack:
		f.expect(e.Agreed < e.Known, RuleContent, "the log was the same up to number %d, and %d was the newest known", e.Agreed, e.Known)
	case ledger.ClockMoved:
		f.expect(e.To.After(e.From), RuleInstant, "the simulated clock was put back")
	}
}

// person is the summary of an account's own stream.
type person struct {
	line
	opened, erased bool
}

func (p *person) check(f *finder, e account.Event) {
	f.expect(!p.erased, RuleAccount, "a %s after the account was erased", f.Type)
	if _, opens := e.(account.AccountOpened); opens {
		f.expect(!p.opened, RuleAccount, "the account was opened again")
		p.opened = true
		return
	}
	f.expect(p.opened, RuleAccount, "a %s before the account was opened", f.Type)
	p.opened = true
	switch e := e.(type) {
	case account.AccountErased:
		p.erased = true
	case account.DocumentUploaded:
		f.expect(len(e.SHA256) == 64 && isHex(e.SHA256), RuleContent, "the document is not named by a SHA-256")
	}
}
