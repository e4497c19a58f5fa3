package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"permitledger/cmd/permitledger/internal/api"
)

// viewRate is how many account views are asked for each second.
const viewRate = 500

// accountView asks for the permits of one account after the other at a fixed
// rate, beside a handler that does nothing, in a server of the same make in the
// same process.
func accountView(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.seeded(ctx)
	if err != nil {
		return nil, err
	}
	if len(l.owners) == 0 {
		return nil, errors.New("the seeded ledger has no account with an owner; seed more permits")
	}
	empty, err := b.serveNothing()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: viewRate, MaxConnsPerHost: viewRate}
	b.onClose(func() error {
		transport.CloseIdleConnections()
		return nil
	})
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	asked := func(address string) side {
		return func(ctx context.Context) (run, error) {
			return steadily(ctx, viewRate, b.Duration, func(ctx context.Context, n int) error {
				o := l.owners[n%len(l.owners)]
				return ask(ctx, client, "http://"+address+"/api/v1/accounts/"+string(o.account)+"/permits", o.token)
			})
		}
	}
	return []pair{{variant: fmt.Sprintf("%d/s", viewRate), counts: "views", aim: aim{difference: 5 * time.Millisecond},
		ours: asked(l.Addr()), beside: asked(empty)}}, nil
}

// serveNothing serves a handler that answers at once with nothing.
func (b *bench) serveNothing() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := api.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	go func() { _ = server.Serve(l) }() // ends when it is closed
	b.onClose(server.Close)
	return l.Addr().String(), nil
}

func ask(ctx context.Context, client *http.Client, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("an account view was answered with %s", resp.Status))
	}
	return errors.Join(err, resp.Body.Close())
}
