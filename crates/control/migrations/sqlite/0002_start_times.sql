-- How long launches took until they were ready, by model and hardware. Unlike attempts they outlive their endpoint,
-- so that the next one of the same kind knows what to expect.
CREATE TABLE start_times (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    model    TEXT NOT NULL,
    hardware TEXT NOT NULL,
    took     INTEGER NOT NULL CHECK (took >= 0)
) STRICT;

CREATE INDEX start_times_by_kind ON start_times (model, hardware, id);

INSERT INTO start_times (model, hardware, took)
SELECT a.model, e.hardware, a.ready_at - a.reserved_at
FROM attempts a JOIN endpoints e ON e.id = a.endpoint
WHERE a.ready_at >= a.reserved_at
ORDER BY a.ready_at;
