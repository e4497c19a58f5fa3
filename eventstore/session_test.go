package eventstore

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Whoever has waited long for a connection has then as long for the answer as
// anybody: the connection is not at fault, and others use it.
func TestALongWaitIsNoFaultOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf, err := esdb.ParseConnectionString("esdb://127.0.0.1:1?tls=false")
		if err != nil {
			t.Fatal(err)
		}
		client, err := esdb.NewClient(conf)
		if err != nil {
			t.Fatal(err)
		}
		c := newConnector(conf, time.Second, slog.New(slog.DiscardHandler))
		c.dialing = make(chan struct{}) // by nobody but this test
		time.AfterFunc(900*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.current = &session{client: client, ended: make(chan struct{}), finished: make(chan struct{})}
			close(c.dialing)
		})
		answer, err := call(t.Context(), c, forEver, time.Second, func(ctx context.Context, _ *esdb.Client) (string, error) {
			_, _ = ctx.Deadline() // as the client asks
			time.Sleep(200 * time.Millisecond)
			return "here", ctx.Err()
		})
		if err != nil || answer != "here" {
			t.Errorf("the answer is %q, %v", answer, err)
		}
		if !c.connection().Up {
			t.Errorf("the connection was given up: %s", c.connection().Reason)
		}
		c.close(time.Second)
		synctest.Wait()
	})
}
