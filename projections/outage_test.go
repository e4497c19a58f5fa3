package projections_test

import (
	"math/rand/v2"
	"testing"

	"permitledger/eventstore/faultproxy"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// However often the connection to the store breaks, and wherever, the rows are
// those of somebody to whom it never did.
func TestEveryModelOverABrokenConnectionIsEqual(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 5))
		n := startNode(t)
		proxy := faultproxy.New(t, n.Addr())
		log := projectiontest.Start(t, n.ConnectionString())
		through := projectiontest.Start(t, "esdb://"+proxy.Addr()+"?tls=false&discoveryInterval=10")
		town := projectiontest.NewTown(t, log, seed)
		for range 80 {
			town.Step()
		}
		live := projectiontest.Run(t, projections.Config{Ledger: through.Ledger}, models()...)
		kinds := []faultproxy.Kind{faultproxy.SubscribeAll, faultproxy.SubscribeAll, faultproxy.Any}
		for range 60 {
			if random.IntN(2) == 0 {
				points := faultproxy.Points()
				proxy.Arm(faultproxy.Fault{Kind: kinds[random.IntN(len(kinds))], At: points[random.IntN(len(points))], Harm: faultproxy.Cut})
			}
			switch random.IntN(4) {
			case 0:
				proxy.Do(faultproxy.Cut)
			case 1:
				proxy.Do(faultproxy.Reset)
			case 2:
				proxy.Down()
				town.Step()
				proxy.Up()
			}
			for range random.IntN(4) {
				town.Step()
			}
		}
		live.Wait(t, town.Last)
		compare(t, "followed over a broken connection", live.Dumps(t), projectiontest.Build(t, log.Ledger, models()...))
		live.Stop(t)
	}
}
