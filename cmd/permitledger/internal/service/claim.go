package service

import (
	"context"
	"errors"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/cmd/permitledger/internal/outbox"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/domain"
	"permitledger/eventstore"
)

// sentWait is how long a service that has lost its claim waits for the answers
// to its last requests.
const sentWait = 5 * time.Second

// requestWait is how long other requests may take when the service stops. With
// what comes after them a stop takes less than 10 seconds.
const requestWait = 3 * time.Second

// claimStore claims an event store of its own, so that no second service writes
// there. With the embedded node the lock of keep has the same effect.
func (s *Service) claimStore(ctx context.Context) (err error) {
	if s.cfg.EventStore == "" {
		return nil
	}
	s.claim, err = s.Ledger.Store().Claim(ctx, eventstore.ClaimConfig{Home: s.vault.Home(), Version: s.cfg.Version, Scale: s.cfg.ClaimScale})
	if err != nil {
		return err
	}
	s.onClose(func() error {
		if s.unanswered { // requests are still at work: another service must wait
			s.claim.Abandon()
		} else {
			s.claim.Release()
		}
		return nil
	})
	s.vault.GuardKeys(s.claim.Held)
	return nil
}

// watchClaim ends the service when it has lost its claim.
func (s *Service) watchClaim() error {
	select {
	case <-s.runCtx.Done():
		return nil
	case <-s.claim.Lost():
	}
	err := s.claim.Err()
	if !errors.Is(err, eventstore.ErrClaimGone) {
		return err
	}
	// A server that was restored from an older backup has lost the claim, too. The
	// service then stays, to show the log as it is and to name the lost events,
	// until the log is whole again.
	for {
		whole := s.LogWhole(s.runCtx)
		if _, setBack := errors.AsType[*known.SetBackError](whole); setBack {
			_, whole = s.whole.Pass(s.runCtx)
		}
		switch {
		case whole == nil:
			return err
		case s.runCtx.Err() != nil:
			return nil
		}
		select { // the look could not be finished
		case <-time.After(time.Second):
		case <-s.runCtx.Done():
			return nil
		}
	}
}

// stopWait is how long requests that are under way may take when the service
// stops.
func (s *Service) stopWait() time.Duration {
	if s.claim != nil && s.claim.Err() != nil {
		return sentWait
	}
	return requestWait
}

// claimed makes the payment provider and the mail wait until the claim on the
// event store is confirmed, before each call.
func (s *Service) claimed(gateway desk.Gateway, mailer desk.Mailer, provider reactors.Provider) (desk.Gateway, desk.Mailer, reactors.Provider) {
	if s.claim == nil {
		return gateway, mailer, provider
	}
	return claimedGateway{gateway, s.claim}, claimedMailer{mailer, s.claim}, claimedProvider{provider, s.claim}
}

type claimedGateway struct {
	gateway desk.Gateway
	claim   *eventstore.Claim
}

// Request confirms the claim first.
func (g claimedGateway) Request(ctx context.Context, c payments.Charge) ([]payments.Message, error) {
	if err := g.claim.Confirm(ctx); err != nil {
		return nil, err
	}
	return g.gateway.Request(ctx, c)
}

// Capture confirms the claim first.
func (g claimedGateway) Capture(ctx context.Context, providerID string, at time.Time) ([]payments.Message, error) {
	if err := g.claim.Confirm(ctx); err != nil {
		return nil, err
	}
	return g.gateway.Capture(ctx, providerID, at)
}

// Release confirms the claim first.
func (g claimedGateway) Release(ctx context.Context, providerID string, at time.Time) ([]payments.Message, error) {
	if err := g.claim.Confirm(ctx); err != nil {
		return nil, err
	}
	return g.gateway.Release(ctx, providerID, at)
}

// Refund confirms the claim first.
func (g claimedGateway) Refund(ctx context.Context, providerID string, amount domain.Pence, at time.Time) ([]payments.Message, error) {
	if err := g.claim.Confirm(ctx); err != nil {
		return nil, err
	}
	return g.gateway.Refund(ctx, providerID, amount, at)
}

type claimedMailer struct {
	mailer desk.Mailer
	claim  *eventstore.Claim
}

// Send confirms the claim first.
func (m claimedMailer) Send(ctx context.Context, message outbox.Message) error {
	if err := m.claim.Confirm(ctx); err != nil {
		return err
	}
	return m.mailer.Send(ctx, message)
}

// claimedProvider leaves NextDue alone: it asks nobody to do anything.
type claimedProvider struct {
	reactors.Provider
	claim *eventstore.Claim
}

// Deliver confirms the claim first.
func (p claimedProvider) Deliver(ctx context.Context, upTo time.Time) ([]payments.Message, error) {
	if err := p.claim.Confirm(ctx); err != nil {
		return nil, err
	}
	return p.Provider.Deliver(ctx, upTo)
}

// Delivered confirms the claim first.
func (p claimedProvider) Delivered(ctx context.Context, ids ...string) error {
	if err := p.claim.Confirm(ctx); err != nil {
		return err
	}
	return p.Provider.Delivered(ctx, ids...)
}

// Instruct confirms the claim first.
func (p claimedProvider) Instruct(ctx context.Context, command string, account domain.AccountID, next []string) error {
	if err := p.claim.Confirm(ctx); err != nil {
		return err
	}
	return p.Provider.Instruct(ctx, command, account, next)
}
