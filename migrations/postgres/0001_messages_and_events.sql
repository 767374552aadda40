-- Messages, where they stand, the log of their events, and what makes repeated requests one; and
-- the replicas that share the work.
--
-- Times are milliseconds since 1970, as the replicas tell them; leases alone go by the clock of the
-- database, which is one for all.
--
-- A migration only adds: tables, columns that may be NULL or have a default, indexes. For one
-- release the version before works beside it.

-- What the store knows of itself.
CREATE TABLE facts (
    name  text   NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);

-- One row: a transaction that appends to the log takes its numbers from it, and so waits for the one
-- that appended before. This row is the order of the log.
CREATE TABLE log (
    one  boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    last bigint  NOT NULL
) WITH (fillfactor = 10);

-- Those who work on this database. A number is never used again: it is what a replica's writes are
-- fenced by.
CREATE TABLE replicas (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    lease_until timestamptz NOT NULL,
    -- Others have begun to take over what it held; it must not go on under this number.
    fenced      boolean     NOT NULL DEFAULT false,
    -- It knows of every replica up to this number, and sends nothing before it is durable: those may
    -- begin.
    knows       bigint      NOT NULL DEFAULT 0,
    -- Whether it takes its share of the agents.
    runs_agents boolean     NOT NULL DEFAULT false
);

-- A lease for each agent of each account. Its holder registers the agent; a holder whose lease is
-- over holds nothing.
CREATE TABLE agent_leases (
    account text   COLLATE "C" NOT NULL,
    number  bigint NOT NULL,
    -- replicas.number; NULL when it is free.
    holder  bigint,
    PRIMARY KEY (account, number)
);

-- What replicas tell of their agents, as JSON.
CREATE TABLE agents (
    owner  bigint NOT NULL,
    id     text   NOT NULL,
    status text   NOT NULL,
    PRIMARY KEY (owner, id)
);

-- What an agent is asked for by a client of another replica.
CREATE TABLE agent_orders (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner  bigint NOT NULL,
    agent  text   NOT NULL,
    word   text   NOT NULL
);

-- Messages as they were accepted. Written once; later only the body may go.
CREATE TABLE messages (
    id         uuid     NOT NULL PRIMARY KEY,
    uri        text     NOT NULL,
    account    text,
    send_at    bigint,
    attempts   integer  NOT NULL,
    -- 0 resend, 1 fail
    on_unknown smallint NOT NULL,
    -- JSON: the members that no statement looks at.
    contents   text     NOT NULL,
    -- NULL when discarded.
    body       bytea,
    created_at bigint   NOT NULL,
    expires_at bigint   NOT NULL
);

-- Where each message stands: the one row of a message that changes, so it is kept small, and
-- nothing that changes before the end is in an index.
CREATE TABLE states (
    id           uuid     NOT NULL PRIMARY KEY,
    -- The order of acceptance within a lane.
    number       bigint   GENERATED ALWAYS AS IDENTITY,
    -- A hash of messages.uri. All open messages of a lane belong to one replica.
    lane         bigint   NOT NULL,
    -- replicas.number of the one that sends it.
    owner        bigint   NOT NULL,
    -- Whether the owner knows that it does.
    claimed      boolean  NOT NULL,
    -- 0 scheduled, 1 queued, 2 sending, 3 succeeded, 4 failed
    status       smallint NOT NULL,
    attempt      integer  NOT NULL DEFAULT 0,
    -- events.seq of its newest event; the others hang on that one.
    last_event   bigint,
    not_before   bigint,
    completed_at bigint,
    -- status = 4, where an index can see it without seeing the others.
    failed       boolean  NOT NULL DEFAULT false
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Exactly what can be claimed, once the owner and whether it knows are given.
CREATE INDEX states_open ON states (owner, claimed, number) WHERE completed_at IS NULL;
CREATE INDEX states_lanes ON states (lane, number) WHERE completed_at IS NULL;
-- What failed is rare, and asked for often.
CREATE INDEX states_failed ON states (id) WHERE failed;

CREATE TABLE events (
    seq        bigint   NOT NULL PRIMARY KEY,
    -- The event of the same message before this one: a chain instead of an index.
    previous   bigint,
    -- 0 sending, 1 deferred, 2 succeeded, 3 failed
    kind       smallint NOT NULL,
    message_id uuid     NOT NULL,
    uri        text     NOT NULL,
    account    text,
    -- The JSON object after its id, as src/store/packed.rs writes it.
    members    bytea    NOT NULL
);

CREATE TABLE idempotency_keys (
    -- In the order of use, so that the oldest are found without an index on their age.
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       text   NOT NULL,
    key         text   NOT NULL,
    fingerprint bytea  NOT NULL,
    -- The ids of the messages, sixteen bytes each.
    message_ids bytea  NOT NULL,
    created_at  bigint NOT NULL,
    UNIQUE (owner, key)
);
