-- Why a replica drains or is to stop, as a JSON object of its own; null while it is to run, and in rows of before this
-- step. What it drains for is what it stops for.
ALTER TABLE replicas ADD COLUMN end_reason TEXT CHECK (json_valid(end_reason));

CREATE TRIGGER replicas_end_reason_stays
BEFORE UPDATE OF end_reason ON replicas
WHEN OLD.end_reason IS NOT NULL AND NEW.end_reason IS NOT OLD.end_reason
BEGIN
    SELECT RAISE(ABORT, 'why a replica is ended is decided once');
END;
