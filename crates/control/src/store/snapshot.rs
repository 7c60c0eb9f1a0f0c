//! What a pass and an answer read: rows of one moment.

use std::collections::BTreeMap;

use dedi_domain::failure::Failure;
use dedi_domain::{Desired, DeviceId, EndpointId, NodeId, ReplicaId, ReplicaRow};
use sqlx::{FromRow, Row, Sqlite, Transaction};

use super::error::StoreError;
use super::failures;
use super::rows::{EndpointRecord, ReplicaRecord, bad, small};
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
pub(super) type BadRows = BTreeMap<String, String>;

/// One launch as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The replica it made.
    pub replica: ReplicaId,
    /// Counts the endpoint's launches.
    pub attempt: u32,
    /// Whether it has ended.
    pub has_ended: bool,
}

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
        let rows: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT replica, attempt, ended_at FROM attempts WHERE endpoint = ? ORDER BY attempt DESC LIMIT 200",
        )
        .bind(endpoint.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(replica, attempt, ended_at)| {
                Ok(Attempt {
                    replica: replica.parse().map_err(bad)?,
                    attempt: small(attempt)?,
                    has_ended: ended_at.is_some(),
                })
            })
            .collect()
    }

    /// Whether the launch of a replica has ended; so has one that is not known any more.
    pub async fn has_ended(&self, replica: ReplicaId) -> Result<bool, StoreError> {
        let row: Option<(Option<i64>,)> = sqlx::query_as("SELECT ended_at FROM attempts WHERE replica = ?")
            .bind(replica.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_none_or(|(ended_at,)| ended_at.is_some()))
    }

    /// The last lines that the launch of a replica logged; empty unless it failed.
    pub async fn log_tail(&self, replica: ReplicaId) -> Result<String, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT log_tail FROM attempts WHERE replica = ?")
            .bind(replica.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map_or(String::new(), |(text,)| text))
    }
}

async fn rows_of(
    tx: &mut Transaction<'static, Sqlite>,
    endpoints: Vec<Desired>,
    mut bad_rows: BadRows,
    only: Option<&str>,
) -> Result<Readable, StoreError> {
    let devices: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT d.replica, d.node, d.device_id FROM replica_devices d JOIN replicas r ON r.id = d.replica \
         WHERE ?1 IS NULL OR r.endpoint = ?1 ORDER BY d.replica, d.position",
    )
    .bind(only)
    .fetch_all(&mut **tx)
    .await?;
    let mut devices_of: BTreeMap<String, Vec<DeviceId>> = BTreeMap::new();
    for (replica, node, device) in devices {
        let node = NodeId::parse(&node).map_err(bad)?;
        devices_of.entry(replica).or_default().push(DeviceId::on(node, device));
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
    let mut failures_of = failures::failures(tx, only, &mut bad_rows).await?;
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
