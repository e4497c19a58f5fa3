-- Every key is NULL where there is nothing to be found by, and once erased.
CREATE TABLE accounts (
	account_id TEXT    PRIMARY KEY,
	ledger     INTEGER NOT NULL, -- of AccountOpened
	email      TEXT,             -- in lower case
	phone      TEXT,             -- digits of a British number, else all digits
	state      TEXT    NOT NULL  -- account.State without its documents
) STRICT;
CREATE UNIQUE INDEX accounts_ledger ON accounts (ledger);
CREATE INDEX accounts_email ON accounts (email, ledger) WHERE email IS NOT NULL;
CREATE INDEX accounts_phone ON accounts (phone, ledger) WHERE phone IS NOT NULL;

-- The words of a person's name, without case and accents.
CREATE TABLE words (
	account_id TEXT    NOT NULL,
	n          INTEGER NOT NULL,
	word       TEXT    NOT NULL,
	PRIMARY KEY (account_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX words_word ON words (word, account_id);

CREATE TABLE permits (
	permit_id  TEXT    PRIMARY KEY,
	account_id TEXT    NOT NULL,
	ledger     INTEGER NOT NULL, -- of Applied
	reference  TEXT    NOT NULL,
	mark       TEXT,             -- the vehicle's now
	folded     TEXT,
	postcode   TEXT,             -- the property's now
	state      TEXT    NOT NULL  -- permit.State
) STRICT;
CREATE INDEX permits_account   ON permits (account_id);
CREATE INDEX permits_reference ON permits (reference, ledger);
CREATE INDEX permits_mark      ON permits (mark, ledger)     WHERE mark IS NOT NULL;
CREATE INDEX permits_folded    ON permits (folded, ledger)   WHERE folded IS NOT NULL;
CREATE INDEX permits_postcode  ON permits (postcode, ledger) WHERE postcode IS NOT NULL;
