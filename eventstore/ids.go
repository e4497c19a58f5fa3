package eventstore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/google/uuid"

	"permitledger/domain"
)

// namespace is the UUIDv5 namespace of all ids derived here. It is part of
// the stored format: with another one a repeated command would not be known.
var namespace = uuid.MustParse("6f0f6f5e-6b3c-5f2b-9f0e-2d1f9a7c4e55")

// keyed is an HMAC over parts, each with its length before it, so that no two
// different lists of parts are the same bytes. The label keeps the uses apart.
func keyed(pepper []byte, label string, parts ...string) []byte {
	mac := hmac.New(sha256.New, pepper)
	for _, p := range append([]string{label}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		mac.Write(n[:])
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// CommandID derives the id of a command from who sends it, what it is sent to
// and the sender's idempotency key. path is the concrete path without query.
// The pepper keeps a reader of the log from guessing any of them.
func CommandID(pepper []byte, subject, method, path, key string) domain.CommandID {
	var id uuid.UUID
	copy(id[:], keyed(pepper, "command", subject, method, path, key))
	id[6] = id[6]&0x0f | 0x80 // version 8: made by a rule of our own
	id[8] = id[8]&0x3f | 0x80
	return domain.CommandID(id.String())
}

// BodyHash is the keyed hash of a request's canonical body.
func BodyHash(pepper, canonicalBody []byte) string {
	return base64.RawURLEncoding.EncodeToString(keyed(pepper, "body", string(canonicalBody)))
}

// DerivedID is the id of something that a command makes, or of a command that
// follows from an event: the same for the same command and the same what.
func DerivedID(command domain.CommandID, what string) string {
	return uuid.NewSHA1(namespace, []byte("derived\n"+string(command)+"\n"+what)).String()
}

// eventID is the id of the n-th event that a command adds to a stream. A
// command that is sent again makes the same ids, by which the server knows a
// batch that it has already written.
func eventID(stream string, command domain.CommandID, n int) uuid.UUID {
	return uuid.NewSHA1(namespace, []byte("event\n"+stream+"\n"+string(command)+"\n"+strconv.Itoa(n)))
}
