//! What a pass and an answer read: rows of one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::failure::Failure;
use dedi_domain::{Desired, DeviceId, EndpointId, ReplicaId, ReplicaRow, Timestamp};
use sqlx::{FromRow, Row, Sqlite, Transaction};

use super::error::StoreError;
use super::rows::{EndpointRecord, ReplicaRecord, bad, parse_cause, small};
use super::sqlite::Store;

/// An endpoint with its replicas and the failures that bear on its next try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRows {
    /// What is wanted.
    pub desired: Desired,
    /// Its replicas, by id.
    pub replicas: Vec<ReplicaRow>,
    /// Oldest first: those since it was started and since a replica that had been ready last ended cleanly,
    /// which proves that it works.
    pub failures: Vec<Failure>,
}

/// What a look at the store gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The endpoints that can be read, by id.
    pub endpoints: Vec<EndpointRows>,
    /// The others.
    pub unread: Vec<Unread>,
}

impl Readable {
    fn whole(self) -> Result<Vec<EndpointRows>, StoreError> {
        match self.unread.into_iter().next() {
            None => Ok(self.endpoints),
            Some(Unread { id, why, .. }) => Err(StoreError::Value(format!("{why} ({id})"))),
        }
    }
}

/// An endpoint with a row that this program can't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its id, as it is stored.
    pub id: String,
    /// What is wrong, as a sentence.
    pub why: String,
    /// The ids of its replicas, as they are stored.
    pub replicas: Vec<String>,
    /// The devices those hold.
    pub devices: Vec<DeviceId>,
}

/// What is wrong with an endpoint's rows, by its id.
type BadRows = BTreeMap<String, String>;

/// One launch as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The replica it made.
    pub replica: ReplicaId,
    /// Counts the endpoint's launches.
    pub attempt: u32,
    /// Whether it has ended.
    pub has_ended: bool,
    /// The last lines it logged; empty unless it failed.
    pub log_tail: String,
}

/// The latest failures that count for the back-off; more would not change a verdict. As many as are kept: when the
/// replicas of an endpoint end all at once, they fill it with few moments.
const FAILURES_MAX: i64 = 200;

#[derive(FromRow)]
struct FailureRow {
    attempt: i64,
    cause: String,
    ended_at: i64,
    ready_at: Option<i64>,
    detail: String,
}

impl TryFrom<FailureRow> for Failure {
    type Error = StoreError;

    fn try_from(row: FailureRow) -> Result<Self, StoreError> {
        let at = Timestamp(row.ended_at);
        Ok(Self {
            attempt: small(row.attempt)?,
            cause: parse_cause(&row.cause)?,
            at,
            ready_for: row.ready_at.map_or(Duration::ZERO, |it| at.since(Timestamp(it))),
            detail: row.detail,
        })
    }
}

const FAILURES: &str = "\
SELECT endpoint, attempt, cause, ended_at, ready_at, detail FROM (
    SELECT a.*,
        row_number() OVER (PARTITION BY a.endpoint ORDER BY a.ended_at DESC, a.attempt DESC) AS newest,
        row_number() OVER (PARTITION BY a.endpoint ORDER BY a.ended_at, a.attempt) AS oldest
    FROM attempts a JOIN endpoints e ON e.id = a.endpoint
    WHERE a.cause IS NOT NULL AND a.ended_at >= e.started_at
        AND a.ended_at > coalesce((
            SELECT max(c.ended_at) FROM attempts c
            WHERE c.endpoint = a.endpoint AND c.cause IS NULL AND c.ready_at IS NOT NULL), -1)
        AND (?1 IS NULL OR e.id = ?1)
) WHERE newest <= ?2 OR oldest = 1
ORDER BY endpoint, ended_at, attempt";

impl Store {
    /// Everything, deleted endpoints that still have replicas included; refused when a row can't be read.
    pub async fn snapshot(&self) -> Result<Vec<EndpointRows>, StoreError> {
        self.readable().await?.whole()
    }

    /// The same as far as it can be read: one bad row costs its endpoint only.
    pub async fn readable(&self) -> Result<Readable, StoreError> {
        let mut tx = self.read().await?;
        let rows = sqlx::query("SELECT * FROM endpoints ORDER BY id").fetch_all(&mut *tx).await?;
        let (mut desired, mut bad_rows) = (Vec::new(), BadRows::new());
        for row in rows {
            let read = EndpointRecord::from_row(&row).map_err(bad).and_then(Desired::try_from);
            match read {
                Ok(it) => desired.push(it),
                Err(err) => {
                    bad_rows.insert(row.try_get("id")?, err.to_string());
                }
            }
        }
        rows_of(&mut tx, desired, bad_rows, None).await
    }

