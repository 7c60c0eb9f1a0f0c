//! What a pass and an answer read: rows of one moment.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::{Desired, DeviceId, NodeId, ReplicaRow};
use sqlx::{FromRow, Row, Sqlite, Transaction};

use super::SqliteStore;
use super::failures;
use super::rows::{EndpointRecord, ReplicaRecord, bad};
use crate::store::{EndpointRows, Readable, SnapshotStore, StoreError, Unread};

/// What is wrong with an endpoint's rows, by its id.
pub(super) type BadRows = BTreeMap<String, String>;

#[async_trait]
impl SnapshotStore for SqliteStore {
    async fn readable(&self) -> Result<Readable, StoreError> {
        let mut tx = self.read().await?;
        let rows = sqlx::query(sql!("SELECT * FROM endpoints ORDER BY id")).fetch_all(&mut *tx).await?;
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

    async fn rows(&self, desired: Desired) -> Result<EndpointRows, StoreError> {
        let id = desired.id.to_string();
        let mut tx = self.read().await?;
        let read = rows_of(&mut tx, vec![desired], BadRows::new(), Some(&id)).await?;
        read.whole()?.pop().ok_or(StoreError::NotFound)
    }
}

async fn rows_of(
    tx: &mut Transaction<'static, Sqlite>,
    endpoints: Vec<Desired>,
    mut bad_rows: BadRows,
    only: Option<&str>,
) -> Result<Readable, StoreError> {
    let devices: Vec<(String, String, String)> = sqlx::query_as(sql!(
        "SELECT d.replica, d.node, d.device_id FROM replica_devices d JOIN replicas r ON r.id = d.replica \
         WHERE ?1 IS NULL OR r.endpoint = ?1 ORDER BY d.replica, d.position"
    ))
    .bind(only)
    .fetch_all(&mut **tx)
    .await?;
    let mut devices_of: BTreeMap<String, Vec<DeviceId>> = BTreeMap::new();
    for (replica, node, device) in devices {
        let node = NodeId::parse(&node).map_err(bad)?;
        devices_of.entry(replica).or_default().push(DeviceId::on(node, device));
    }
    let replicas = sqlx::query(sql!(
        "SELECT r.*, u.seen_at AS ran_until FROM replicas r LEFT JOIN usage u ON u.replica = r.id \
         WHERE ?1 IS NULL OR r.endpoint = ?1 ORDER BY r.id"
    ))
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
