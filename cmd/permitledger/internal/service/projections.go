package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"

	"permitledger/cmd/permitledger/internal/admin"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
	"permitledger/projections"
)

// ReadModels is what can be done with the read models of a data folder: by the
// service that runs on it, or by the folder's own files where none runs.
type ReadModels interface {
	// List tells how each is.
	List(context.Context) ([]api.ReadModel, error)
	// Rebuild begins to make one again, or joins a rebuild under way. List
	// tells how it ends.
	Rebuild(ctx context.Context, name string) error
	// Verify compares one with what the log makes of it, and says what stands
	// in the columns that differ only where values are wanted.
	Verify(ctx context.Context, name string, values bool) (projections.Verification, error)
	// Close lets go of the folder. A rebuild by the service goes on.
	Close() error
}

// readModelRequest asks the running service about one read model.
type readModelRequest struct {
	Name   string `json:"name,omitempty"`
	Values bool   `json:"values,omitempty"`
}

// readModelRoutes is what the running service does with its read models for
// sub-commands. Values of rows may be personal: they are told on the socket in
// the data folder, whose owner can read the files anyway, and nowhere else.
func (s *Service) readModelRoutes(mux *http.ServeMux) {
	models := kept{runner: s.Runner}
	mux.HandleFunc("POST /projections/list", admin.Handle(func(ctx context.Context, _ readModelRequest) (any, error) { return models.List(ctx) }))
	mux.HandleFunc("POST /projections/rebuild", admin.Handle(func(ctx context.Context, in readModelRequest) (any, error) {
		return struct{}{}, models.Rebuild(ctx, in.Name)
	}))
	mux.HandleFunc("POST /projections/verify", admin.Handle(func(ctx context.Context, in readModelRequest) (any, error) {
		return models.Verify(ctx, in.Name, in.Values)
	}))
}

// asked is the read models of a folder on which a service runs.
type asked struct{ data string }

func (a asked) List(ctx context.Context) (items []api.ReadModel, err error) {
	err = admin.Ask(ctx, a.data, "/projections/list", readModelRequest{}, &items)
	return items, err
}

func (a asked) Rebuild(ctx context.Context, name string) error {
	return admin.Ask(ctx, a.data, "/projections/rebuild", readModelRequest{Name: name}, &struct{}{})
}

func (a asked) Verify(ctx context.Context, name string, values bool) (v projections.Verification, err error) {
	err = admin.Ask(ctx, a.data, "/projections/verify", readModelRequest{Name: name, Values: values}, &v)
	return v, err
}

func (asked) Close() error { return nil }

// kept is the read models that this process keeps.
type kept struct {
	runner  *projections.Runner
	closers []func() error // undone last to first
}

func (k kept) List(context.Context) ([]api.ReadModel, error) {
	var items []api.ReadModel
	for _, p := range k.runner.Projections() {
		items = append(items, api.ReadModelOf(p.Status()))
	}
	return items, nil
}

func (k kept) Rebuild(_ context.Context, name string) error {
	p, err := k.named(name)
	if err == nil {
		_, err = p.Rebuild()
	}
	return err
}

func (k kept) Verify(ctx context.Context, name string, values bool) (projections.Verification, error) {
	p, err := k.named(name)
	if err != nil {
		return projections.Verification{}, err
	}
	return p.Verify(ctx, values)
}

func (k kept) named(name string) (*projections.Projection, error) {
	if p := k.runner.Projection(name); p != nil {
		return p, nil
	}
	var names []string
	for _, p := range k.runner.Projections() {
		names = append(names, p.Name())
	}
	return nil, fmt.Errorf("there is no read model %q; there are %s", name, strings.Join(names, ", "))
}

func (k kept) Close() error {
	var errs []error
	for i := len(k.closers) - 1; i >= 0; i-- {
		errs = append(errs, k.closers[i]())
	}
	return errors.Join(errs...)
}

// OpenReadModels reaches the read models of a data folder: through the service
// that runs there, or, when none does, by opening the folder, which keeps one
// from starting meanwhile, and following the log until Close. eventStore is the
// connection string of a log that is not in the folder.
func OpenReadModels(ctx context.Context, data, eventStore string, logger *slog.Logger) (ReadModels, error) {
	running := asked{data}
	if _, err := running.List(ctx); !errors.Is(err, admin.ErrNotRunning) {
		return running, err
	}
	if err := folder.Check(data); err != nil {
		return nil, err
	}
	k := kept{}
	err := k.open(ctx, data, eventStore, logger)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- k.runner.Run(following) }()
	k.closers = append(k.closers, func() error { stop(); return <-ended })
	return k, nil
}

func (k *kept) open(ctx context.Context, data, eventStore string, logger *slog.Logger) error {
	keys, err := vault.Open(filepath.Join(data, folder.Keep))
	if err != nil {
		return err
	}
	k.closers = append(k.closers, keys.Close)
	conn := eventstore.Config{ConnectionString: eventStore, Logger: logger}
	if eventStore == "" {
		if err := CheckLogKept(data); err != nil {
			return err
		}
		n, err := node.Open(ctx, node.Options{Dir: filepath.Join(data, folder.Log), Socket: Socket(data),
			Protect: eventstore.IsLedgerStream, Logger: logger})
		if err != nil {
			return fmt.Errorf("start the embedded node: %w", err)
		}
		k.closers = append(k.closers, n.Close)
		conn.ConnectionString, conn.Socket = n.ConnectionString(), n.Socket()
	}
	store, err := eventstore.Connect(conn)
	if err != nil {
		return err
	}
	k.closers = append(k.closers, store.Close)
	ledger := eventstore.NewLedger(store, eventstore.NewCodec(keys))
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	if head == 0 {
		return cmp.Or(CheckLogThere(ctx, store, data), errors.New("the log is empty: start the service first"))
	}
	// It claims nothing, so it writes nothing.
	if _, err := eventstore.CheckVault(ctx, ledger, keys.ID()); err != nil {
		return err
	}
	seen, watch, err := k.watchLog(ctx, data, store, eventStore == "", logger)
	if err != nil {
		return err
	}
	if err := seen.dropLost(ctx, watch, logger); err != nil {
		return err
	}
	k.runner, err = projections.Open(ctx, projections.Config{
		Dir: filepath.Join(data, folder.Projections), Ledger: ledger, Logger: logger, Gate: watch,
	}, models(func(subject string) string { return desk.OwnerKey(keys.Pepper(), subject) }, eventStore)...)
	if err != nil {
		return err
	}
	seen.models.Store(k.runner)
	k.closers = append(k.closers, k.runner.Close)
	return nil
}
