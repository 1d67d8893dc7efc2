-- One row. The generation rises with every change of a credential or sealed item.
CREATE TABLE meta (generation INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES (0);

-- Times are microseconds since the Unix epoch, here and below.
CREATE TABLE credential (
    id        TEXT    NOT NULL PRIMARY KEY,
    kind      TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    revoked   INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed_item (
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    sealed    BLOB    NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, version)
) STRICT;

-- state: 0 open, 1 finished (answer is the sealed answer), 2 outcome unknown.
-- run and number tell the holder: an open row of another run was left by a process that stopped.
CREATE TABLE idempotency (
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    run         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    answer      BLOB,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT;
CREATE INDEX idempotency_expires ON idempotency (expires);
