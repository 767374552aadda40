-- The SIP messages that were kept of messages: each row those of an attempt, or of what came in.
CREATE TABLE frames (
    -- In the order in which they were kept, so that the oldest are found without an index on their age.
    number     INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    message_id BLOB    NOT NULL,
    -- When the first of them passed, in microseconds: what is written twice is there once.
    begun      INTEGER NOT NULL,
    -- As src/store/frames.rs writes them.
    content    BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX frames_once ON frames (message_id, begun);
