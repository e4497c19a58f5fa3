-- All permits are here, for an application is shown beside the others of its
-- vehicle and its account. Instants are microseconds since 1970.
CREATE TABLE permits (
	permit_id     TEXT    PRIMARY KEY,
	account_id    TEXT    NOT NULL,
	ledger        INTEGER NOT NULL, -- of Applied
	revision      INTEGER NOT NULL,
	pending       INTEGER NOT NULL,
	rejected      INTEGER NOT NULL,
	free          INTEGER NOT NULL,
	submitted_at  INTEGER NOT NULL,
	zone          TEXT    NOT NULL,
	mark          TEXT,             -- NULL once erased
	hold_ends_at  INTEGER,          -- of a hold that is neither taken nor given back
	hold_ended_at INTEGER,          -- when the last hold ended, when there is none now
	state         TEXT    NOT NULL, -- permit.State
	payment       TEXT              -- payment.State of the application; NULL: nothing was asked for
) STRICT;
CREATE INDEX permits_pending ON permits (ledger) WHERE pending;
CREATE INDEX permits_mark    ON permits (mark, zone) WHERE mark IS NOT NULL;
CREATE INDEX permits_account ON permits (account_id, ledger);
