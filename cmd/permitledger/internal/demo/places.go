package demo

import (
	"fmt"
	"math/rand/v2"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// keptFree is the postcode of the sample's best known street. Nobody of the
// history lives there, so that a visitor finds both slots free at every house
// that the documentation names.
const keptFree = "LE11 1AA"

// places hands out houses, each once, one zone after the other.
type places struct {
	zones   []domain.Zone
	free    map[domain.Zone][]domain.UPRN
	outside []domain.UPRN // in no zone
	turn    int
	houses  int // how many there were to hand out
}

// findPlaces gathers the houses that the desk knows, but for those whose zone
// changed between two days.
func findPlaces(rng *rand.Rand, book *policy.Book, from, to domain.Date) (*places, error) {
	p := &places{free: map[domain.Zone][]domain.UPRN{}}
	seen := map[domain.UPRN]bool{}
	for _, row := range book.Rows() {
		if seen[row.UPRN] || row.Postcode == keptFree {
			continue
		}
		seen[row.UPRN] = true // it may have more rows, one after the other in time
		row, known := book.ByUPRN(row.UPRN, from)
		then, still := book.ByUPRN(row.UPRN, to)
		switch {
		case !known || !still || row.Zone != then.Zone:
		case row.Zone == "":
			p.outside = append(p.outside, row.UPRN)
		default:
			if p.free[row.Zone] == nil {
				p.zones = append(p.zones, row.Zone)
			}
			p.free[row.Zone] = append(p.free[row.Zone], row.UPRN)
			p.houses++
		}
	}
	if len(p.zones) < 2 || len(p.outside) == 0 {
		return nil, fmt.Errorf("demo: the council published at this desk is not like the sample: it has %d zones and %d houses outside them", len(p.zones), len(p.outside))
	}
	for _, zone := range p.zones {
		houses := p.free[zone]
		rng.Shuffle(len(houses), func(i, j int) { houses[i], houses[j] = houses[j], houses[i] })
	}
	rng.Shuffle(len(p.zones), func(i, j int) { p.zones[i], p.zones[j] = p.zones[j], p.zones[i] })
	return p, nil
}

// house is a free house in the zone whose turn it is.
func (p *places) house() house {
	for {
		zone := p.zones[p.turn%len(p.zones)]
		p.turn++
		if len(p.free[zone]) > 0 {
			return p.houseIn(zone)
		}
	}
}

// houseIn is a free house in a zone, or anywhere when the zone has none left.
func (p *places) houseIn(zone domain.Zone) house {
	free := p.free[zone]
	if len(free) == 0 {
		return p.house()
	}
	p.free[zone] = free[1:]
	return house{free[0], zone}
}

// houseOutside is a house for which no permits are sold.
func (p *places) houseOutside() house { return house{uprn: p.outside[0]} }

// house is where somebody lives.
type house struct {
	uprn domain.UPRN
	zone domain.Zone
}
