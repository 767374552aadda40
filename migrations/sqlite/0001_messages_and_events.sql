-- Messages, the log of their events, and what makes repeated requests one.

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE messages (
    -- In the order of acceptance.
    number        INTEGER PRIMARY KEY,
    -- UUIDv7.
    id            BLOB    NOT NULL UNIQUE,
    -- 0 scheduled, 1 queued, 2 sending, 3 succeeded, 4 failed
    status        INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    not_before    INTEGER,
    completed_at  INTEGER,
    -- events.seq of the terminal event
    result        INTEGER,
    target        TEXT    NOT NULL,
    uri           TEXT    NOT NULL,
    account       TEXT,
    body          BLOB    NOT NULL,
    -- 0 utf-8, 1 base64
    body_encoding INTEGER NOT NULL,
    content_type  TEXT    NOT NULL,
    -- JSON: [[name, value], …]
    extra_headers TEXT    NOT NULL,
    ttl           INTEGER NOT NULL,
    send_at       INTEGER,
    attempts      INTEGER NOT NULL,
    -- 0 resend, 1 fail
    on_unknown    INTEGER NOT NULL,
    webhook       TEXT,
    -- JSON: {key: value, …}
    metadata      TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
);

-- What has not ended: small, whatever has piled up beside it.
CREATE INDEX messages_open ON messages (number) WHERE status < 3;
-- What failed is rare, and asked for often.
CREATE INDEX messages_failed ON messages (number) WHERE status = 4;

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    message_id BLOB    NOT NULL,
    -- 0 sending, 1 deferred, 2 succeeded, 3 failed
    kind       INTEGER NOT NULL,
    uri        TEXT    NOT NULL,
    account    TEXT,
    -- The JSON object after its id.
    members    BLOB    NOT NULL
);

CREATE INDEX events_of_message ON events (message_id);

CREATE TABLE idempotency_keys (
    owner       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    -- The ids of the messages, sixteen bytes each.
    message_ids BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
