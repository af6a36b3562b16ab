-- Which versions counted, and in which order: what a rollback goes back to.
-- Null: it never counted (it is on trial, or a server was killed while it was). 0: it counted, and was
-- rolled back from. Otherwise its place in the order; the one that counts has the highest.

ALTER TABLE versions ADD COLUMN place BIGINT;

UPDATE versions SET place = number
    WHERE number <= (SELECT version FROM installations WHERE id = versions.installation_id);
UPDATE versions SET place = 0 WHERE place IS NULL;

-- Numbers are never given twice.

ALTER TABLE installations ADD COLUMN last_version BIGINT NOT NULL DEFAULT 1;

UPDATE installations SET last_version = COALESCE((SELECT MAX(number) FROM versions WHERE installation_id = id), 1);
