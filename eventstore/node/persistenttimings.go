package node

import (
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
)

// percentiles are those of the extra statistics, in tenths of a per cent.
var percentiles = []struct {
	name  string
	tenth int
}{
	{"Quintile 1", 0}, {"Quintile 2", 200}, {"Quintile 3", 400}, {"Quintile 4", 600}, {"Quintile 5", 800},
	{"90%", 900}, {"95%", 950}, {"99%", 990}, {"99.5%", 995}, {"99.9%", 999},
}

// measurements sums up how long a consumer took for its last answers, in whole
// milliseconds, under the names and by the rules of the original server. There
// are none without answers.
func measurements(took []time.Duration) []*persistent.SubscriptionInfo_Measurement {
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	var out []*persistent.SubscriptionInfo_Measurement
	add := func(key string, value int64) {
		out = append(out, &persistent.SubscriptionInfo_Measurement{Key: key, Value: value})
	}
	sum := int64(0)
	for _, t := range took {
		sum += t.Milliseconds()
	}
	add("Mean", sum/int64(len(took)))
	add("Median", took[len(took)/2].Milliseconds())
	add("Fastest", took[0].Milliseconds())
	for _, p := range percentiles {
		add(p.name, took[len(took)*p.tenth/1000].Milliseconds())
	}
	add("Highest", took[len(took)-1].Milliseconds())
	return out
}
