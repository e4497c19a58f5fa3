package audit

import (
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
)

// Whole checks what needs several streams. It is given every event of the
// ledger in the order of the log, and is owned by one goroutine.
//
// It may rely on that order because whoever wrote an event had read those that
// it depends on before: what an event names stands before it in the log.
type Whole struct {
	permits    shelf[holder]
	accounts   shelf[resident]
	properties shelf[place]
	published  published
	clock      time.Time
}

// NewWhole makes checks that have seen nothing.
func NewWhole() *Whole { return &Whole{} }

// holder is what other streams need to know of a permit.
type holder struct {
	account key
	home    key   // property of the slot that it uses
	taken   key   // property of the slot that it took last
	takenBy key   // by which command
	ends    int64 // from which instant on it holds nothing; 0 = not known to end
	price   int64 // of the first term
	amount  int64 // of the latest payment taken
	first   day
	last    day
	paid    int32 // the last term whose payment was taken
	kind    int8  // place in domain.Kinds

	exists, counts      bool
	approved, rejected  bool
	cancelled, borrowed bool // borrowed: it may lack a slot, for a reason that is not known
	blind               bool // an event of it could not be read
}

// resident is what other streams need to know of an account.
type resident struct {
	documents []key // those that are there
	subject   key   // its owner's sign-in; 0 = nobody's, or not known
	opened    bool
	blind     bool
}

// Check says what is wrong with one event as far as other streams tell.
func (w *Whole) Check(e Entry) []Violation {
	f := &finder{Entry: e}
	if e.Meta.At.After(w.clock) {
		w.clock = e.Meta.At
	}
	if e.Body == nil {
		w.blinded(e)
		return nil
	}
	w.versions(f)
	switch body := e.Body.(type) {
	case permit.Event:
		w.permit(f, body)
	case payment.Event:
		w.payment(f, body)
	case account.Event:
		w.account(body, keyOf(idIn(e.Stream)))
	case property.SlotTaken:
		w.take(f, body)
	case notice.InformationSupplied:
		if h, ok := w.known(f, body.Permit); ok {
			w.documents(f, h.account, body.Evidence)
		}
	case notice.InformationRequested:
		w.known(f, body.Permit)
	case access.RecordRead:
		w.opened(f, keyOf(body.Account))
	case access.PeopleSearched:
		for _, id := range body.Shown {
			w.opened(f, keyOf(id))
		}
	case ledger.ProviderInstructed:
		w.opened(f, keyOf(body.Account))
	case policy.Event:
		w.published.add(f, body)
	}
	return f.found
}

// Clock is the knowledge clock: the greatest recorded instant so far.
func (w *Whole) Clock() time.Time { return w.clock }

// States counts the permits by where they stand at an instant.
func (w *Whole) States(at time.Time) map[permit.Status]int {
	counts := map[permit.Status]int{}
	for _, chunk := range w.permits.chunks {
		for _, h := range chunk {
			if h.exists {
				counts[h.status(at)]++
			}
		}
	}
	return counts
}

func (h holder) status(at time.Time) permit.Status {
	switch {
	case h.cancelled && at.UnixMicro() >= h.ends:
		return permit.StatusCancelled
	case h.rejected:
		return permit.StatusRejected
	case !h.approved:
		return permit.StatusPending
	case at.Before(h.first.date().Midnight()):
		return permit.StatusUpcoming
	case at.Before(h.last.over()):
		return permit.StatusActive
	}
	return permit.StatusExpired
}

// blinded notes what can no longer be judged, because an event is not known.
func (w *Whole) blinded(e Entry) {
	switch Sort(e.Stream) {
	case "permit":
		w.permits.at(keyOf(idIn(e.Stream))).blind = true
	case "payment":
		id, _, _ := payment.ParseStream(e.Stream)
		w.permits.at(keyOf(id)).blind = true
	case "account":
		w.accounts.at(keyOf(idIn(e.Stream))).blind = true
	case "property":
		w.properties.at(keyOf(e.Stream)).blind = true
	case "tariff", "policy", "gazetteer":
		w.published.blind = true
	}
}

// known finds a permit that an event names.
func (w *Whole) known(f *finder, id domain.PermitID) (holder, bool) {
	h := w.permits.find(keyOf(id))
	f.expect(h.exists || h.blind, RuleReference, "the permit %s was not applied for before", id)
	return h, h.exists
}

// opened checks an account that an event names.
func (w *Whole) opened(f *finder, k key) {
	r := w.accounts.find(k)
	f.expect(r.opened || r.blind, RuleReference, "its account was not opened before")
}

func (w *Whole) account(e account.Event, k key) {
	r := w.accounts.at(k)
	switch e := e.(type) {
	case account.AccountOpened:
		r.opened, r.subject = true, keyOf(e.Personal.Value.Subject)
	case account.AccountClaimed:
		r.subject = keyOf(e.Personal.Value.Subject)
	case account.DocumentUploaded:
		r.upload(keyOf(e.SHA256))
	case account.DocumentDropped:
		r.drop(keyOf(e.SHA256))
	}
}

func (r *resident) has(document key) bool { return slices.Contains(r.documents, document) }

func (r *resident) upload(document key) {
	if !r.has(document) {
		r.documents = append(r.documents, document)
	}
}

func (r *resident) drop(document key) {
	if i := slices.Index(r.documents, document); i >= 0 {
		r.documents = slices.Delete(r.documents, i, i+1)
	}
}

// documents checks that what is named as evidence was uploaded.
func (w *Whole) documents(f *finder, owner key, named []domain.Evidence) {
	for _, e := range named {
		w.document(f, owner, e.SHA256)
	}
}

func (w *Whole) document(f *finder, owner key, sha string) {
	r := w.accounts.find(owner)
	f.expect(r.blind || r.has(keyOf(sha)), RuleDocument, "the document %s was not uploaded to this account", sha)
}
