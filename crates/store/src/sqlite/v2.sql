-- Keys under which the audit trail seals detail of data subjects, accounts and callers. lookup is a keyed hash of
-- kind and id; sealed is the sealed key, bound to the tag.
CREATE TABLE owner (
    lookup  BLOB    NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    tag     BLOB    NOT NULL UNIQUE CHECK (length(tag) = 16),
    kind    TEXT    NOT NULL,
    sealed  BLOB    NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Actions that wait for their record in the audit trail. number gives their order; facts is a JSON array of pairs.
CREATE TABLE outbox (
    number  INTEGER PRIMARY KEY,
    id      BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    time    INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    object  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    facts   TEXT    NOT NULL,
    actor   TEXT    NOT NULL
) STRICT;
