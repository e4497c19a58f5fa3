package publish

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// policyFile is policy.json. Days are text here, so that a bad one can be told
// with its line.
type policyFile struct {
	Policies []struct {
		Version       string                     `json:"version"`
		EffectiveFrom string                     `json:"effectiveFrom"`
		Rules         map[string]json.RawMessage `json:"rules"`
	} `json:"policies"`
	Tariffs []struct {
		Version       string         `json:"version"`
		EffectiveFrom string         `json:"effectiveFrom"`
		Prices        []policy.Price `json:"prices"`
	} `json:"tariffs"`
}

// readPolicy reads the policies and the tariffs. It comes after readCouncil,
// whose contact belongs to the policies.
func readPolicy(fsys fs.FS, f *Folder, faults *Faults) error {
	var content policyFile
	file, ok, err := openJSON(fsys, PolicyFile, faults, &content)
	if err != nil || !ok {
		return err
	}
	sum := hash(file.data)
	days := firstDays{}
	for i, p := range content.Policies {
		day := file.version(days, p.Version, p.EffectiveFrom, "policies", i)
		rules := file.rules(p.Rules, "policies", i, "rules")
		f.Policies = append(f.Policies, policy.PolicyPublished{Version: p.Version, EffectiveFrom: day, Rules: rules, Council: f.Council, SHA256: sum})
		f.places[place(policy.TypePolicyPublished, p.Version)] = at(file.name, file.line("policies", i))
	}
	days = firstDays{}
	for i, t := range content.Tariffs {
		day := file.version(days, t.Version, t.EffectiveFrom, "tariffs", i)
		file.prices(t.Prices, "tariffs", i, "prices")
		f.Tariffs = append(f.Tariffs, policy.TariffPublished{Version: t.Version, EffectiveFrom: day, Prices: t.Prices, SHA256: sum})
		f.places[place(policy.TypeTariffPublished, t.Version)] = at(file.name, file.line("tariffs", i))
	}
	slices.SortStableFunc(f.Policies, func(a, b policy.PolicyPublished) int { return a.EffectiveFrom.Compare(b.EffectiveFrom) })
	slices.SortStableFunc(f.Tariffs, func(a, b policy.TariffPublished) int { return a.EffectiveFrom.Compare(b.EffectiveFrom) })
	if len(f.Policies) == 0 {
		file.add("give at least one policy", "policies is empty", "policies")
	}
	if len(f.Tariffs) == 0 {
		file.add("give at least one tariff", "tariffs is empty", "tariffs")
	}
	return nil
}

// version checks the name and the first day of a version.
func (f jsonFile) version(days firstDays, version, effectiveFrom string, path ...any) domain.Date {
	if version == "" || len(version) > 40 {
		f.add("name it by its first day, such as 2025-04-01", "a version needs a name of at most 40 characters", append(path, "version")...)
	}
	day, err := domain.ParseDate(effectiveFrom)
	if err != nil {
		f.add("give the first day on which it is in force", "effectiveFrom: "+err.Error(), append(path, "effectiveFrom")...)
		return day
	}
	if problem := days.take(version, day); problem != "" {
		f.add("give each version its own name and first day", problem, path...)
	}
	return day
}

// prices checks the prices of a tariff.
func (f jsonFile) prices(prices []policy.Price, path ...any) {
	if len(prices) == 0 {
		f.add("give a price for each kind that is sold", "a tariff has no prices", path...)
	}
	type sold struct {
		kind   domain.Kind
		months int
	}
	seen := map[sold]bool{}
	for i, p := range prices {
		here := append(slices.Clone(path), i)
		if !p.Kind.Valid() {
			f.add(fmt.Sprintf("write one of %v", domain.Kinds()), fmt.Sprintf("unknown kind of permit %q", p.Kind), append(here, "kind")...)
		}
		if p.Months < 1 || p.Months > 60 {
			f.add("give 1 to 60 months", fmt.Sprintf("a permit cannot be sold for %d months", p.Months), append(here, "months")...)
		}
		if p.Price < 0 {
			f.add("give whole pence, 0 for a free permit", fmt.Sprintf("a price cannot be %d pence", p.Price), append(here, "pricePence")...)
		}
		if key := (sold{p.Kind, p.Months}); seen[key] {
			f.add("keep one of the two", fmt.Sprintf("%s for %d months has two prices", p.Kind, p.Months), here...)
		} else {
			seen[key] = true
		}
	}
}

// firstDays are the versions of one thing by their first days. No two may
// begin together, or nobody could say which one was in force.
type firstDays map[domain.Date]string

// take notes a version and says what is wrong with it.
func (d firstDays) take(version string, day domain.Date) string {
	for otherDay, other := range d {
		if other == version {
			return fmt.Sprintf("version %q is given twice", version)
		}
		if otherDay == day {
			return fmt.Sprintf("versions %q and %q are both in force from %s: their effective dates overlap", other, version, day)
		}
	}
	d[day] = version
	return ""
}

// dayOfVersion reads the first day that a version's name begins with.
func (d firstDays) dayOfVersion(version string) (domain.Date, string) {
	day, err := domain.ParseDate(version[:min(len(version), len("2006-01-02"))])
	if err != nil {
		return day, err.Error()
	}
	return day, d.take(version, day)
}
