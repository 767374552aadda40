-- Transactions of the replicas that write: each takes the next turn of its replica.
CREATE TABLE turns (
    replica bigint NOT NULL PRIMARY KEY REFERENCES replicas ON DELETE CASCADE,
    -- How many were taken, or barred.
    taken   bigint NOT NULL
);
