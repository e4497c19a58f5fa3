package permit

import (
	"slices"
	"time"

	"permitledger/domain"
)

// State is a permit as its events made it. The zero State is a permit to which
// nothing has happened. What depends on the clock is not in it: see Status.
//
// A State is a value: Evolve never changes what an earlier State refers to.
type State struct {
	Account   domain.AccountID `json:"account,omitempty"`
	Kind      domain.Kind      `json:"kind,omitempty"`
	Zone      domain.Zone      `json:"zone,omitempty"`
	Property  domain.Property  `json:"property,omitzero"`
	Vehicle   domain.Vehicle   `json:"vehicle,omitzero"`
	EnteredBy string           `json:"enteredBy,omitempty"` // sign-in subject of whoever entered the application
	Erased    bool             `json:"erased,omitempty"`    // the personal parts cannot be opened
	Lost      bool             `json:"lost,omitempty"`      // the vault lacks the key of one of them

	// What was applied for. Price and tariff are those of the first term.
	Months            int               `json:"months,omitempty"`
	RequestedFirstDay domain.Date       `json:"requestedFirstDay,omitzero"`
	SubmittedOn       domain.Date       `json:"submittedOn,omitzero"`
	SubmittedAt       time.Time         `json:"submittedAt,omitzero"`
	Price             domain.Pence      `json:"pricePence,omitempty"`
	TariffVersion     string            `json:"tariffVersion,omitempty"`
	CountsTowardLimit bool              `json:"countsTowardLimit,omitempty"`
	FollowsPermit     domain.PermitID   `json:"followsPermit,omitempty"`
	FollowsDispute    domain.DisputeID  `json:"followsDispute,omitempty"`
	Evidence          []domain.Evidence `json:"evidence,omitempty"` // what the permit rests on now

	TermsVersion string        `json:"termsVersion,omitempty"` // the terms and conditions accepted last
	AutoRenewal  bool          `json:"autoRenewal,omitempty"`  // as last recorded; see AutoRenewalOn
	Terms        []Term        `json:"terms,omitempty"`        // empty until approved
	Decided      *Decided      `json:"decided,omitempty"`      // approval or rejection
	Cancellation *Cancellation `json:"cancellation,omitempty"` // recorded; it may take effect later
}

// Term is one paid period of a permit.
type Term struct {
	Term           int          `json:"term"` // from 1
	Months         int          `json:"months"`
	FirstDay       domain.Date  `json:"firstDay"`
	LastDay        domain.Date  `json:"lastDay"`
	Price          domain.Pence `json:"pricePence"`
	TariffVersion  string       `json:"tariffVersion"`
	Payment        string       `json:"payment,omitempty"` // stream of a renewal's payment
	Automatic      bool         `json:"automatic,omitempty"`
	VehicleChanges int          `json:"vehicleChanges,omitempty"` // made while this term ran, or before the first
}

// Decided is a decision of a reviewer as it was recorded.
type Decided struct {
	Record domain.DecisionRecord `json:"record"`
	Words  domain.DecisionWords  `json:"words,omitzero"`
	At     time.Time             `json:"at"`
}

// Decision joins the record with its words. Once erased, the words are empty
// and the record stands.
func (d Decided) Decision() domain.Decision { return domain.JoinDecision(d.Record, d.Words) }

// Cancellation is the end of a permit by holder, council or want of payment.
type Cancellation struct {
	Reason      CancelReason `json:"reason"`
	RecordedAt  time.Time    `json:"recordedAt"`
	EffectiveAt time.Time    `json:"effectiveAt"`
	Refund      domain.Pence `json:"refundPence"`
	RefundRule  string       `json:"refundRule"`
	Words       string       `json:"words,omitempty"`
	Decided     *Decided     `json:"decided,omitempty"` // of a withdrawal by the council
}