    /// Replicas and failures of one endpoint, which the caller has looked up within its tenant.
    pub async fn rows(&self, desired: Desired) -> Result<EndpointRows, StoreError> {
        let id = desired.id.to_string();
        let mut tx = self.read().await?;
        let read = rows_of(&mut tx, vec![desired], BadRows::new(), Some(&id)).await?;
        read.whole()?.pop().ok_or(StoreError::NotFound)
    }

    /// The launches of an endpoint, newest first; at most 200.
    pub async fn attempts(&self, endpoint: EndpointId) -> Result<Vec<Attempt>, StoreError> {
        let rows: Vec<(String, i64, Option<i64>, String)> = sqlx::query_as(
            "SELECT replica, attempt, ended_at, log_tail FROM attempts WHERE endpoint = ? \
             ORDER BY attempt DESC LIMIT 200",
        )
        .bind(endpoint.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(replica, attempt, ended_at, log_tail)| {
                Ok(Attempt {
                    replica: replica.parse().map_err(bad)?,
                    attempt: small(attempt)?,
                    has_ended: ended_at.is_some(),
                    log_tail,
                })
            })
            .collect()
    }
}

async fn rows_of(
    tx: &mut Transaction<'static, Sqlite>,
    endpoints: Vec<Desired>,
    mut bad_rows: BadRows,
    only: Option<&str>,
) -> Result<Readable, StoreError> {
    let devices: Vec<(String, String)> = sqlx::query_as(
        "SELECT d.replica, d.device_id FROM replica_devices d JOIN replicas r ON r.id = d.replica \
         WHERE ?1 IS NULL OR r.endpoint = ?1 ORDER BY d.replica, d.position",
    )
    .bind(only)
    .fetch_all(&mut **tx)
    .await?;
    let mut devices_of: BTreeMap<String, Vec<DeviceId>> = BTreeMap::new();
    for (replica, device) in devices {
        devices_of.entry(replica).or_default().push(DeviceId(device));
    }
    let replicas = sqlx::query(
        "SELECT r.*, u.seen_at AS ran_until FROM replicas r LEFT JOIN usage u ON u.replica = r.id \
         WHERE ?1 IS NULL OR r.endpoint = ?1 ORDER BY r.id",
    )
    .bind(only)
    .fetch_all(&mut **tx)
    .await?;
    let mut replicas_of: BTreeMap<String, Vec<ReplicaRow>> = BTreeMap::new();
    let mut names_of: BTreeMap<String, Vec<(String, Vec<DeviceId>)>> = BTreeMap::new();
    for row in replicas {
        let (id, endpoint): (String, String) = (row.try_get("id")?, row.try_get("endpoint")?);
        let held = devices_of.remove(&id).unwrap_or_default();
        names_of.entry(endpoint.clone()).or_default().push((id, held.clone()));
        let read = ReplicaRecord::from_row(&row).map_err(bad).and_then(|it| it.with_devices(held));
        match read {
            Ok(it) => replicas_of.entry(endpoint).or_default().push(it),
            Err(err) => {
                bad_rows.insert(endpoint, err.to_string());
            }
        }
    }
    let failures = sqlx::query(FAILURES).bind(only).bind(FAILURES_MAX).fetch_all(&mut **tx).await?;
    let mut failures_of: BTreeMap<String, Vec<Failure>> = BTreeMap::new();
    for row in failures {
        let endpoint: String = row.try_get("endpoint")?;
        match FailureRow::from_row(&row).map_err(bad).and_then(Failure::try_from) {
            Ok(it) => failures_of.entry(endpoint).or_default().push(it),
            Err(err) => {
                bad_rows.insert(endpoint, err.to_string());
            }
        }
    }
    let endpoints = endpoints
        .into_iter()
        .map(|desired| (desired.id.to_string(), desired))
        .filter(|(id, _)| !bad_rows.contains_key(id))
        .map(|(id, desired)| EndpointRows {
            replicas: replicas_of.remove(&id).unwrap_or_default(),
            failures: failures_of.remove(&id).unwrap_or_default(),
            desired,
        })
        .collect();
    let unread = bad_rows
        .into_iter()
        .map(|(id, why)| {
            let (replicas, devices): (Vec<String>, Vec<Vec<DeviceId>>) =
                names_of.remove(&id).unwrap_or_default().into_iter().unzip();
            let why = format!("its rows can't be read: {why}");
            Unread { id, why, replicas, devices: devices.concat() }
        })
        .collect();
    Ok(Readable { endpoints, unread })
}
