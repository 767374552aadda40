-- Standing webhooks, and deliveries to them.
--
-- Every event is planned once: deliveries are inserted in the transaction that moves `planned_to`.
-- A gateway without webhooks moves that number now and then and touches nothing else here.

-- Where the events of a message go that has a webhook of its own; NULL for nearly all.
ALTER TABLE events ADD COLUMN webhook TEXT;

-- Events from before there were webhooks are not posted.
INSERT INTO facts SELECT 'planned_to', max(
    coalesce((SELECT max(seq) FROM events), 0),
    coalesce((SELECT value FROM facts WHERE name = 'forgotten_to'), 0)
);
-- Changes with what the endpoints want to see.
INSERT INTO facts VALUES ('endpoints_revision', 0);

CREATE TABLE endpoints (
    id               BLOB    NOT NULL PRIMARY KEY,
    url              TEXT    NOT NULL,
    -- JSON, [word, …]; NULL for all
    kinds            TEXT,
    -- JSON, [uri, …]; NULL for all
    accounts         TEXT,
    description      TEXT,
    -- request, gone, failing; NULL when enabled
    disabled_because TEXT,
    disabled_at      INTEGER,
    secret           BLOB    NOT NULL,
    previous_secret  BLOB,
    previous_until   INTEGER,
    -- It sees events after this one.
    after            INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    failing_since    INTEGER,
    -- A recovery under way: [since, until) in the log after the cursor, up to the end.
    recovery_since   INTEGER,
    recovery_until   INTEGER,
    recovery_cursor  INTEGER,
    recovery_end     INTEGER
) STRICT, WITHOUT ROWID;

-- Endpoints that were deleted, and whose deliveries are still there: they go in small steps.
CREATE TABLE deleted_queues (
    queue TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    number       INTEGER PRIMARY KEY,
    -- The id of an endpoint, or a URL without its query.
    queue        TEXT    NOT NULL,
    -- events.seq
    seq          INTEGER NOT NULL,
    message_id   BLOB    NOT NULL,
    -- 0 sending, 1 deferred, 2 succeeded, 3 failed
    kind         INTEGER NOT NULL,
    -- When the event happened.
    event_at     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    -- 0 pending, 1 delivered, 2 failed
    state        INTEGER NOT NULL,
    -- Attempts since it was last begun anew, and in all.
    tries        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    -- NULL when it ended, or waits for an earlier event of its message.
    next_at      INTEGER,
    completed_at INTEGER,
    -- Where to; NULL for what the endpoint says.
    url          TEXT,
    -- The whole event.
    json         BLOB    NOT NULL
) STRICT;

-- An event goes to a queue once. The list of an endpoint is read along it.
CREATE UNIQUE INDEX deliveries_once ON deliveries (queue, seq);
-- Due deliveries, queue by queue.
CREATE INDEX deliveries_due ON deliveries (queue, next_at, seq) WHERE next_at IS NOT NULL;
-- What waits for an earlier event of its message.
CREATE INDEX deliveries_pending ON deliveries (queue, message_id, seq) WHERE state = 0;
-- What ended, oldest first.
CREATE INDEX deliveries_ended ON deliveries (completed_at) WHERE completed_at IS NOT NULL;
-- What failed is rare, and asked for often.
CREATE INDEX deliveries_failed ON deliveries (queue, seq) WHERE state = 2;

-- How attempts went.
CREATE TABLE attempts (
    -- deliveries.number
    delivery    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    -- Milliseconds.
    took        INTEGER NOT NULL,
    -- NULL when there was no answer; then `error` says why.
    status      INTEGER,
    answer      TEXT    NOT NULL,
    error       TEXT,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
