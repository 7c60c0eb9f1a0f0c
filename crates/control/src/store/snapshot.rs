//! What a pass and an answer read: rows of one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::failure::Failure;
use dedi_domain::{Desired, DeviceId, EndpointId, ReplicaId, ReplicaRow, Timestamp};
use sqlx::{FromRow, Sqlite, Transaction};

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

/// The latest failures that count for the back-off; more would not change a verdict.
const FAILURES_MAX: i64 = 50;

#[derive(FromRow)]
struct FailureRow {
    endpoint: String,
    attempt: i64,
    cause: String,
    ended_at: i64,
    ready_at: Option<i64>,
    detail: String,
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
    /// Everything, deleted endpoints that still have replicas included.
    pub async fn snapshot(&self) -> Result<Vec<EndpointRows>, StoreError> {
        let mut tx = self.read().await?;
        let endpoints: Vec<EndpointRecord> =
            sqlx::query_as("SELECT * FROM endpoints ORDER BY id").fetch_all(&mut *tx).await?;
        let desired = endpoints.into_iter().map(Desired::try_from).collect::<Result<Vec<_>, _>>()?;
        rows_of(&mut tx, desired, None).await
    }

    /// Replicas and failures of one endpoint, which the caller has looked up within its tenant.
    pub async fn rows(&self, desired: Desired) -> Result<EndpointRows, StoreError> {
        let id = desired.id.to_string();
        let mut tx = self.read().await?;
        rows_of(&mut tx, vec![desired], Some(&id)).await?.pop().ok_or(StoreError::NotFound)
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
    only: Option<&str>,
) -> Result<Vec<EndpointRows>, StoreError> {
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
    let replicas: Vec<ReplicaRecord> =
        sqlx::query_as("SELECT * FROM replicas WHERE ?1 IS NULL OR endpoint = ?1 ORDER BY id")
            .bind(only)
            .fetch_all(&mut **tx)
            .await?;
    let mut replicas_of: BTreeMap<String, Vec<ReplicaRow>> = BTreeMap::new();
    for row in replicas {
        let held = devices_of.remove(&row.id).unwrap_or_default();
        replicas_of.entry(row.endpoint.clone()).or_default().push(row.with_devices(held)?);
    }
    let failures: Vec<FailureRow> =
        sqlx::query_as(FAILURES).bind(only).bind(FAILURES_MAX).fetch_all(&mut **tx).await?;
    let mut failures_of: BTreeMap<String, Vec<Failure>> = BTreeMap::new();
    for row in failures {
        let at = Timestamp(row.ended_at);
        failures_of.entry(row.endpoint).or_default().push(Failure {
            attempt: small(row.attempt)?,
            cause: parse_cause(&row.cause)?,
            at,
            ready_for: row.ready_at.map_or(Duration::ZERO, |it| at.since(Timestamp(it))),
            detail: row.detail,
        });
    }
    Ok(endpoints
        .into_iter()
        .map(|desired| {
            let id = desired.id.to_string();
            EndpointRows {
                replicas: replicas_of.remove(&id).unwrap_or_default(),
                failures: failures_of.remove(&id).unwrap_or_default(),
                desired,
            }
        })
        .collect())
}
