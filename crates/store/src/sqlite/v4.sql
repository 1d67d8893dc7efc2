-- What the fingerprint is: 0 nothing, after somebody whom it concerned was erased; 1 SHA-256 of method, path, query and
-- body, as older versions wrote it; 2 HMAC-SHA256 of that; 3 HMAC-SHA256 of that and header fields.
ALTER TABLE idempotency ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- Tags of those whose data request and answer carry, 16 bytes each.
ALTER TABLE idempotency ADD COLUMN owners BLOB;
