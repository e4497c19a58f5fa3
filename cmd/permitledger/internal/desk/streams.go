package desk

import (
	"errors"

	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// The aggregates, as the event store folds them.
var (
	permits    = aggregate(permit.Evolve)
	accounts   = aggregate(account.Evolve)
	properties = aggregate(property.Evolve)
	moneys     = aggregate(payment.Evolve)
	notices    = aggregate(notice.Evolve)
	published  = aggregate(policy.Evolve)
	reads      = aggregate(func(s struct{}, _ access.Event, _ domain.Meta) struct{} { return s })
	demos      = aggregate(func(s struct{}, _ ledger.Event, _ domain.Meta) struct{} { return s })
)

func aggregate[S any, E domain.Event](evolve func(S, E, domain.Meta) S) eventstore.Aggregate[S, E] {
	return eventstore.Aggregate[S, E]{Evolve: func(s S, e E, env eventstore.Envelope) S {
		return evolve(s, e, env.Meta())
	}}
}

// asNotFound turns the event store's and the documents' ways of saying "not
// there" into the desk's.
func asNotFound(err error) error {
	if errors.Is(err, eventstore.ErrNoStream) || errors.Is(err, documents.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
