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
CREATE INDEX events_actor   ON events (actor, ledger);

-- The accounts that a search brought up: an event about more than one.
CREATE TABLE shown (
	account_id TEXT    NOT NULL,
	ledger     INTEGER NOT NULL,
	PRIMARY KEY (account_id, ledger)
) STRICT, WITHOUT ROWID;

-- What a permit's application says of it in clear, for the words of the later
-- events, which do not say it again.
CREATE TABLE permits (
	permit_id  TEXT NOT NULL PRIMARY KEY,
	account_id TEXT NOT NULL,
	kind       TEXT NOT NULL,
	zone       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Between which ledger numbers the events of a UTC day lie. Recorded instants
-- may fall a little from one event to the next, so two days may overlap; a
-- range of days still finds its part of the log without reading the rest.
CREATE TABLE days (
	day   INTEGER PRIMARY KEY, -- since 1970
	first INTEGER NOT NULL,
	last  INTEGER NOT NULL
) STRICT;

-- The words of every event, under its ledger number. The index keeps no text,
-- and what goes into it was never sealed. Nothing is ever taken out of it, so
-- there is nothing to delete securely; the option stands so that it would be.
-- The type (what) and the actor (who) have columns of their own, so that a
-- search that names them as well is answered by the index alone.
CREATE VIRTUAL TABLE search USING fts5(words, what, who, content='', tokenize="unicode61 remove_diacritics 2");
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
