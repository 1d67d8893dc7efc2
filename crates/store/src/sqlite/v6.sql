-- What each step of the ledger was hashed with, by its number: see steps.rs. A ledger of before takes its first one.
CREATE TABLE step (
    number INTEGER PRIMARY KEY,
    lots BLOB NOT NULL
) STRICT;
