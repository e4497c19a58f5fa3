package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"

	"permitledger/eventstore"
)

// claimScaleVariable shortens the times of the claim on an event store, for
// tests. All processes on one store must have the same.
const claimScaleVariable = "PERMITLEDGER_CLAIM_SCALE"

func claimScale() (float64, error) {
	scale, err := strconv.ParseFloat(cmp.Or(os.Getenv(claimScaleVariable), "1"), 64)
	if err != nil || scale <= 0 || scale > 1 {
		return 0, fmt.Errorf("%s: %q is not a number above 0 and at most 1", claimScaleVariable, os.Getenv(claimScaleVariable))
	}
	return scale, nil
}

// askHolder asks the service that has claimed an event store whether it lives,
// for a command that writes there and claims nothing.
func askHolder(p *program, store *eventstore.Store) error {
	scale, err := claimScale()
	if err != nil {
		return err
	}
	return store.AskHolder(p.ctx, eventstore.ClaimConfig{Version: release, Scale: scale})
}
