package demo

import (
	"time"

	"permitledger/domain"
)

// queued are the applications that wait for a reviewer when the history ends,
// each at another distance from the end of its hold of 120 hours.
func queued() []plot {
	hours := func(n int) func(*writer, *story) { return waiting(time.Duration(n) * time.Hour) }
	return []plot{
		{"in the queue: its hold ends within 24 hours", 1, 0, false, hours(101)},
		{"in the queue: its hold ends within 48 hours", 1, 0, false, hours(78)},
		{"in the queue: its hold has lapsed", 1, 0, false, hours(130)},
		{"in the queue: free", 1, 0, false, waitingFree},
		{"in the queue: its payment was declined", 1, 0, true, waitingUnpaid},
		{"in the queue: the provider has not decided about its payment", 1, 0, true, waitingForProvider},
		{"in the queue: came in this hour", 1, 0, false, waiting(25 * time.Minute)},
		{"in the queue: the resident was asked for information", 1, 0, false, waitingForAnswer},
		{"in the queue: the same vehicle has a permit in the zone", 1, 0, false, waitingNeighbor},
		{"in the queue: follows a rejection", 2, 0, false, waitingFollower},
		{"", 1, 0, false, hours(90)},
		{"", 1, 0, false, hours(200)},
		{"", 1, 0, false, hours(20)},
	}
}

// wait plans an application so long before the end of the history, or up to
// half an hour longer.
func (w *writer) wait(s *story, a *application, before time.Duration) *step {
	if before > time.Hour {
		before += time.Duration(s.plan.IntN(30*60)) * time.Second
	}
	return s.at(w.cfg.Until.Add(-before), "apply", apply(a))
}

func waiting(before time.Duration) func(*writer, *story) {
	return func(w *writer, s *story) {
		w.wait(s, w.application(s, oneYear.kind, oneYear.months), before)
	}
}

func waitingFree(w *writer, s *story) {
	w.wait(s, w.application(s, domain.KindDisabledResident, 12), 50*time.Hour)
}

func waitingUnpaid(w *writer, s *story) {
	a := w.application(s, domain.KindStudent, 12)
	a.provider = []string{declines}
	w.wait(s, a, 45*time.Minute)
}

func waitingForProvider(w *writer, s *story) {
	a := w.application(s, domain.KindMotorcycle, 12)
	a.provider = []string{decides}
	w.wait(s, a, 20*time.Minute)
}

func waitingForAnswer(w *writer, s *story) {
	a := w.application(s, domain.KindTemporaryResident, 6)
	w.wait(s, a, 112*time.Hour)
	s.at(w.cfg.Until.Add(-66*time.Hour), "ask for information", ask(a, questions[0]))
}

func waitingNeighbor(w *writer, s *story) {
	zone := w.places.zones[0]
	if w.neighbor != nil {
		zone = w.neighbor.home.zone
	}
	a := w.applicationAt(s, w.places.houseIn(zone), oneYear.kind, oneYear.months)
	if w.neighbor != nil {
		a.vehicle = w.neighbor.vehicle
	}
	w.wait(s, a, 60*time.Hour)
}

func waitingFollower(w *writer, s *story) {
	a := w.application(s, oneYear.kind, oneYear.months)
	w.turnedDown(s, a, w.day(s, 40, 30), rejections[0])
	b := w.applicationAt(s, a.home, a.kind, a.months)
	b.vehicle, b.follows = a.vehicle, a
	w.wait(s, b, 30*time.Hour)
}
