-- The events of the streams that residents' reads are folded from, exactly as
-- the log holds them: what is personal in them is sealed here as there.
CREATE TABLE events (
	ledger   INTEGER PRIMARY KEY,
	stream   TEXT    NOT NULL,
	revision INTEGER NOT NULL,
	position INTEGER NOT NULL,
	event_id TEXT    NOT NULL,
	type     TEXT    NOT NULL,
	data     BLOB    NOT NULL,
	metadata BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_stream ON events (stream, revision);
