package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/projections/audit"
	"permitledger/projections/story"
)

// Sight is how much of a history somebody sees.
type Sight int

// The sights.
const (
	// EverythingOpen shows all there is: for staff who work on the case.
	EverythingOpen Sight = iota
	// OwnerSight leaves out the names and the notes of the council's staff.
	OwnerSight
	// PersonalSealed shows what is not sealed: for auditors who have not said
	// why they need more.
	PersonalSealed
)

// What stands for a personal part that is not shown.
const (
	sealedMark = "⟨sealed⟩"
	erasedMark = "⟨erased⟩"
	lostMark   = "⟨lost⟩"
)

// Item is one event of a history as it is shown.
type Item struct {
	EventID       string         `json:"eventId"`
	Type          string         `json:"type"`
	Stream        string         `json:"stream"`
	Revision      uint64         `json:"revision"`
	Ledger        uint64         `json:"ledger"`
	RecordedAt    time.Time      `json:"recordedAt"`
	Actor         ItemActor      `json:"actor"`
	CorrelationID *string        `json:"correlationId"`
	CausationID   *string        `json:"causationId"`
	Summary       string         `json:"summary"`
	Data          map[string]any `json:"data"`
	StateAfter    *ItemState     `json:"stateAfter"` // null: the event is in no permit's history
}

// ItemActor is who did it.
type ItemActor struct {
	ID         *string           `json:"id"` // null for the owner when it was staff
	Role       domain.Role       `json:"role"`
	Channel    domain.Channel    `json:"channel"`
	OnBehalfOf *domain.AccountID `json:"onBehalfOf"`
}

// ItemState is the permit after the event, at the event's own instant.
type ItemState struct {
	State         permit.Status `json:"state"`
	Zone          domain.Zone   `json:"zone"`
	Property      any           `json:"property"` // an address, a mark that stands for it, or null
	Vehicle       any           `json:"vehicle"`
	FirstDay      *domain.Date  `json:"firstDay"`
	LastDay       *domain.Date  `json:"lastDay"`
	Term          int           `json:"term"`
	Price         money         `json:"price"`
	TariffVersion string        `json:"tariffVersion"`
	AutoRenewal   bool          `json:"autoRenewal"`
	Referred      bool          `json:"referred"`
	Payment       paymentView   `json:"payment"`
	Revision      uint64        `json:"revision"`
}

// history shows everything that happened to a permit. The numbers come from
// the index of the whole ledger, which may be a moment behind the streams.
func (s *server) history(req *request) (answer, error) {
	sight, open, err := req.sight()
	if err != nil {
		return answer{}, err
	}
	if _, _, err := req.page(); err != nil {
		return answer{}, err // before the reading is recorded
	}
	req.recorded = open != "" // with the reason
	tale, err := s.Desk.Chronicle(req.Context(), req.reading(), req.permitID, open)
	if err != nil {
		return answer{}, err
	}
	if err := s.reach(req.Context(), audit.Name, tale[len(tale)-1].Event.Position); err != nil {
		return answer{}, err
	}
	entries, err := s.audit.ForPermit(req.Context(), req.permitID)
	if err != nil {
		return answer{}, err
	}
	numbers := make(map[domain.EventID]uint64, len(entries))
	for _, e := range entries {
		numbers[e.EventID] = e.Ledger
	}
	var items []Item
	for _, c := range tale {
		c.Ledger = numbers[domain.EventID(c.Event.ID.String())]
		items = append(items, HistoryItem(c, sight))
	}
	return slicePage(req, items)
}

// sight says what the caller sees of a history, and the reason that an auditor
// gives for opening what is sealed.
func (req *request) sight() (sight Sight, open string, err error) {
	open, given, err := req.query("open")
	if err != nil {
		return 0, "", err
	}
	if given && (req.caller.role != domain.RoleAuditor || strings.TrimSpace(open) == "" || len([]rune(open)) > maxName) {
		return 0, "", bad("open", "open is for auditors: the reason, of at most %d characters, why what is sealed must be read.", maxName)
	}
	switch {
	case req.caller.role == domain.RoleResident:
		return OwnerSight, "", nil
	case req.caller.role == domain.RoleAuditor && !given:
		return PersonalSealed, "", nil
	}
	return EverythingOpen, open, nil
}

// HistoryItem shows one event, with the permit's state when it is of a permit's
// history.
func HistoryItem(c desk.Chronicle, sight Sight) Item {
	e := c.Event
	item := Item{
		EventID: e.ID.String(), Type: e.Type, Stream: e.Stream, Revision: e.Revision, Ledger: c.Ledger,
		RecordedAt:    e.RecordedAt.UTC(),
		Actor:         ItemActor{ID: &e.Actor.ID, Role: e.Actor.Role, Channel: e.Actor.Channel, OnBehalfOf: some(e.Actor.OnBehalfOf)},
		CorrelationID: some(e.Correlation), CausationID: some(e.Causation),
		Summary: story.Summary(e.Body), Data: dataOf(e.Body, sight),
	}
	if c.After.ID != "" {
		state := stateAfter(c.After, sight)
		item.StateAfter = &state
	}
	if sight == OwnerSight && e.Actor.Role != domain.RoleResident && e.Actor.Role != domain.RoleSystem {
		item.Actor.ID = nil
	}
	return item
}

// dataOf is the event's own members, with its personal part as the sight
// allows.
func dataOf(body domain.Event, sight Sight) map[string]any {
	data := members(body)
	if part, ok := desk.PersonalPart(body); ok {
		switch {
		case part.IsLost():
			data["personal"] = lostMark
		case part.IsErased():
			data["personal"] = erasedMark
		case sight == PersonalSealed:
			data["personal"] = sealedMark
		default:
			data["personal"] = members(part.Content())
		}
	}
	if sight == OwnerSight {
		withoutStaff(data)
	}
	return data
}

// members gives a struct as it is written in JSON.
func members(v any) map[string]any {
	all := map[string]any{}
	raw, err := json.Marshal(v)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		err = d.Decode(&all)
	}
	if err != nil {
		panic("api: an event's struct is no JSON object: " + err.Error()) // it was read from one
	}
	return all
}

// withoutStaff takes out who of the council decided or entered something, and
// what they noted for each other. The resident's own notes stay.
func withoutStaff(value any) {
	switch v := value.(type) {
	case map[string]any:
		delete(v, "decider")
		delete(v, "enteredBy")
		if considered, ok := v["considered"].([]any); ok {
			for _, item := range considered {
				if c, ok := item.(map[string]any); ok {
					delete(c, "note")
				}
			}
		}
		for _, inner := range v {
			withoutStaff(inner)
		}
	case []any:
		for _, inner := range v {
			withoutStaff(inner)
		}
	}
}

func stateAfter(cs desk.Case, sight Sight) ItemState {
	p, latest := cs.Permit, cs.Permit.Latest()
	state := ItemState{
		State: p.Status(cs.At), Zone: p.Zone, FirstDay: some(p.FirstDay()), LastDay: some(p.LastDay()), Term: latest.Term,
		Price: moneyOf(latest.Price), TariffVersion: latest.TariffVersion, AutoRenewal: p.AutoRenewalOn(cs.At),
		Referred: cs.Notice.Referred() && p.Status(cs.At) == permit.StatusPending, Payment: showPayment(cs), Revision: cs.Revision,
	}
	switch {
	case p.Erased:
	case sight == PersonalSealed:
		state.Property, state.Vehicle = sealedMark, sealedMark
	default:
		state.Property, state.Vehicle = p.Property, p.Vehicle.Mark
	}
	return state
}
