-- Nothing here is personal: permits are kept as they are after an erasure.
-- Instants are microseconds since 1970.
CREATE TABLE due (
	kind       TEXT    NOT NULL,
	account_id TEXT    NOT NULL,
	permit_id  TEXT    NOT NULL, -- empty for a document
	term       INTEGER NOT NULL, -- 0 when it is about no term
	sha256     TEXT    NOT NULL, -- of a document; else empty
	due_at     INTEGER NOT NULL,
	expires_at INTEGER,          -- from then on it is not due any more; NULL: always
	ledger     INTEGER NOT NULL, -- of the event that made it due
	event_id   TEXT    NOT NULL, -- of that event
	PRIMARY KEY (kind, permit_id, account_id, term, sha256)
) STRICT;
CREATE INDEX due_order   ON due (due_at, ledger, kind, permit_id, account_id, term, sha256);
CREATE INDEX due_permit  ON due (permit_id);
CREATE INDEX due_expires ON due (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE permits (
	permit_id    TEXT    PRIMARY KEY,
	account_id   TEXT    NOT NULL,
	pending      INTEGER NOT NULL,
	renews_until TEXT,             -- last day of a permit that renews automatically
	state        TEXT    NOT NULL  -- permit.State, erased
) STRICT;
CREATE INDEX permits_pending ON permits (permit_id) WHERE pending;
CREATE INDEX permits_renews  ON permits (renews_until) WHERE renews_until IS NOT NULL;

CREATE TABLE payments (
	permit_id TEXT    NOT NULL,
	term      INTEGER NOT NULL,
	state     TEXT    NOT NULL, -- payment.State
	PRIMARY KEY (permit_id, term)
) STRICT;

CREATE TABLE documents (
	account_id TEXT    NOT NULL,
	sha256     TEXT    NOT NULL,
	named      INTEGER NOT NULL, -- by an application or what belongs to one
	PRIMARY KEY (account_id, sha256)
) STRICT;

CREATE TABLE policies (
	ledger INTEGER PRIMARY KEY,
	body   TEXT NOT NULL         -- policy.PolicyPublished
) STRICT;
