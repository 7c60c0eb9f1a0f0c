-- Who set an endpoint's inactivity timeout, and from when on it counts; and which one stopped the endpoint, which may
-- have been changed since. Those of before this step are taken to be asked for: they go on as they are.
ALTER TABLE endpoints ADD COLUMN inactive_timeout_by TEXT NOT NULL DEFAULT 'create';
ALTER TABLE endpoints ADD COLUMN inactive_timeout_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN idle_stop_minutes INTEGER;
ALTER TABLE endpoints ADD COLUMN idle_stop_by TEXT;
