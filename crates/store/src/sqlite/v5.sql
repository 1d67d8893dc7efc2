-- What the store knows of its own rows, sealed: see ledger.rs. It takes the place of the rows' own seals, which could not
-- tell that a row was put back as it was, or taken away.
CREATE TABLE ledger (
    part   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE credential DROP COLUMN seal;
ALTER TABLE outbox DROP COLUMN seal;
ALTER TABLE meta DROP COLUMN rows_sealed;
