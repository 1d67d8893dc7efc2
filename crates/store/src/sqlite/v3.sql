-- How many transactions erased something, and how many of these the write-ahead log was emptied after: while the
-- numbers differ, what was erased may still be in it, whichever process erased it.
ALTER TABLE meta ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN emptied INTEGER NOT NULL DEFAULT 0;

-- Seals under the key file, over the rest of the row: what another hand wrote does not count. The rows that were there
-- before are sealed once.
ALTER TABLE credential ADD COLUMN seal BLOB;
ALTER TABLE outbox ADD COLUMN seal BLOB;
ALTER TABLE meta ADD COLUMN rows_sealed INTEGER NOT NULL DEFAULT 0;
