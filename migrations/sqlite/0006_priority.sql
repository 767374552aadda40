-- The class of a message: 0 non-urgent, 1 normal, 2 urgent, 3 emergency; NULL when its client gave
-- none, and then it counts as normal.
ALTER TABLE messages ADD COLUMN priority INTEGER;
