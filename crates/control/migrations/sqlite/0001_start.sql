-- Everything the control plane keeps. Times are milliseconds since the epoch, UTC. Deleted ids never come back.

CREATE TABLE meta (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE owners (
    owner      TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    owner      TEXT NOT NULL REFERENCES owners (owner),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    role       TEXT NOT NULL CHECK (role IN ('inference', 'viewer', 'developer', 'owner', 'admin')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX api_keys_by_owner ON api_keys (owner);

CREATE TABLE endpoints (
    id                           TEXT PRIMARY KEY,
    name                         TEXT NOT NULL UNIQUE,
    owner                        TEXT NOT NULL REFERENCES owners (owner),
    display_name                 TEXT NOT NULL,
    model                        TEXT NOT NULL,
    hardware                     TEXT NOT NULL,
    min_replicas                 INTEGER NOT NULL CHECK (min_replicas >= 0),
    max_replicas                 INTEGER NOT NULL CHECK (max_replicas >= 1 AND min_replicas <= max_replicas),
    run                          TEXT NOT NULL CHECK (run IN ('STARTED', 'STOPPED')),
    run_cause                    TEXT NOT NULL CHECK (run_cause IN ('user', 'inactive')),
    deleted                      INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    inactive_timeout_minutes     INTEGER CHECK (inactive_timeout_minutes > 0),
    availability_zone            TEXT,
    disable_speculative_decoding INTEGER NOT NULL CHECK (disable_speculative_decoding IN (0, 1)),
    generation                   INTEGER NOT NULL CHECK (generation >= 1),
    observed_generation          INTEGER NOT NULL CHECK (observed_generation BETWEEN 0 AND generation),
    published                    TEXT NOT NULL
        CHECK (published IN ('PENDING', 'STARTING', 'STARTED', 'STOPPING', 'STOPPED', 'ERROR')),
    published_at                 INTEGER NOT NULL,
    created_at                   INTEGER NOT NULL,
    started_at                   INTEGER NOT NULL
) STRICT;

CREATE INDEX endpoints_by_owner ON endpoints (owner, created_at);

-- The same table as EndpointState::may_become, once more where no code can forget it.
CREATE TRIGGER endpoints_published_steps
BEFORE UPDATE OF published ON endpoints
WHEN NEW.published <> OLD.published AND NOT (
       (OLD.published = 'PENDING'  AND NEW.published IN ('STARTING', 'STOPPING', 'ERROR'))
    OR (OLD.published = 'STARTING' AND NEW.published IN ('STARTED', 'STOPPING', 'ERROR', 'PENDING'))
    OR (OLD.published = 'STARTED'  AND NEW.published IN ('STOPPING', 'STARTING', 'ERROR'))
    OR (OLD.published = 'STOPPING' AND NEW.published IN ('STOPPED', 'PENDING'))
    OR (OLD.published = 'STOPPED'  AND NEW.published IN ('PENDING'))
    OR (OLD.published = 'ERROR'    AND NEW.published IN ('PENDING', 'STOPPING')))
BEGIN
    SELECT RAISE(ABORT, 'an endpoint state may not be followed by that state');
END;

CREATE TRIGGER endpoints_first_state
BEFORE INSERT ON endpoints
WHEN NEW.published NOT IN ('PENDING', 'STOPPED')
BEGIN
    SELECT RAISE(ABORT, 'an endpoint begins as PENDING or STOPPED');
END;

CREATE TRIGGER endpoints_deleted_stays
BEFORE UPDATE OF deleted ON endpoints
WHEN OLD.deleted = 1 AND NEW.deleted = 0
BEGIN
    SELECT RAISE(ABORT, 'a deleted endpoint stays deleted');
END;

CREATE TRIGGER endpoints_generation_grows
BEFORE UPDATE OF generation ON endpoints
WHEN NEW.generation < OLD.generation
BEGIN
    SELECT RAISE(ABORT, 'a generation only grows');
END;

-- Ids and names that were used and are gone.
CREATE TABLE erased (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    at   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER endpoints_erased_never_return
BEFORE INSERT ON endpoints
WHEN EXISTS (SELECT 1 FROM erased WHERE id = NEW.id OR name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'the id or name of an erased endpoint never comes back');
END;

CREATE TRIGGER endpoints_erase_only_deleted
BEFORE DELETE ON endpoints
WHEN OLD.deleted = 0
BEGIN
    SELECT RAISE(ABORT, 'only a deleted endpoint may be erased');
END;

CREATE TABLE replicas (
    id           TEXT PRIMARY KEY,
    endpoint     TEXT NOT NULL REFERENCES endpoints (id),
    nonce        TEXT NOT NULL UNIQUE,
    attempt      INTEGER NOT NULL CHECK (attempt >= 1),
    intent       TEXT NOT NULL CHECK (intent IN ('run', 'drain', 'stop')),
    intent_since INTEGER NOT NULL,
    seen         INTEGER NOT NULL CHECK (seen IN (0, 1)),
    ready_at     INTEGER,
    reserved_at  INTEGER NOT NULL,
    gone_at      INTEGER,
    UNIQUE (endpoint, attempt)
) STRICT;

CREATE TRIGGER replicas_intent_only_down
BEFORE UPDATE OF intent ON replicas
WHEN (OLD.intent = 'stop' AND NEW.intent <> 'stop') OR (OLD.intent = 'drain' AND NEW.intent = 'run')
BEGIN
    SELECT RAISE(ABORT, 'what is to become of a replica only moves from run to drain to stop');
END;

-- One row a device: two replicas can't hold the same one.
CREATE TABLE replica_devices (
    device_id TEXT PRIMARY KEY,
    replica   TEXT NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL
) STRICT;

CREATE INDEX replica_devices_by_replica ON replica_devices (replica);

-- Every launch, also after its replica is gone. Failures are read from here; nothing counts in memory.
CREATE TABLE attempts (
    replica     TEXT PRIMARY KEY,
    endpoint    TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    model       TEXT NOT NULL,
    reserved_at INTEGER NOT NULL,
    ready_at    INTEGER,
    ended_at    INTEGER,
    cause       TEXT,
    exit_code   INTEGER,
    signal      INTEGER,
    detail      TEXT NOT NULL DEFAULT '',
    log_tail    TEXT NOT NULL DEFAULT '',
    UNIQUE (endpoint, attempt)
) STRICT;

CREATE INDEX attempts_by_model ON attempts (model, ready_at);

CREATE TABLE events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    replica  TEXT,
    kind     TEXT NOT NULL,
    message  TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_endpoint ON events (endpoint, id);

CREATE TRIGGER events_are_not_rewritten
BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are only added');
END;

-- Answers to creates that carried an Idempotency-Key.
CREATE TABLE idempotency (
    owner     TEXT NOT NULL,
    key       TEXT NOT NULL,
    body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
    endpoint  TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;
