-- Counts the times that a server took the lead. A pass writes under the epoch in which its server took it; the writes of an
-- earlier one are refused.
ALTER TABLE meta ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0);

CREATE TRIGGER meta_epoch_grows
BEFORE UPDATE OF epoch ON meta
WHEN NEW.epoch <= OLD.epoch
BEGIN
    SELECT RAISE(ABORT, 'an epoch only grows');
END;
