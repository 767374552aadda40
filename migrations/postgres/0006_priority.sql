-- The class of a message: 0 non-urgent, 1 normal, 2 urgent, 3 emergency; NULL when its client gave
-- none, and then it counts as normal.
ALTER TABLE messages ADD COLUMN priority smallint;

-- Whether its class is above normal: those are claimed before the others.
ALTER TABLE states ADD COLUMN urgent boolean NOT NULL DEFAULT false;
CREATE INDEX states_urgent ON states (owner, claimed, number) WHERE completed_at IS NULL AND urgent;
