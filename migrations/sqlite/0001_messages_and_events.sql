-- Messages, where they stand, the log of their events, and what makes repeated requests one.
--
-- What grows without bound is appended to and read by key; what changes is small. A message costs
-- eight touches of a B-tree over its whole life, nearly all of them at the right edge, and as many
-- with a million others beside it as with none.
--
-- Times are milliseconds since 1970. Pages that are freed are used again by what comes next:
-- `auto_vacuum` stays off, because moving pages about to shorten the file costs every transaction,
-- and a gateway that was once this large will be again.

-- What the store knows of itself.
CREATE TABLE facts (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages as they were accepted. Written once; later only the body may go.
CREATE TABLE messages (
    -- In the order of acceptance.
    number     INTEGER PRIMARY KEY,
    uri        TEXT    NOT NULL,
    account    TEXT,
    send_at    INTEGER,
    attempts   INTEGER NOT NULL,
    -- 0 resend, 1 fail
    on_unknown INTEGER NOT NULL,
    -- JSON: the members that no statement looks at.
    contents   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Last, so that nothing else has to be looked for behind a long one. NULL when discarded.
    body       BLOB
) STRICT;

-- Where each message stands: the one row of a message that changes, so it is kept small.
CREATE TABLE states (
    -- UUIDv7, sixteen bytes.
    id           BLOB    NOT NULL PRIMARY KEY,
    -- messages.number
    number       INTEGER NOT NULL,
    -- 0 scheduled, 1 queued, 2 sending, 3 succeeded, 4 failed
    status       INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    -- events.seq of its newest event; the others hang on that one.
    last_event   INTEGER,
    not_before   INTEGER,
    completed_at INTEGER
) STRICT, WITHOUT ROWID;

-- What has not ended: small, whatever has piled up beside it.
CREATE INDEX states_open ON states (id) WHERE completed_at IS NULL;
-- What failed is rare, and asked for often.
CREATE INDEX states_failed ON states (id) WHERE status = 4;

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    -- The event of the same message before this one: a chain instead of an index.
    previous   INTEGER,
    -- 0 sending, 1 deferred, 2 succeeded, 3 failed
    kind       INTEGER NOT NULL,
    message_id BLOB    NOT NULL,
    uri        TEXT    NOT NULL,
    account    TEXT,
    -- The JSON object after its id, as src/store/packed.rs writes it.
    members    BLOB    NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    -- In the order of use, so that the oldest are found without an index on their age.
    number      INTEGER PRIMARY KEY,
    owner       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    -- The ids of the messages, sixteen bytes each.
    message_ids BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (owner, key)
) STRICT;
