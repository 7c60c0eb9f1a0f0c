-- How long each replica ran that was ever ready, from then on, seen or known to live. It outlives the endpoint.
CREATE TABLE usage (
    replica          TEXT PRIMARY KEY,
    endpoint         TEXT NOT NULL,
    name             TEXT NOT NULL,
    owner            TEXT NOT NULL,
    model            TEXT NOT NULL,
    hardware         TEXT NOT NULL,
    n_devices        INTEGER NOT NULL CHECK (n_devices >= 0),
    -- The replica's price when it became ready; null if that was before prices were written down.
    cents_per_minute REAL CHECK (cents_per_minute >= 0),
    attempt          INTEGER NOT NULL,
    ready_at         INTEGER NOT NULL,
    until            INTEGER NOT NULL CHECK (until >= ready_at),
    -- The moment that `until` was last moved on for, by the clock then and as milliseconds since the host started. Time
    -- that passes by one of the two only, since somebody set the clock, is not counted.
    seen_at          INTEGER NOT NULL,
    seen_uptime      INTEGER,
    closed           INTEGER NOT NULL CHECK (closed IN (0, 1))
) STRICT;

CREATE INDEX usage_by_owner ON usage (owner, until);
CREATE INDEX usage_by_until ON usage (until);
CREATE INDEX usage_open ON usage (seen_at) WHERE closed = 0;

CREATE TRIGGER usage_only_grows
BEFORE UPDATE ON usage
WHEN NEW.until < OLD.until OR NEW.ready_at <> OLD.ready_at OR (OLD.closed = 1 AND (NEW.closed = 0 OR NEW.until <> OLD.until))
BEGIN
    SELECT RAISE(ABORT, 'a running time only grows, and not after its end');
END;

-- Replicas that are ready now: the first look at them says how far they have come.
INSERT INTO usage
SELECT r.id, r.endpoint, e.name, e.owner, e.model, e.hardware,
    (SELECT count(*) FROM replica_devices d WHERE d.replica = r.id),
    NULL, r.attempt, r.ready_at, r.ready_at, r.ready_at, NULL, 0
FROM replicas r JOIN endpoints e ON e.id = r.endpoint
WHERE r.ready_at IS NOT NULL AND r.intent <> 'stop';
