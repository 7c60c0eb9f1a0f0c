-- The database of schema step 5 beside this file, brought to step 6 by that step, with rows in what it added. Made with Python's `iterdump`.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'start','2026-11-21 10:38:39',1,X'35A209BC9C6561B5DD656D5DB7ADB2507A71622B2D4C8DD5EF0AB13F432D0CAEB763355FC17E535FD3945383DA4AFDF9',11642708);
INSERT INTO "_sqlx_migrations" VALUES(2,'start times','2026-11-21 17:00:00',1,X'FCD0F5899E12F8A441F235F1092686CC4E28A23DDF744E34F8F2566781516695E4DAF09D930271B8E9A0FEF7FCF983F1',1000000);
INSERT INTO "_sqlx_migrations" VALUES(3,'usage','2026-11-21 17:00:00',1,X'EB09B95AF5104508A47F5EEDC3FCDE08878D245D1034D4D2767DF96931DD6F808DBC308BC3D23E77F56450AA97B1C191',1000000);
INSERT INTO "_sqlx_migrations" VALUES(4,'failures','2026-11-30 09:00:00',1,X'DC809176FBC32BE0CB4590B1CD87831ED27B9604ABDC88915E185CADB1E70A8DCFBA53C90B77D9C2C2B0B30CBED5BDBD',1000000);
INSERT INTO "_sqlx_migrations" VALUES(5,'tenants','2026-11-30 09:00:00',1,X'0F91EA417FD35CDFFDA4B0DA3CE93BA2241CD6363FAF8889953E74DE8CC4867670A556F3AC0978875F2991A97BC50C01',1000000);
INSERT INTO "_sqlx_migrations" VALUES(6,'idle rule','2026-11-30 09:00:00',1,X'456B7F7C294AF2D3BF981D202D344EC31372FC1F11EC5A809D09105E8E51153424699C0F307C91540541FEF7062E00B0',1000000);
CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    owner      TEXT NOT NULL REFERENCES owners (owner),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    role       TEXT NOT NULL CHECK (role IN ('inference', 'viewer', 'developer', 'owner', 'admin')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
, models TEXT, last_used_at INTEGER) STRICT;
INSERT INTO "api_keys" VALUES('lOTz5STAZR','first key','local',X'D7CECA1EF106F198534ABFC2441656E94909432B0402EE57A84A26C4E16480C3','admin',1795257519487,NULL,NULL,'["acme/private"]',1795257519500);
INSERT INTO "api_keys" VALUES('lOTz5STAZS','left','local',X'00CECA1EF106F198534ABFC2441656E94909432B0402EE57A84A26C4E16480C3','viewer',1795257519487,NULL,1795257519588,NULL,NULL);
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
INSERT INTO "attempts" VALUES('replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4','endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',1,'dedi/demo',1795257519594,1795257519874,NULL,NULL,NULL,NULL,'','');
INSERT INTO "attempts" VALUES('replica-76495216-8a1c-4ec3-a1b3-a311558a3012','endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',1,'dedi/demo',1795257519790,1795257520027,1795257520584,NULL,NULL,NULL,'','');
INSERT INTO "attempts" VALUES('replica-b01c4439-b58e-46a2-a4a2-6a2126e2db7b','endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14',1,'dedi/demo',1795257520596,NULL,NULL,NULL,NULL,NULL,'','');
INSERT INTO "attempts" VALUES('replica-2d8d6df5-5ab6-4f4e-a1dd-86f6ad7c1c6c','endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',2,'dedi/demo',1795257519900,NULL,1795257519950,'engine_exited',7,NULL,'exit code 7','cannot go on');
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
INSERT INTO "audit" VALUES(1,1795257519489,'local',NULL,NULL,'key.create','lOTz5STAZR','made the first key, an admin');
INSERT INTO "audit" VALUES(2,1795257519590,'local','lOTz5STAZR','local','key.revoke','lOTz5STAZS','revoked a key');
CREATE TABLE audit_kept (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    from_at INTEGER NOT NULL
) STRICT;
INSERT INTO "audit_kept" VALUES(1,0);
CREATE TABLE clock_spans (
    begins_at INTEGER PRIMARY KEY,
    offset_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "clock_spans" VALUES(1795257519400,3600000);
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
, inactive_timeout_by TEXT NOT NULL DEFAULT 'create', inactive_timeout_at INTEGER NOT NULL DEFAULT 0, idle_stop_minutes INTEGER, idle_stop_by TEXT) STRICT;
INSERT INTO "endpoints" VALUES('endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','local/dedi/demo-facd8bb7','local','demo-facd8bb7','dedi/demo','1x_cpu_1gb',1,1,'STARTED','user',0,5,NULL,0,1,1,'STARTED',1795257519889,1795257519587,1795257519587,'update',1795257519600,NULL,NULL);
INSERT INTO "endpoints" VALUES('endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','local/dedi/demo-e1084359','local','demo-e1084359','dedi/demo','1x_cpu_1gb',1,1,'STOPPED','inactive',0,60,NULL,0,2,2,'STOPPED',1795257520588,1795257519776,1795257519776,'create',0,30,'default');
INSERT INTO "endpoints" VALUES('endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14','local/dedi/demo-30e7999a','local','demo-30e7999a','dedi/demo','1x_cpu_1gb',1,1,'STARTED','user',1,60,NULL,0,2,2,'STOPPING',1795257520649,1795257520490,1795257520490,'create',0,NULL,NULL);
CREATE TABLE erased (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    at   INTEGER NOT NULL
) STRICT;
INSERT INTO "erased" VALUES('endpoint-30b1ca9f-0d64-4f3d-9a37-7c1d6f5f5c11','local/dedi/demo-0badcafe',1795257519587);
CREATE TABLE events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    replica  TEXT,
    kind     TEXT NOT NULL,
    message  TEXT NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,1795257519587,'endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',NULL,'created','created for dedi/demo on 1x_cpu_1gb');
