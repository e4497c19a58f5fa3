package permit

import (
	"testing"

	"permitledger/domain"
)

func TestRefundFrom(t *testing.T) {
	s := State{Terms: []Term{{Term: 1, Price: 5000}, {Term: 2, Price: 5500}}}
	if got := s.RefundFrom(2); got != 0 {
		t.Errorf("a permit that was not cancelled gives back %s", got)
	}
	for _, c := range []struct{ refund, first, second domain.Pence }{
		{0, 0, 0}, {1291, 0, 1291}, {5500, 0, 5500}, {6000, 500, 5500},
	} {
		s.Cancellation = &Cancellation{Refund: c.refund}
		if first, second := s.RefundFrom(1), s.RefundFrom(2); first != c.first || second != c.second {
			t.Errorf("of %s the terms give back %s and %s, want %s and %s", c.refund, first, second, c.first, c.second)
		}
	}
}
