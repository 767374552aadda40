-- Messages that came in, and receipts for messages of ours.
--
-- `events.kind`, and `deliveries.kind`: 4 received, 5 delivered, 6 displayed, 7 undelivered.
--
-- Whatever writes these tables holds the row of `log` from before, so that it sees what the others
-- have written. Removing and erasing are the exceptions.

-- The terminal event, of a message that receipts followed after its end; else it is `last_event`.
ALTER TABLE states ADD COLUMN result bigint;

-- Where each received message is in the log, which alone has what it says.
CREATE TABLE received (
    -- UUIDv7: in the order in which they came.
    id      uuid   NOT NULL PRIMARY KEY,
    -- events.seq
    seq     bigint NOT NULL,
    account text   NOT NULL,
    -- The URI of the sender; NULL when the message was erased.
    sender  text
);

-- What makes a request that comes again the same one. A key outlasts its message.
CREATE TABLE received_keys (
    -- In the order in which they came, so that the oldest are found without an index on their age.
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Of the account, the Call-ID, the number of CSeq and the tag of From.
    hash       bytea  NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

-- Each kind once for a recipient of a message.
CREATE TABLE receipts (
    message_id uuid     NOT NULL,
    recipient  text     COLLATE "C" NOT NULL,
    -- As in `events`.
    kind       smallint NOT NULL,
    -- events.seq
    seq        bigint   NOT NULL,
    at         bigint   NOT NULL,
    PRIMARY KEY (message_id, recipient, kind)
);

-- Changes whenever received messages are erased: what replicas have in memory is read again then.
INSERT INTO facts VALUES ('erasures', 0);

-- A webhook gets the types that there were when it was created.
UPDATE endpoints SET kinds = '["sending","deferred","succeeded","failed"]' WHERE kinds IS NULL;
