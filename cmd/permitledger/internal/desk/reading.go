package desk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"permitledger/domain"
)

// Offers lists the properties at a postcode, and at a house when one is
// given, with the slots that are free at each by the taking rule.
func (d *Desk) Offers(ctx context.Context, postcode, house string) ([]Offer, error) {
	at := d.Now()
	today := domain.DateOf(at)
	rules, err := d.rulesOn(today)
	if err != nil {
		return nil, err
	}
	var offers []Offer
	for _, row := range d.Book().Find(postcode, house, today) {
		o := Offer{Property: placeOf(row), Zone: row.Zone}
		if row.Zone != "" {
			if o.SlotsFree, err = d.slotsFree(ctx, row.UPRN, rules.Rules, at); err != nil {
				return nil, err
			}
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// OwnerKey is the name under which read models keep whose account it is: a
// keyed hash of the sign-in subject.
func OwnerKey(pepper []byte, subject string) string {
	return keyedHash(pepper, "owner", subject)
}

// keyedHash names something guessable without telling what it is. The label
// keeps names of different sorts apart.
func keyedHash(pepper []byte, label, name string) string {
	mac := hmac.New(sha256.New, pepper)
	mac.Write([]byte(label + "\n" + name))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
