-- The same text for SQLite and PostgreSQL: TEXT and BIGINT only, no generated ids.
-- Times are milliseconds since 1970. Documents are JSON as text.

CREATE TABLE installations (
    id TEXT PRIMARY KEY,
    mode TEXT NOT NULL,                     -- supervised | external
    manifest TEXT NOT NULL,                 -- of the version that counts
    wanted TEXT NOT NULL,                   -- active | inactive
    wanted_at BIGINT NOT NULL,
    version BIGINT,                         -- the version that counts; null for external ones
    token_hash TEXT UNIQUE,                 -- SHA-256 in hex; null for supervised ones
    token_prefix TEXT,
    config TEXT NOT NULL,                   -- secrets are sealed
    granted TEXT NOT NULL,                  -- permissions that an administrator granted
    access_generation BIGINT NOT NULL,      -- which access token counts
    event_cursor BIGINT NOT NULL,           -- the last event that is done with
    events_missed BIGINT NOT NULL,          -- too old, or too many, while the plugin was down
    added_at BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE versions (
    installation_id TEXT NOT NULL REFERENCES installations (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,                 -- 1, 2, 3 … within the installation
    manifest TEXT NOT NULL,
    digest TEXT NOT NULL,                   -- SHA-256 of the archive in hex, and its name in the package store
    size BIGINT NOT NULL,
    source TEXT NOT NULL,                   -- upload, or the URL it came from
    added_at BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    PRIMARY KEY (installation_id, number)
);
CREATE INDEX versions_by_digest ON versions (digest);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT
);

CREATE TABLE events (
    seq BIGINT PRIMARY KEY,                 -- in the order of publication, without gaps
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    published_by TEXT NOT NULL,
    idempotency_key TEXT UNIQUE
);
CREATE INDEX events_by_time ON events (published_at);

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('events', 0);

CREATE TABLE parked (
    installation_id TEXT NOT NULL REFERENCES installations (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,                  -- a copy: the event itself may be gone by then
    published_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    reason TEXT NOT NULL,
    parked_at BIGINT NOT NULL,
    replay_at BIGINT,                       -- not null: to be delivered again
    PRIMARY KEY (installation_id, seq)
);

CREATE TABLE method_targets (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,                   -- sealed
    timeout_ms BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,                    -- sorts by time
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,                  -- done | failed
    detail TEXT NOT NULL
);
