package policy

import (
	"fmt"
	"slices"
	"strings"

	"permitledger/domain"
)

// Quote is the price of a permit and the tariff that it stands in.
type Quote struct {
	Price         domain.Pence
	TariffVersion string
}

// TariffOn gives the tariff in force on a day; false before the first one.
func (b Book) TariffOn(day domain.Date) (Tariff, bool) {
	return lastInForce(b.tariffs, day, func(t Tariff) domain.Date { return t.EffectiveFrom })
}

// Quote gives the price on a day of one kind of permit for a number of months.
// The error is a *domain.Refusal with RuleKindMonths.
func (b Book) Quote(kind domain.Kind, months int, day domain.Date) (Quote, error) {
	tariff, ok := b.TariffOn(day)
	if !ok {
		return Quote{}, domain.Refuse(domain.RuleKindMonths, "kind",
			fmt.Sprintf("No prices are published for %s: choose a later day.", day))
	}
	for _, p := range tariff.Prices {
		if p.Kind == kind && p.Months == months {
			return Quote{Price: p.Price, TariffVersion: tariff.Version}, nil
		}
	}
	sold := b.Months(kind, day)
	if len(sold) == 0 {
		return Quote{}, domain.Refuse(domain.RuleKindMonths, "kind",
			fmt.Sprintf("Permits of the kind %q are not sold: choose another kind.", kind))
	}
	return Quote{}, domain.Refuse(domain.RuleKindMonths, "months",
		fmt.Sprintf("Permits of the kind %q are sold for %s months: choose one of these.", kind, orList(sold)))
}

// Months lists for how many months a kind is sold on a day, in rising order.
func (b Book) Months(kind domain.Kind, day domain.Date) []int {
	tariff, _ := b.TariffOn(day)
	var months []int
	for _, p := range tariff.Prices {
		if p.Kind == kind {
			months = append(months, p.Months)
		}
	}
	slices.Sort(months)
	return slices.Compact(months)
}

// orList writes 3, 6 or 12.
func orList(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
