-- What keys and answers take, in bytes, by account: the first word of the scope. A blank stands for all of them.
CREATE TABLE kept (
    account TEXT    NOT NULL PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO kept
    SELECT substr(scope, 1, instr(scope || ' ', ' ') - 1),
           sum(2 * (octet_length(scope) + octet_length(key)) + coalesce(length(answer), 0)
               + coalesce(length(owners), 0) + 160)
    FROM idempotency GROUP BY 1;
INSERT INTO kept SELECT ' ', coalesce(sum(bytes), 0) FROM kept;
