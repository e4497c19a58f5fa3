package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// The admin channel is how a sub-command has the running service do what only
// it can: HTTP on a unix socket in the data folder. Whoever may connect to it
// owns the data folder, so it asks for no token, and it is not part of the API.

// ErrNotRunning is returned by Ask when no service runs on the folder.
var ErrNotRunning = errors.New("no service runs on this folder")

// adminStop is how long a request under way may take to notice the end.
const adminStop = 5 * time.Second

// adminRoutes is all that the running service does for sub-commands.
func (s *Service) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", admin(func(ctx context.Context, in BackupRequest) (any, error) { return s.Backup(ctx, in.Dir) }))
	s.readModelRoutes(mux)
	return mux
}

// BackupRequest asks the running service for a backup: POST /backup.
type BackupRequest struct {
	Dir string `json:"dir"` // absolute
}

// openAdmin listens for sub-commands. The lock on the keep folder is held, so
// that a socket which is there was left behind.
func (s *Service) openAdmin(context.Context) error {
	path := filepath.Join(s.cfg.Data, folder.AdminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: s.adminRoutes(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("admin socket", "error", err)
		}
	}()
	s.onClose(func() error {
		cancel() // what is under way is broken off: it can be asked again
		defer func() { <-ended }()
		stop, done := context.WithTimeout(context.Background(), adminStop)
		defer done()
		return server.Shutdown(stop)
	})
	return nil
}

// admin makes a handler of a function from one JSON document to another.
func admin[In any](do func(context.Context, In) (any, error)) http.HandlerFunc {
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

// Ask has the service that runs on a data folder do something, and reads its
// answer into out. ErrNotRunning says that none does.
func Ask(ctx context.Context, data, path string, in, out any) error {
	socket := filepath.Join(data, folder.AdminSocket)
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
		return fmt.Errorf("%s: %w", data, ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("ask the running service: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		message, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		return errors.Join(errors.New(string(message)), err)
	}
	return json.NewDecoder(res.Body).Decode(out)
}