// Evolve folds one event into a state. It never reads a clock: instants come
// from the event and from m.
func Evolve(s State, e Event, m domain.Meta) State {
	switch e := e.(type) {
	case Applied:
		return applied(e, m)
	case Approved:
		s.Lost = s.Lost || e.Personal.Lost
		s.Decided = &Decided{Record: e.Decision, Words: e.Personal.Value, At: m.At}
		s.Terms = []Term{{Term: 1, Months: s.Months, FirstDay: e.FirstDay, LastDay: e.LastDay,
			Price: s.Price, TariffVersion: s.TariffVersion}}
	case Rejected:
		s.Lost = s.Lost || e.Personal.Lost
		s.Decided = &Decided{Record: e.Decision, Words: e.Personal.Value, At: m.At}
	case Renewed:
		s.Terms = append(s.Terms[:len(s.Terms):len(s.Terms)], Term{Term: e.Term, Months: e.Months,
			FirstDay: e.FirstDay, LastDay: e.LastDay, Price: e.Price, TariffVersion: e.TariffVersion,
			Payment: e.Payment, Automatic: e.Automatic})
		s.AutoRenewal = e.AutoRenewal
		s.TermsVersion = e.TermsVersion
	case VehicleChanged:
		s.Lost = s.Lost || e.Personal.Lost
		s.Vehicle = e.Personal.Value.To
		if len(e.Evidence) > 0 {
			s.Evidence = replaceEvidence(s.Evidence, e.Evidence, isV5C)
		}
		s = s.countVehicleChange(e.EffectiveAt)
	case AddressChanged:
		s.Lost = s.Lost || e.Personal.Lost
		s.Property = e.Personal.Value.To
		s.Zone = e.Zone
		s.Evidence = replaceEvidence(s.Evidence, e.Evidence, domain.Evidence.IsProofOfResidency)
	case Cancelled:
		s.Lost = s.Lost || e.Personal.Lost
		s.Cancellation = cancelled(e, m)
	case AutoRenewalCancelled:
		s.AutoRenewal = false
	}
	return s
}

func applied(e Applied, m domain.Meta) State {
	return State{
		Account: e.Account, Kind: e.Kind, Zone: e.Zone, Months: e.Months,
		Property: e.Personal.Value.Property, Vehicle: e.Personal.Value.Vehicle,
		EnteredBy: e.Personal.Value.EnteredBy, Erased: e.Personal.Erased, Lost: e.Personal.Lost,
		RequestedFirstDay: e.RequestedFirstDay, SubmittedOn: e.SubmittedOn, SubmittedAt: m.At,
		Price: e.Price, TariffVersion: e.TariffVersion, TermsVersion: e.TermsVersion,
		AutoRenewal: e.AutoRenewal, CountsTowardLimit: e.CountsTowardLimit, Evidence: e.Evidence,
		FollowsPermit: e.FollowsPermit, FollowsDispute: e.FollowsDispute,
	}
}

func cancelled(e Cancelled, m domain.Meta) *Cancellation {
	c := &Cancellation{Reason: e.Reason, RecordedAt: m.At, EffectiveAt: e.EffectiveAt,
		Refund: e.Refund, RefundRule: e.RefundRule, Words: e.Personal.Value.Words}
	if e.Decision != nil {
		c.Decided = &Decided{Record: *e.Decision, At: m.At}
		if w := e.Personal.Value.Decision; w != nil {
			c.Decided.Words = *w
		}
	}
	return c
}

// replaceEvidence puts new documents in the place of those that a change made
// pointless, so that a badge or tenancy which has ended can be told from the
// state alone.
func replaceEvidence(old, with []domain.Evidence, pointless func(domain.Evidence) bool) []domain.Evidence {
	kept := slices.DeleteFunc(slices.Clone(old), pointless)
	return append(kept, with...)
}

func isV5C(e domain.Evidence) bool { return e.Kind == domain.EvidenceV5C }

// countVehicleChange counts a change against the term that runs at an instant;
// one made before the first day belongs to the first term.
func (s State) countVehicleChange(at time.Time) State {
	i := s.termIndexOn(domain.DateOf(at))
	if i < 0 {
		return s
	}
	terms := slices.Clone(s.Terms)
	terms[i].VehicleChanges++
	s.Terms = terms
	return s
}

// termIndexOn finds the term that runs on a day: the first when the day is
// ahead of all, the last when it is past all, -1 when there are none.
func (s State) termIndexOn(day domain.Date) int {
	for i, t := range s.Terms {
		if !t.LastDay.Before(day) {
			return i
		}
	}
	return len(s.Terms) - 1
}

// Erase blanks what is personal. Folding events and then erasing gives the
// same state as folding the events with their personal parts erased, so that
// a read model that blanks its rows agrees with one rebuilt afterwards.
func (s State) Erase() State {
	if !s.Exists() {
		return s
	}
	s.Property, s.Vehicle, s.EnteredBy, s.Erased, s.Lost = domain.Property{}, domain.Vehicle{}, "", true, false
	s.Decided = s.Decided.erase()
	if s.Cancellation != nil {
		c := *s.Cancellation
		c.Words, c.Decided = "", c.Decided.erase()
		s.Cancellation = &c
	}
	return s
}

func (d *Decided) erase() *Decided {
	if d == nil {
		return nil
	}
	return &Decided{Record: d.Record, At: d.At}
}
