// Package admin is how a sub-command has the process that holds a folder do
// what only that one can: HTTP on a unix socket in the folder. Whoever may
// connect to it owns the folder, so it asks for no token, and it is no part of
// the API.
//
// Begin reading at Serve, which the process that holds the folder calls, and
// Ask, which is called by the others.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// ErrNotRunning is returned by Ask when nothing runs on the folder.
var ErrNotRunning = errors.New("nothing runs on this folder")

// stopTime is how long a request under way may take to notice the end.
const stopTime = time.Second

// Serve listens in a folder that this process holds by a lock, so that a socket
// which is there was left behind. stop breaks off what is under way: it can be
// asked again.
func Serve(dir string, routes http.Handler, logger *slog.Logger) (stop func() error, err error) {
	path := filepath.Join(dir, folder.AdminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), l.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("admin socket", "error", err)
		}
	}()
	return func() error {
		cancel()
		defer func() { <-ended }()
		_, err := Stop(server, stopTime, logger)
		return err
	}, nil
}

// Stop ends an HTTP server. It takes no more requests, lets those under way
// finish for a while, and then breaks off the rest, whatever their peers do.
// whole reports that there was nothing to break off.
func Stop(server *http.Server, within time.Duration, logger *slog.Logger) (whole bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err = server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err == nil, err
	}
	logger.Warn("requests or connections that did not end in time were broken off", "after", within)
	return false, server.Close()
}

// Handle makes a handler of a function from one JSON document to another.
func Handle[In any](do func(context.Context, In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := json.NewDecoder(r.Body).Decode(&in)
		var out any
		if err == nil {
			out, err = do(r.Context(), in)
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, err.Error()) // whoever asked may have gone
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	}
}

// Ask has the process that runs on a folder do something, and reads its answer
// into out. ErrNotRunning says that none does.
func Ask(ctx context.Context, dir, path string, in, out any) error {
	socket := filepath.Join(dir, folder.AdminSocket)
	var dialer net.Dialer
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("ask the process that runs on %s: %w", dir, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		message, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		return errors.Join(errors.New(string(message)), err)
	}
	return json.NewDecoder(res.Body).Decode(out)
}
