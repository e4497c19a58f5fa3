package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// person is somebody made up.
type person struct {
	name, email, phone string // the last two may be empty
	subject            string // sign-in subject; empty for those who only telephone or write
}

// The names are meant to be seen through: nobody is called so.
var (
	givenNames = strings.Fields(`Araminta Barnaby Clementine Digby Euphemia Fitzroy Griselda Horatio
		Isolde Jocasta Kermit Lavender Marigold Nehemiah Octavia Peregrine Quentin Rowena Septimus Tabitha
		Ulysses Verity Wilfred Xanthe Yorick Zinnia Ambrose Bramble Cordelia Dorabella Erasmus Fenella`)
	surnames = strings.Fields(`Applethwick Bramblecote Candlewick Dumblewood Eaglestrop Featherby Gooseacre
		Hollowbottom Inkpenny Jollybrook Kettlefold Lumblestone Marrowfield Nettleship-Moon Oatcake Pebblewhite
		Quillfeather Rumbleton Saltmarrow Thistlewick Umberfold Vinegarth Wobblesworth Yarnspindle Zephyrstone
		Buttercross Crumpethorpe Duckpenny Elderfroth Figgleswick Gingerhay Hobthrush Ivorypeg Jamblestone
		Larkmuddle Mothersole-Pye Nutbeam-Fry Otterpool-Dab Puddingfield Ramshackle`)
)

// crowd hands out people and marks, each once.
type crowd struct {
	rng   *rand.Rand
	pairs []int
	marks map[string]bool
	count int
}

func newCrowd(rng *rand.Rand) *crowd {
	return &crowd{rng: rng, pairs: rng.Perm(len(givenNames) * len(surnames)), marks: map[string]bool{}}
}

// next is somebody new. Telephone numbers are from the ranges that Ofcom keeps
// free for drama, addresses at domains that nobody can own.
func (c *crowd) next() person {
	pair := c.pairs[c.count%len(c.pairs)]
	c.count++
	given, surname := givenNames[pair%len(givenNames)], surnames[pair/len(givenNames)]
	p := person{name: given + " " + surname, subject: fmt.Sprintf("resident-%d", c.count)}
	if c.rng.IntN(10) > 0 {
		domains := []string{"example.org", "example.com"}
		p.email = strings.ToLower(given+"."+surname) + fmt.Sprintf("%d@%s", c.count, domains[c.rng.IntN(len(domains))])
	}
	if c.rng.IntN(5) > 0 || p.email == "" {
		ranges := []string{"01632 960%03d", "0116 496 0%03d", "07700 900%03d"}
		p.phone = fmt.Sprintf(ranges[c.rng.IntN(len(ranges))], c.rng.IntN(1000))
	}
	return p
}

// mark is a vehicle's mark that nobody else in the history has, mostly of the
// shape in use since 2001 and typed as people type it.
func (c *crowd) mark() string {
	for {
		m := c.anyMark()
		key := strings.ReplaceAll(m, " ", "")
		if !c.marks[key] {
			c.marks[key] = true
			return m
		}
	}
}

func (c *crowd) anyMark() string {
	letters := func(n int) string {
		const some = "ABCDEFGHJKLMNOPRSTUVWXY" // neither I, Q nor Z, which look like digits
		b := make([]byte, n)
		for i := range b {
			b[i] = some[c.rng.IntN(len(some))]
		}
		return string(b)
	}
	switch c.rng.IntN(24) {
	case 0:
		return fmt.Sprintf("%s%d %s", letters(1), 100+c.rng.IntN(900), letters(3))
	case 1:
		return fmt.Sprintf("%s %d%s", letters(3), 100+c.rng.IntN(900), letters(1))
	case 2:
		return fmt.Sprintf("%s %d", letters(3), 100+c.rng.IntN(900))
	case 3:
		return fmt.Sprintf("%sIZ %d", letters(1), 1000+c.rng.IntN(9000))
	}
	return fmt.Sprintf("%s%02d %s", letters(2), []int{0, 50}[c.rng.IntN(2)]+10+c.rng.IntN(15), letters(3))
}
