-- A key's list of models and endpoints, as a JSON array; null is everything. When it was last used, to the minute.
ALTER TABLE api_keys ADD COLUMN models TEXT;
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;

-- Whose a model is. No row: it is the operator's, for everyone, as is one with the holder `*`.
CREATE TABLE model_holders (
    model  TEXT NOT NULL,
    holder TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (model, holder)
) STRICT;

-- Which revision of its model an endpoint was created with. It loads no other one.
CREATE TABLE model_pins (
    endpoint TEXT PRIMARY KEY REFERENCES endpoints (id) ON DELETE CASCADE,
    pin      TEXT NOT NULL
) STRICT;

-- How far the times that are shown are from those that were written down, from a stamp on.
CREATE TABLE clock_spans (
    begins_at INTEGER PRIMARY KEY,
    offset_ms INTEGER NOT NULL
) STRICT;

-- Who did what to which object. Rows are added, and go only when they are older than what is kept.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    -- Whose log it is in; null for the host's.
    owner   TEXT,
    -- The key that asked, and its tenant; null where the server did it.
    key     TEXT,
    by_owner TEXT,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_owner ON audit (owner, id);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE audit_kept (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    from_at INTEGER NOT NULL
) STRICT;
INSERT INTO audit_kept VALUES (1, 0);

CREATE TRIGGER audit_is_not_rewritten
BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;

CREATE TRIGGER audit_goes_by_age_only
BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT from_at FROM audit_kept)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;

CREATE TRIGGER audit_kept_only_grows
BEFORE UPDATE ON audit_kept
WHEN NEW.from_at < OLD.from_at
BEGIN
    SELECT RAISE(ABORT, 'what is kept of the audit log only moves on');
END;
