-- Events of agents: `events.kind`, and `deliveries.kind`: 8 agent up, 9 agent down. They belong to no
-- message: `message_id` is made of the name of the agent, and `uri` is empty.

-- How old they are, so that the oldest are found and removed.
CREATE TABLE agent_events (
    -- events.seq
    seq bigint NOT NULL PRIMARY KEY,
    at  bigint NOT NULL
);
