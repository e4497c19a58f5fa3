package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	"permitledger/domain"
)

// writer plans the stories. Everything is drawn from the seed in one order, by
// one goroutine.
type writer struct {
	cfg      Config
	rng      *rand.Rand
	days     calendar
	from, to domain.Date
	crowd    *crowd
	places   *places
	neighbor *application // a car that somebody else applies for again
}

// write plans as many stories as the permits of the history need: the review
// queue, one of each plot, and then plots by their weight.
func write(cfg Config) ([]*story, error) {
	// The second word only keeps this stream of numbers apart from others of
	// the same seed; the stories have their own.
	rng := rand.New(rand.NewPCG(cfg.Seed, 0))
	w := &writer{cfg: cfg, rng: rng, from: domain.DateOf(Start(cfg.Until)), to: domain.DateOf(cfg.Until)}
	w.days = newCalendar(rng, w.from.AddDays(1), w.to, cfg.Permits > 400)
	w.crowd = newCrowd(rng)
	var err error
	if w.places, err = findPlaces(rng, cfg.Desk.Book(), w.from, w.to); err != nil {
		return nil, err
	}
	if need := HousesFor(cfg.Permits); need > w.places.houses {
		return nil, fmt.Errorf("%w: %d need %d houses, and it has %d; `permitledger council init --houses %d DIR` makes a town of the size",
			ErrTooMany, cfg.Permits, need, w.places.houses, need)
	}
	var stories []*story
	left := cfg.Permits
	for _, p := range w.playbill() {
		if p.permits > left {
			continue
		}
		stories = append(stories, w.story(len(stories)+1, p))
		left -= p.permits
	}
	return stories, nil
}

// playbill is the plots of the history, in the order in which they are
// written. Those that no longer fit are left out, so it is made long enough.
func (w *writer) playbill() []plot {
	each, queue := w.possible(append(plots(), w.calendarPlots()...)), w.possible(queued())
	waiting := min(len(queue), 1+w.cfg.Permits/4)
	bill := make([]plot, 0, w.cfg.Permits+len(each)+waiting)
	bill = append(append(append(bill, each[:1]...), queue[:waiting]...), each[1:]...)
	total := 0
	for _, p := range each {
		total += p.weight
	}
	for range w.cfg.Permits {
		at := w.rng.IntN(total)
		for _, p := range each {
			if at -= p.weight; at < 0 {
				bill = append(bill, p)
				break
			}
		}
	}
	// A plot of two permits may be one too many at the end.
	for range 2 {
		bill = append(bill, each[0])
	}
	return bill
}

// possible leaves out the plots that need a word with the payment provider
// when there is none to be had.
func (w *writer) possible(all []plot) []plot {
	var some []plot
	for _, p := range all {
		if w.cfg.Instruct != nil || !p.provider {
			some = append(some, p)
		}
	}
	return some
}

// story writes one story. About one resident in six telephones or writes, and
// an operator enters what they want.
func (w *writer) story(n int, p plot) *story {
	s := &story{n: n, shows: p.shows, person: w.crowd.next(), channel: domain.ChannelWeb,
		plan: rand.New(rand.NewPCG(w.cfg.Seed, uint64(2*n))), props: rand.New(rand.NewPCG(w.cfg.Seed, uint64(2*n+1)))}
	if s.chance(6) {
		s.by([]domain.Channel{domain.ChannelPhone, domain.ChannelPost, domain.ChannelEmail}[s.plan.IntN(3)])
	}
	p.write(w, s)
	return s
}

// another is somebody else who comes into a story.
func (w *writer) another(s *story) *story {
	return &story{n: s.n, person: w.crowd.next(), channel: domain.ChannelWeb, plan: s.plan, props: s.props}
}

// application begins an application with a house, a vehicle and a proof of its
// own.
func (w *writer) application(s *story, kind domain.Kind, months int) *application {
	return w.applicationAt(s, w.places.house(), kind, months)
}

func (w *writer) applicationAt(s *story, at house, kind domain.Kind, months int) *application {
	proofs := []domain.EvidenceKind{domain.EvidenceUtilityBill, domain.EvidenceBankStatement, domain.EvidenceTenancy,
		domain.EvidenceCompletion, domain.EvidenceSolicitor}
	switch kind {
	case domain.KindTemporaryResident:
		proofs = []domain.EvidenceKind{domain.EvidenceTenancy}
	case domain.KindStudent:
		proofs = proofs[1:3]
	}
	a := &application{kind: kind, months: months, home: at, vehicle: w.crowd.mark(),
		proof: proofs[(s.n+len(s.applications))%len(proofs)], proofAge: s.between(3, 60)}
	s.applications = append(s.applications, a)
	return a
}

// product is something that the council sells.
type product struct {
	kind   domain.Kind
	months int
}

var (
	oneYear   = product{domain.KindResident, 12}
	shortTerm = []product{{domain.KindTemporaryResident, 3}, {domain.KindStudent, 3}, {domain.KindTemporaryResident, 6},
		{domain.KindStudent, 6}, {domain.KindMotorcycle, 6}}
	products = append([]product{oneYear, {domain.KindDisabledResident, 12}, {domain.KindMotorcycle, 12},
		{domain.KindTemporaryResident, 12}, {domain.KindStudent, 12}}, shortTerm...)
)

// any is a product as it is sold: half of them are residents' permits.
func (s *story) any() product {
	if s.chance(2) {
		return oneYear
	}
	return products[s.plan.IntN(len(products))]
}

// day is a workday between two numbers of days before the end of the history.
// In September and March, when people move, it is likelier.
func (w *writer) day(s *story, most, least int) int {
	most = min(most, w.from.DaysUntil(w.to)-5)
	for try := 1; ; try++ {
		d := w.to.AddDays(-s.between(min(least, most), most))
		if d.Month == time.September || d.Month == time.March || try == 4 || s.chance(3) {
			return w.on(d)
		}
	}
}

// on is the first workday on or after a day, or else the last one.
func (w *writer) on(d domain.Date) int {
	if i, ok := w.days.on(d); ok {
		return i
	}
	return len(w.days) - 1
}

// pair is a workday between two numbers of days before the end with another
// one while a hold lives.
func (w *writer) pair(s *story, most, least int) int {
	i := w.day(s, most, least)
	for i > 0 && !w.days.close(i) {
		i--
	}
	return i
}

// enter plans an application for the morning of a workday.
func (w *writer) enter(s *story, a *application, i int) *step {
	a.first = w.days[i].date
	if a.startsIn > 0 {
		a.startsOn = a.first.AddDays(a.startsIn)
	}
	if !a.startsOn.IsZero() {
		a.first = a.startsOn
	}
	return s.in(w.days[i].morning, "apply", apply(a))
}

// given plans an application and its approval, on the same workday or the
// next, and gives the workday of the approval.
func (w *writer) given(s *story, a *application, i int, conditions ...string) int {
	w.enter(s, a, i)
	if w.days.close(i) && s.chance(3) {
		i++
	}
	w.approved(s, a, i, conditions...)
	return i
}

func (w *writer) approved(s *story, a *application, i int, conditions ...string) {
	s.in(w.days[i].afternoon, "approve", approve(a, conditions...))
	a.begin(w.days[i].date)
}

// approvedAt plans an approval to an instant.
func (w *writer) approvedAt(s *story, a *application, at time.Time) {
	s.at(at, "approve", approve(a))
	a.begin(domain.DateOf(at))
}

// after is a workday some days after another one.
func (w *writer) after(s *story, i, least, most int) int {
	return w.on(w.days[i].date.AddDays(s.between(least, most)))
}
