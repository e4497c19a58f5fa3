package api

import (
	"net/http"

	"permitledger/docs"
	"permitledger/domain"
	"permitledger/domain/policy"
	"permitledger/projections"
)

// slicePage answers with one page of a list that is at hand as a whole. Its
// cursor is a place in the list.
func slicePage[T any](req *request, all []T) (answer, error) {
	limit, cursor, err := req.page()
	if err != nil {
		return answer{}, err
	}
	from := 0
	if err := projections.DecodeCursor(cursor, &from); err != nil {
		return answer{}, err
	}
	if from < 0 {
		return answer{}, projections.ErrCursor
	}
	from = min(from, len(all))
	to := min(from+limit, len(all))
	next := ""
	if to < len(all) {
		if next, err = projections.EncodeCursor(to); err != nil {
			return answer{}, err
		}
	}
	return pageOf(all[from:to], next), nil
}

// council names the council and how to reach it.
func (s *server) council(*request) (answer, error) {
	p, found := s.Desk.Book().PolicyOn(domain.DateOf(s.Desk.Now()))
	if !found {
		return answer{}, &fault{kind: unavailable, detail: "The council has no policy in force today: publish one."}
	}
	return ok(struct {
		Name         string      `json:"name"`
		Contact      contactView `json:"contact"`
		OpeningHours []string    `json:"openingHours"`
		Notice       *string     `json:"notice"`
	}{p.Council.Name, showContact(p.Council.Contact), listed(p.Council.OpeningHours), some(p.Council.Notice)}), nil
}

// termsAndConditions gives a version of the text, or the one in force.
func (s *server) termsAndConditions(req *request) (answer, error) {
	version, given, err := req.query("version")
	if err != nil {
		return answer{}, err
	}
	var terms policy.Terms
	var found bool
	switch {
	case !given:
		terms, found = s.Desk.Book().TermsOn(domain.DateOf(s.Desk.Now()))
	case version == "" || len(version) > maxName:
		return answer{}, bad("version", "Name a version, or leave it out for the one in force.")
	default:
		terms, found = s.Desk.Book().Terms(version)
	}
	if !found {
		return answer{}, &fault{kind: notFound, field: "version", detail: "There are no such terms and conditions."}
	}
	return ok(struct {
		Version       string      `json:"version"`
		EffectiveFrom domain.Date `json:"effectiveFrom"`
		Text          string      `json:"text"`
	}{terms.Version, terms.EffectiveFrom, terms.Text}), nil
}

// tariff gives the prices of a day.
func (s *server) tariff(req *request) (answer, error) {
	text, given, err := req.query("on")
	if err != nil {
		return answer{}, err
	}
	day := domain.DateOf(s.Desk.Now())
	if given {
		if day, err = domain.ParseDate(text); err != nil {
			return answer{}, bad("on", "on is not a day of the calendar written YYYY-MM-DD.")
		}
	}
	t, found := s.Desk.Book().TariffOn(day)
	if !found {
		return answer{}, &fault{kind: notFound, field: "on", detail: "No tariff was in force on that day: ask for a later one."}
	}
	type item struct {
		Kind   domain.Kind `json:"kind"`
		Months int         `json:"months"`
		Price  money       `json:"price"`
	}
	items := []item{}
	for _, p := range t.Prices {
		items = append(items, item{p.Kind, p.Months, moneyOf(p.Price)})
	}
	return ok(struct {
		Version       string      `json:"version"`
		EffectiveFrom domain.Date `json:"effectiveFrom"`
		Items         []item      `json:"items"`
	}{t.Version, t.EffectiveFrom, items}), nil
}

type propertyView struct {
	domain.Property
	Zone      *domain.Zone `json:"zone"`
	Available bool         `json:"available"`
	SlotsFree *int         `json:"slotsFree,omitempty"` // with a token only
}

// properties finds properties by postcode. How many slots are free tells
// something about the neighbours, so that needs a token.
func (s *server) properties(req *request) (answer, error) {
	postcode, _, err := req.query("postcode")
	if err != nil {
		return answer{}, err
	}
	if postcode, err = domain.ParsePostcode(postcode); err != nil {
		return answer{}, bad("postcode", "Give a whole postcode such as LE11 1AA.")
	}
	house, _, err := req.query("house")
	if err != nil {
		return answer{}, err
	}
	if len(house) > maxName {
		return answer{}, bad("house", "The house may have at most %d characters.", maxName)
	}
	offers, err := s.Desk.Offers(req.Context(), postcode, house)
	if err != nil {
		return answer{}, err
	}
	var all []propertyView
	for _, o := range offers {
		view := propertyView{Property: o.Property, Zone: some(o.Zone), Available: o.Zone != "" && o.SlotsFree > 0}
		if req.caller.known() {
			view.SlotsFree = &o.SlotsFree
		}
		all = append(all, view)
	}
	return slicePage(req, all)
}

// openAPI gives the description of this interface.
func (s *server) openAPI(*request) (answer, error) {
	return answer{status: http.StatusOK, raw: docs.OpenAPI, headers: http.Header{"Content-Type": {"application/yaml"}}}, nil
}
