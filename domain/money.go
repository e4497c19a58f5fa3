package domain

import "fmt"

// Pence is an amount of money in pounds sterling, counted in pence. There are
// no fractions of a penny anywhere in the ledger.
type Pence int64

// String writes the amount in pounds: £55.00.
func (p Pence) String() string {
	sign, amount := "", uint64(p)
	if p < 0 {
		sign, amount = "-", -amount // also right for the smallest number there is
	}
	return fmt.Sprintf("%s£%d.%02d", sign, amount/100, amount%100)
}
