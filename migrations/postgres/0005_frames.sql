-- The SIP messages that were kept of messages: each row those of an attempt, or of what came in.
CREATE TABLE frames (
    -- In the order in which they were kept, so that the oldest are found without an index on their age.
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at bigint NOT NULL,
    message_id uuid   NOT NULL,
    -- When the first of them passed, in microseconds: what is written twice is there once.
    begun      bigint NOT NULL,
    -- As src/store/frames.rs writes them.
    content    bytea  NOT NULL
);

CREATE UNIQUE INDEX frames_once ON frames (message_id, begun);
