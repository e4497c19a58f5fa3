-- Instants are microseconds since 1970.
CREATE TABLE reads (
	account_id TEXT    NOT NULL,
	ledger     INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	actor      TEXT    NOT NULL, -- a resident's is the account
	role       TEXT    NOT NULL,
	what       TEXT    NOT NULL, -- code: see domain/access
	permit_id  TEXT,
	PRIMARY KEY (account_id, ledger)
) STRICT, WITHOUT ROWID;
