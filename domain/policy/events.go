package policy

import "permitledger/domain"

// Event is a published rule of the council.
type Event interface {
	domain.Event
	policy()
}

// TariffPublished gives prices from a day on. A tariff is never edited, only
// superseded.
type TariffPublished struct {
	Version       string      `json:"version"`
	EffectiveFrom domain.Date `json:"effectiveFrom"`
	Prices        []Price     `json:"prices"`
	SHA256        string      `json:"sha256"` // of the file it came from
}

// Price is what one kind of permit costs for a number of months.
type Price struct {
	Kind   domain.Kind  `json:"kind"`
	Months int          `json:"months"`
	Price  domain.Pence `json:"pricePence"`
}

// PolicyPublished gives the council's rules that are figures: limits, windows
// and refunds, with the council's name and contact.
type PolicyPublished struct {
	Version       string      `json:"version"`
	EffectiveFrom domain.Date `json:"effectiveFrom"`
	Rules         Rules       `json:"rules"`
	Council       Council     `json:"council"`
	SHA256        string      `json:"sha256"`
}

// Rules are the figures of a policy.
type Rules struct {
	PermitsPerProperty     int           `json:"permitsPerProperty"`
	UncountedKinds         []domain.Kind `json:"uncountedKinds"` // kinds that take no slot
	StartAheadDays         int           `json:"startAheadDays"` // requested first day at most so far ahead
	RenewalWindowDays      int           `json:"renewalWindowDays"`
	AutoRenewalDays        int           `json:"autoRenewalDays"`        // first try so many days before the end
	ProofMonths            int           `json:"proofMonths"`            // age of a bill or statement
	TemporaryTenancyMonths int           `json:"temporaryTenancyMonths"` // longest tenancy of a temporary resident
	UnpaidHours            int           `json:"unpaidHours"`            // an unpaid application is withdrawn after
	LapsedDays             int           `json:"lapsedDays"`             // one whose hold lapsed is withdrawn after
	HoldMarginMinutes      int           `json:"holdMarginMinutes"`      // no approval when the hold ends sooner
	VehicleChangeNeedsV5C  bool          `json:"vehicleChangeNeedsV5C"`
	VehicleChangesPerTerm  int           `json:"vehicleChangesPerTerm"` // 0 = no limit
	Refund                 RefundRule    `json:"refund"`
}

// RefundRule says what is given back when a permit is cancelled.
type RefundRule struct {
	Kind     string       `json:"kind"` // "none", "whole-unused-months" or "pro-rata-days"
	AdminFee domain.Pence `json:"adminFeePence"`
}

// Council is who publishes the policy and how to reach them.
type Council struct {
	Name         string   `json:"name"`
	Contact      Contact  `json:"contact"`
	OpeningHours []string `json:"openingHours"`
	Notice       string   `json:"notice,omitempty"` // says so when the data is made up
}

// Contact is how to reach the council about a decision.
type Contact struct {
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Address string `json:"address"`
	Web     string `json:"web,omitempty"`
}

// TermsPublished gives a version of the terms and conditions.
type TermsPublished struct {
	Version       string      `json:"version"`
	EffectiveFrom domain.Date `json:"effectiveFrom"`
	Text          string      `json:"text"` // Markdown
	SHA256        string      `json:"sha256"`
}

// GazetteerImported is one part of a gazetteer: at most RowsPerPart rows. A
// version is complete when all its parts are there.
type GazetteerImported struct {
	Version string `json:"version"`
	Part    int    `json:"part"` // from 1
	Parts   int    `json:"parts"`
	Rows    []Row  `json:"rows"`
	SHA256  string `json:"sha256"` // of the whole file
}

// RowsPerPart is the most rows that one GazetteerImported carries.
const RowsPerPart = 500

// Row is one line of the gazetteer.
type Row struct {
	UPRN     domain.UPRN `json:"uprn"`
	House    string      `json:"house"`
	Street   string      `json:"street"`
	Postcode string      `json:"postcode"`
	Zone     domain.Zone `json:"zone"`          // empty: no permits are sold
	From     domain.Date `json:"from,omitzero"` // first day on which the row holds; zero = always
	To       domain.Date `json:"to,omitzero"`   // last day; zero = for ever
}

// The stored names of the policy's events.
const (
	TypeTariffPublished   = "TariffPublished"
	TypePolicyPublished   = "PolicyPublished"
	TypeTermsPublished    = "TermsPublished"
	TypeGazetteerImported = "GazetteerImported"
)

// Types lists the stored names of all policy events.
func Types() []string {
	return []string{TypeTariffPublished, TypePolicyPublished, TypeTermsPublished, TypeGazetteerImported}
}

// EventType gives the stored name.
func (TariffPublished) EventType() string   { return TypeTariffPublished }
func (PolicyPublished) EventType() string   { return TypePolicyPublished }
func (TermsPublished) EventType() string    { return TypeTermsPublished }
func (GazetteerImported) EventType() string { return TypeGazetteerImported }

func (TariffPublished) policy()   {}
func (PolicyPublished) policy()   {}
func (TermsPublished) policy()    {}
func (GazetteerImported) policy() {}
