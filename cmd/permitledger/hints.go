package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/transfer"
	"permitledger/eventstore/vault"
)

// hint is the next step for what only an operator can put right, where the
// error comes from so far below that it does not say so itself.
func hint(err error) string {
	switch {
	case diskFull(err):
		return "The disk is full. Free some space there and start again: whatever was acknowledged is safe."
	case errors.Is(err, eventstore.ErrClaimed), errors.Is(err, eventstore.ErrClaimTombstoned):
		return "" // they say what to do
	case errors.Is(err, eventstore.ErrClaimGone):
		return "See whether the event store was restored from a backup. Then start again: the next start claims it."
	case errors.Is(err, eventstore.ErrRefused):
		return "" // it names the right, and who gives it
	case errors.Is(err, eventstore.ErrUnavailable):
		return unreachable(err)
	case errors.Is(err, eventstore.ErrDamaged):
		return "The log is damaged there, and what was read up to there is sound. Restore a backup, and look after that disk."
	case errors.Is(err, vault.ErrLocked):
		return "A service runs on this folder already. Stop that one first, or give another --data."
	case errors.Is(err, node.ErrExposed), errors.Is(err, node.ErrPasswordsInClear):
		return "Give the node a certificate, its key and a users file (--tls-cert, --tls-key, --users; with serve --node-tls-cert, --node-tls-key, --node-users), or listen on 127.0.0.1. " +
			"If anyone who reaches the address may indeed read and write everything, say so: --insecure-anyone-may-write (with serve --node-insecure-anyone-may-write), without users."
	case errors.Is(err, transfer.ErrGap), errors.Is(err, transfer.ErrTombstone), errors.Is(err, transfer.ErrRevived):
		return "Such a log can only be moved as it is: with the backup of the server that holds it, restored under another."
	case errors.Is(err, transfer.ErrOrder):
		return "Remove the cause, then empty the event store or name another that is empty, and run the same command again. The source was not written to."
	case errors.Is(err, transfer.ErrDiffers):
		return "Name an event store that is empty, or the one in which an interrupted copy of this same source lies. " +
			"If this is the one, the copy was interrupted while several appends were under way: empty it and begin again."
	case errors.Is(err, syscall.EADDRINUSE):
		return "Another process has that address. Stop it, or choose another address: with --listen, and for the node within serve with --node-listen."
	case errors.Is(err, syscall.ENOTDIR):
		return "A file lies where a folder is wanted. Name another."
	case errors.Is(err, fs.ErrPermission):
		return "Run it as the user who owns these files, or give that user the right to read and write them."
	}
	return ""
}

// unreachable is what to do about a server that cannot be talked to. What went
// wrong within TLS has lost its type on the way.
func unreachable(err error) string {
	const next = "See that the event store runs, that --eventstore names it, and that this machine may reach it; then start again."
	switch said := err.Error(); {
	case strings.Contains(said, "x509:"):
		return "The server's certificate was not accepted. Name its authority in the connection string (tlsCaFile=/path/to/ca.pem), and the server by a name that stands in the certificate; see that it has not expired."
	case strings.Contains(said, "error reading server preface"):
		return next + " If it has a certificate, the connection string has to say tls=true."
	case strings.Contains(said, "first record does not look like a TLS handshake"):
		return "The server speaks no TLS: give it a certificate, or on this machine alone say tls=false in the connection string."
	}
	return next
}

// diskFull tells a full disk by whatever met it: the system, or SQLite.
func diskFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return true
		}
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code()&0xff == sqlite3.SQLITE_FULL ||
		// What went over gRPC has lost its type.
		err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error())
}
