package audit

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
)

// purse is the summary of a payment's own stream.
type purse struct {
	line
	made  int32
	first attempt
	more  *[]attempt // from the second attempt on, which few payments have
}

// attempt is one try at the provider.
type attempt struct {
	holdEnds                  int64 // in microseconds; 0 = there was no hold
	asked, captured, refunded int32 // pence
	over                      bool  // declined, given back or lapsed by the provider's word
}

// open reports whether an attempt may still lead to money or has: then nobody
// may be asked to pay again.
func (a attempt) open(at time.Time) bool {
	switch {
	case a.captured > 0:
		return a.refunded < a.captured
	case a.over:
		return false
	case a.holdEnds > 0:
		return at.UnixMicro() < a.holdEnds
	}
	return true
}

func (p *purse) check(f *finder, e payment.Event) {
	switch e := e.(type) {
	case payment.PaymentRequested:
		p.request(f, e)
	case payment.PaymentAwaited:
		p.of(f, e.Attempt)
	case payment.PaymentAuthorised:
		if a := p.of(f, e.Attempt); a != nil {
			f.expect(a.holdEnds == 0, RuleMoney, "attempt %d was authorised twice", e.Attempt)
			a.holdEnds = e.HoldEndsAt.UnixMicro()
		}
	case payment.PaymentCaptured:
		p.capture(f, e)
	case payment.PaymentReleased:
		p.end(f, e.Attempt, "given back")
	case payment.PaymentLapsed:
		p.end(f, e.Attempt, "lapsed")
	case payment.PaymentFailed:
		if a := p.of(f, e.Attempt); a != nil {
			f.expect(a.captured == 0, RuleMoney, "attempt %d failed after its money was taken", e.Attempt)
			a.over = true
		}
	case payment.PaymentRefunded:
		if a := p.of(f, e.Attempt); a != nil {
			f.expect(e.Amount > 0, RuleMoney, "%s was given back", e.Amount)
			a.refunded += int32(e.Amount)
			f.expect(a.refunded <= a.captured, RuleMoney, "%s was given back of %s that attempt %d took", domain.Pence(a.refunded), domain.Pence(a.captured), e.Attempt)
		}
	}
}

func (p *purse) request(f *finder, e payment.PaymentRequested) {
	permit, term, _ := payment.ParseStream(f.Stream)
	f.expect(e.Permit == permit && e.Term == term, RuleContent, "it names another permit or term than its stream")
	f.expect(e.Attempt == int(p.made)+1, RuleMoney, "attempt %d stands where %d was to come", e.Attempt, p.made+1)
	f.expect(e.Reference == payment.Reference(permit, term, e.Attempt), RuleContent, "its reference is that of another attempt")
	f.expect(e.Amount > 0, RuleMoney, "%s was asked for", e.Amount)
	f.expect((e.Mode == payment.ModeHold) == (term == 1), RuleMoney, "term %d is paid for in the mode %q", term, e.Mode)
	for n := 1; n <= int(p.made); n++ {
		f.expect(!p.attempt(n).open(f.Meta.At), RuleMoney, "the money was asked for again although attempt %d holds or has it", n)
	}
	p.made++
	if p.made > 1 {
		if p.more == nil {
			p.more = new([]attempt)
		}
		*p.more = append(*p.more, attempt{})
	}
	p.attempt(int(p.made)).asked = int32(e.Amount)
}

func (p *purse) capture(f *finder, e payment.PaymentCaptured) {
	a := p.of(f, e.Attempt)
	if a == nil {
		return
	}
	f.expect(a.captured == 0, RuleMoney, "the money of attempt %d was taken twice", e.Attempt)
	f.expect(e.Amount > 0 && e.Amount <= domain.Pence(a.asked), RuleMoney, "%s was taken of %s that was asked for", e.Amount, domain.Pence(a.asked))
	a.captured += int32(e.Amount)
}

func (p *purse) end(f *finder, number int, how string) {
	if a := p.of(f, number); a != nil {
		f.expect(a.captured == 0, RuleMoney, "attempt %d %s after its money was taken", number, how)
		a.over = true
	}
}

// of finds an attempt; nil, and told, when it was never made.
func (p *purse) of(f *finder, number int) *attempt {
	if number < 1 || number > int(p.made) {
		f.wrong(RuleMoney, "attempt %d was never made", number)
		return nil
	}
	return p.attempt(number)
}

// attempt gives one that was made, by its number.
func (p *purse) attempt(number int) *attempt {
	if number == 1 {
		return &p.first
	}
	return &(*p.more)[number-2]
}
