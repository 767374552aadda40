-- Standing webhooks, and deliveries to them.
--
-- Every event is planned once: deliveries are inserted in the transaction that moves `planned_to`.
-- One replica at a time posts.

-- Where the events of a message go that has a webhook of its own; NULL for nearly all.
ALTER TABLE events ADD COLUMN webhook text;

-- Events from before there were webhooks are not posted.
INSERT INTO facts SELECT 'planned_to', coalesce((SELECT last FROM log), 0);
-- Changes with what the endpoints want to see.
INSERT INTO facts VALUES ('endpoints_revision', 0);

CREATE TABLE endpoints (
    id               uuid   NOT NULL PRIMARY KEY,
    url              text   NOT NULL,
    -- JSON, [word, …]; NULL for all
    kinds            text,
    -- JSON, [uri, …]; NULL for all
    accounts         text,
    description      text,
    -- request, gone, failing; NULL when enabled
    disabled_because text,
    disabled_at      bigint,
    secret           bytea  NOT NULL,
    previous_secret  bytea,
    previous_until   bigint,
    -- It sees events after this one.
    after            bigint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    failing_since    bigint,
    -- A recovery under way: [since, until) in the log after the cursor, up to the end.
    recovery_since   bigint,
    recovery_until   bigint,
    recovery_cursor  bigint,
    recovery_end     bigint
);

-- Endpoints that were deleted, and whose deliveries are still there: they go in small steps.
CREATE TABLE deleted_queues (
    queue text COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE deliveries (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The id of an endpoint, or a URL without its query.
    queue        text COLLATE "C" NOT NULL,
    -- events.seq
    seq          bigint   NOT NULL,
    message_id   uuid     NOT NULL,
    -- 0 sending, 1 deferred, 2 succeeded, 3 failed
    kind         smallint NOT NULL,
    -- When the event happened.
    event_at     bigint   NOT NULL,
    created_at   bigint   NOT NULL,
    -- 0 pending, 1 delivered, 2 failed
    state        smallint NOT NULL,
    -- Attempts since it was last begun anew, and in all.
    tries        integer  NOT NULL,
    attempts     integer  NOT NULL,
    -- NULL when it ended, or waits for an earlier event of its message.
    next_at      bigint,
    completed_at bigint,
    -- Where to; NULL for what the endpoint says.
    url          text,
    -- The whole event.
    json         bytea    NOT NULL
);

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
    delivery bigint  NOT NULL,
    number   integer NOT NULL,
    at       bigint  NOT NULL,
    -- Milliseconds.
    took     bigint  NOT NULL,
    -- NULL when there was no answer; then `error` says why.
    status   integer,
    answer   text    NOT NULL,
    error    text,
    PRIMARY KEY (delivery, number)
);
