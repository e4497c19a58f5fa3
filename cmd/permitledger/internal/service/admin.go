package service

import (
	"context"
	"net/http"

	"permitledger/cmd/permitledger/internal/admin"
	"permitledger/cmd/permitledger/internal/backup"
)

// adminRoutes is all that the running service does for sub-commands.
func (s *Service) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+backup.Route, admin.Handle(func(ctx context.Context, in backup.Request) (any, error) { return s.Backup(ctx, in.Dir) }))
	s.readModelRoutes(mux)
	return mux
}

// openAdmin listens for sub-commands. The lock on the keep folder is held.
func (s *Service) openAdmin(context.Context) error {
	stop, err := admin.Serve(s.cfg.Data, s.adminRoutes(), s.cfg.Logger)
	if err == nil {
		s.onClose(stop)
	}
	return err
}
