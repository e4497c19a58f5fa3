CREATE TABLE accounts (
	account_id TEXT    PRIMARY KEY,
	owner      TEXT,             -- keyed hash of the sign-in subject; NULL: nobody's, or erased
	revision   INTEGER NOT NULL,
	state      TEXT    NOT NULL  -- account.State
) STRICT;
CREATE INDEX accounts_owner ON accounts (owner) WHERE owner IS NOT NULL;

CREATE TABLE permits (
	permit_id  TEXT    PRIMARY KEY,
	account_id TEXT    NOT NULL,
	ledger     INTEGER NOT NULL, -- of Applied
	revision   INTEGER NOT NULL,
	position   INTEGER NOT NULL,
	zone       TEXT    NOT NULL,
	mark       TEXT,             -- NULL once erased
	state      TEXT    NOT NULL  -- permit.State
) STRICT;
CREATE INDEX permits_account ON permits (account_id, ledger);
CREATE INDEX permits_mark    ON permits (mark, zone) WHERE mark IS NOT NULL;

CREATE TABLE payments (
	permit_id  TEXT    NOT NULL,
	term       INTEGER NOT NULL,
	state      TEXT    NOT NULL, -- payment.State
	PRIMARY KEY (permit_id, term)
) STRICT;

CREATE TABLE referrals (
	permit_id TEXT PRIMARY KEY,
	state     TEXT NOT NULL      -- notice.State
) STRICT;
