-- The trace that a message is part of: W3C's `traceparent`, with the span that its own hang under;
-- NULL without one.
ALTER TABLE messages ADD COLUMN trace TEXT;
