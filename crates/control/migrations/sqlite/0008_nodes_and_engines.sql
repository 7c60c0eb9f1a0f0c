-- Two nodes may have devices of one name. The empty name is the host that the server runs on.
CREATE TABLE devices_of_replicas (
    node      TEXT NOT NULL DEFAULT '',
    device_id TEXT NOT NULL,
    replica   TEXT NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    PRIMARY KEY (node, device_id)
) STRICT;

INSERT INTO devices_of_replicas (device_id, replica, position)
SELECT device_id, replica, position FROM replica_devices;

DROP TABLE replica_devices;
ALTER TABLE devices_of_replicas RENAME TO replica_devices;
CREATE INDEX replica_devices_by_replica ON replica_devices (replica);

-- The engine that an endpoint runs on, and that each of its launches ran on.
ALTER TABLE endpoints ADD COLUMN engine TEXT NOT NULL DEFAULT 'dedi';
ALTER TABLE attempts ADD COLUMN engine TEXT NOT NULL DEFAULT 'dedi';
