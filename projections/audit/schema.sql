-- Instants are microseconds since 1970.
CREATE TABLE events (
	ledger      INTEGER PRIMARY KEY,
	position    INTEGER NOT NULL,
	event_id    TEXT    NOT NULL UNIQUE,
	category    TEXT    NOT NULL, -- of the stream: what stands before its first hyphen
	stream      TEXT    NOT NULL,
	revision    INTEGER NOT NULL,
	type        TEXT    NOT NULL,
	recorded_at INTEGER NOT NULL,
	clock       INTEGER NOT NULL, -- the knowledge clock; never falls
	permit_id   TEXT,
	account_id  TEXT,
	actor       TEXT    NOT NULL,
	actor_role  TEXT    NOT NULL,
	UNIQUE (stream, revision)
) STRICT;
CREATE INDEX events_permit  ON events (permit_id, ledger) WHERE permit_id IS NOT NULL;
CREATE INDEX events_account ON events (account_id, ledger) WHERE account_id IS NOT NULL;
CREATE INDEX events_clock   ON events (clock, ledger);
CREATE INDEX events_type    ON events (type, ledger);
