package due

import (
	"context"
	"time"
)

// Until lists what is due now or falls due up to a later instant, the earliest
// first, and at most so many. What has expired by now is left out; what will
// have expired by the later instant is not: on the way there its time comes.
func (r Reader) Until(ctx context.Context, now, until time.Time, limit int) ([]Item, error) {
	return r.items(ctx, now, until, Item{}, limit)
}