INSERT INTO "events" VALUES(2,1795257519594,'endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4','replica_launched','attempt 1: launching on cpu-0');
INSERT INTO "events" VALUES(3,1795257519603,'endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',NULL,'state_changed','PENDING -> STARTING: 1 replica(s) are being launched');
INSERT INTO "events" VALUES(4,1795257519776,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',NULL,'created','created for dedi/demo on 1x_cpu_1gb');
INSERT INTO "events" VALUES(5,1795257519790,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','replica-76495216-8a1c-4ec3-a1b3-a311558a3012','replica_launched','attempt 1: launching on cpu-1');
INSERT INTO "events" VALUES(6,1795257519808,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',NULL,'state_changed','PENDING -> STARTING: 1 replica(s) are being launched');
INSERT INTO "events" VALUES(7,1795257519874,'endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4','replica_ready','attempt 1: ready after 0.3 s');
INSERT INTO "events" VALUES(8,1795257519889,'endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',NULL,'state_changed','STARTING -> STARTED: 1 of 1 replica(s) answer');
INSERT INTO "events" VALUES(9,1795257520027,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','replica-76495216-8a1c-4ec3-a1b3-a311558a3012','replica_ready','attempt 1: ready after 0.2 s');
INSERT INTO "events" VALUES(10,1795257520027,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',NULL,'state_changed','STARTING -> STARTED: 1 of 1 replica(s) answer');
INSERT INTO "events" VALUES(11,1795257520477,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',NULL,'stop_requested','stop requested');
INSERT INTO "events" VALUES(12,1795257520480,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','replica-76495216-8a1c-4ec3-a1b3-a311558a3012','replica_draining','attempt 1: takes no new requests');
INSERT INTO "events" VALUES(13,1795257520490,'endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14',NULL,'created','created for dedi/demo on 1x_cpu_1gb');
INSERT INTO "events" VALUES(14,1795257520514,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','replica-76495216-8a1c-4ec3-a1b3-a311558a3012','replica_stopping','attempt 1: being ended');
INSERT INTO "events" VALUES(15,1795257520584,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e','replica-76495216-8a1c-4ec3-a1b3-a311558a3012','replica_released','attempt 1: gone, its devices are free');
INSERT INTO "events" VALUES(16,1795257520588,'endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',NULL,'state_changed','STOPPING -> STOPPED: stopped on request');
INSERT INTO "events" VALUES(17,1795257520596,'endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14','replica-b01c4439-b58e-46a2-a4a2-6a2126e2db7b','replica_launched','attempt 1: launching on cpu-1');
INSERT INTO "events" VALUES(18,1795257520642,'endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14',NULL,'state_changed','PENDING -> STARTING: 1 replica(s) are being launched');
INSERT INTO "events" VALUES(19,1795257520649,'endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14',NULL,'delete_requested','deletion requested');
INSERT INTO "events" VALUES(20,1795257520661,'endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14','replica-b01c4439-b58e-46a2-a4a2-6a2126e2db7b','replica_stopping','attempt 1: being ended');
CREATE TABLE idempotency (
    owner     TEXT NOT NULL,
    key       TEXT NOT NULL,
    body_hash BLOB NOT NULL CHECK (length(body_hash) = 32),
    endpoint  TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;
INSERT INTO "idempotency" VALUES('local','a',X'7F06B89C767B6410EC89F8714DB05864684466ECD41439522C3D022B1EEBFC5D','endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6',1795257519587);
INSERT INTO "idempotency" VALUES('local','b',X'7F06B89C767B6410EC89F8714DB05864684466ECD41439522C3D022B1EEBFC5D','endpoint-054b89f4-a080-464f-9a5f-1a1cce5f149e',1795257519776);
INSERT INTO "idempotency" VALUES('local','c',X'7F06B89C767B6410EC89F8714DB05864684466ECD41439522C3D022B1EEBFC5D','endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14',1795257520490);
CREATE TABLE meta (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
INSERT INTO "meta" VALUES(1,'aecfe173-993c-4960-b7c6-5a779a2d75e3',1795257519396);
CREATE TABLE model_holders (
    model  TEXT NOT NULL,
    holder TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (model, holder)
) STRICT;
INSERT INTO "model_holders" VALUES('dedi/demo','*',1795257519490);
INSERT INTO "model_holders" VALUES('acme/private','local',1795257519491);
CREATE TABLE model_pins (
    endpoint TEXT PRIMARY KEY REFERENCES endpoints (id) ON DELETE CASCADE,
    pin      TEXT NOT NULL
) STRICT;
INSERT INTO "model_pins" VALUES('endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','0123456789abcdef0123456789abcdef01234567');
CREATE TABLE owners (
    owner      TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "owners" VALUES('local',1795257519487);
CREATE TABLE replica_devices (
    device_id TEXT PRIMARY KEY,
    replica   TEXT NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL
) STRICT;
INSERT INTO "replica_devices" VALUES('cpu-0','replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4',0);
INSERT INTO "replica_devices" VALUES('cpu-1','replica-b01c4439-b58e-46a2-a4a2-6a2126e2db7b',0);
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
INSERT INTO "replicas" VALUES('replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4','endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','nonce-5693bce9-bba8-4ea4-a11f-73566025b890',1,'run',1795257519594,1,1795257519874,1795257519594,NULL);
INSERT INTO "replicas" VALUES('replica-b01c4439-b58e-46a2-a4a2-6a2126e2db7b','endpoint-fcd4122c-c60c-45b0-be3b-f7c77d4b3f14','nonce-f6d595a0-8526-48a4-b34a-39fbec13a4ce',1,'stop',1795257520661,1,NULL,1795257520596,NULL);
CREATE TABLE start_times (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    model    TEXT NOT NULL,
    hardware TEXT NOT NULL,
    took     INTEGER NOT NULL CHECK (took >= 0)
) STRICT;
INSERT INTO "start_times" VALUES(1,'dedi/demo','1x_cpu_1gb',280);
INSERT INTO "start_times" VALUES(2,'dedi/demo','1x_cpu_1gb',237);
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
INSERT INTO "usage" VALUES('replica-8f78a629-adc4-42ba-a6d6-c01316b83ab4','endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6','local/dedi/demo-facd8bb7','local','dedi/demo','1x_cpu_1gb',1,NULL,1,1795257519874,1795257519874,1795257519874,NULL,0);
CREATE INDEX api_keys_by_owner ON api_keys (owner);
CREATE INDEX endpoints_by_owner ON endpoints (owner, created_at);
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
CREATE TRIGGER replicas_intent_only_down
BEFORE UPDATE OF intent ON replicas
WHEN (OLD.intent = 'stop' AND NEW.intent <> 'stop') OR (OLD.intent = 'drain' AND NEW.intent = 'run')
BEGIN
    SELECT RAISE(ABORT, 'what is to become of a replica only moves from run to drain to stop');
END;
CREATE INDEX replica_devices_by_replica ON replica_devices (replica);
CREATE INDEX attempts_by_model ON attempts (model, ready_at);
CREATE INDEX events_by_endpoint ON events (endpoint, id);
CREATE TRIGGER events_are_not_rewritten
BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are only added');
END;
CREATE INDEX start_times_by_kind ON start_times (model, hardware, id);
CREATE INDEX usage_by_owner ON usage (owner, until);
CREATE INDEX usage_by_until ON usage (until);
CREATE INDEX usage_open ON usage (seen_at) WHERE closed = 0;
CREATE TRIGGER usage_only_grows
BEFORE UPDATE ON usage
WHEN NEW.until < OLD.until OR NEW.ready_at <> OLD.ready_at OR (OLD.closed = 1 AND (NEW.closed = 0 OR NEW.until <> OLD.until))
BEGIN
    SELECT RAISE(ABORT, 'a running time only grows, and not after its end');
END;
CREATE INDEX attempts_failed ON attempts (endpoint, ended_at, attempt) WHERE cause IS NOT NULL;
CREATE INDEX attempts_proven ON attempts (endpoint, ended_at) WHERE cause IS NULL AND ready_at IS NOT NULL;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX audit_by_owner ON audit (owner, id);
CREATE INDEX audit_by_time ON audit (at);
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',20);
INSERT INTO "sqlite_sequence" VALUES('start_times',2);
INSERT INTO "sqlite_sequence" VALUES('audit',2);
COMMIT;
