-- Messages that came in, and receipts for messages of ours.
--
-- `events.kind`, and `deliveries.kind`: 4 received, 5 delivered, 6 displayed, 7 undelivered.

-- The terminal event, of a message that receipts followed after its end; else it is `last_event`.
ALTER TABLE states ADD COLUMN result INTEGER;

-- Where each received message is in the log, which alone has what it says.
CREATE TABLE received (
    -- UUIDv7, sixteen bytes: in the order in which they came.
    id      BLOB    NOT NULL PRIMARY KEY,
    -- events.seq
    seq     INTEGER NOT NULL,
    account TEXT    NOT NULL,
    -- The URI of the sender; NULL when the message was erased.
    sender  TEXT
) STRICT, WITHOUT ROWID;

-- What makes a request that comes again the same one. A key outlasts its message.
CREATE TABLE received_keys (
    -- In the order in which they came, so that the oldest are found without an index on their age.
    number     INTEGER PRIMARY KEY,
    -- Of the account, the Call-ID, the number of CSeq and the tag of From.
    hash       BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- Each kind once for a recipient of a message.
CREATE TABLE receipts (
    message_id BLOB    NOT NULL,
    recipient  TEXT    NOT NULL,
    -- As in `events`.
    kind       INTEGER NOT NULL,
    -- events.seq
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (message_id, recipient, kind)
) STRICT, WITHOUT ROWID;

-- A webhook gets the types that there were when it was created.
UPDATE endpoints SET kinds = '["sending","deferred","succeeded","failed"]' WHERE kinds IS NULL;
