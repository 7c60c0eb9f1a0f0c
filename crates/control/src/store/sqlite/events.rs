//! The history of each endpoint: only added to, in the transaction of what it tells.

use async_trait::async_trait;
use dedi_domain::{EndpointId, ReplicaId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use super::rows::bad;
use crate::store::{EventKind, EventRecord, EventStore, StoreError};

#[async_trait]
impl EventStore for SqliteStore {
    async fn events(
        &self,
        endpoint: EndpointId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let rows: Vec<(i64, i64, String, Option<String>, String)> = sqlx::query_as(
            sql!("SELECT id, at, kind, replica, message FROM events WHERE endpoint = ? AND id > ? ORDER BY id LIMIT ?"),
        )
        .bind(endpoint.to_string())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, at, kind, replica, message)| EventRecord {
                id,
                at: Timestamp(at),
                kind,
                replica,
                message,
            })
            .collect())
    }

    async fn note(
        &self,
        endpoint: EndpointId,
        kind: EventKind,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        add_event(&mut tx, now, endpoint, None, kind, message).await?;
        self.commit(tx, "note").await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.forget(
            "forget-events",
            sql!("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ? ORDER BY at LIMIT ?)"),
            before,
        )
        .await
    }
}

pub(super) async fn add_event(
    tx: &mut Transaction<'static, Sqlite>,
    now: Timestamp,
    endpoint: EndpointId,
    replica: Option<ReplicaId>,
    kind: EventKind,
    message: &str,
) -> Result<(), StoreError> {
    sqlx::query(sql!("INSERT INTO events (at, endpoint, replica, kind, message) VALUES (?, ?, ?, ?, ?)"))
        .bind(now.0)
        .bind(endpoint.to_string())
        .bind(replica.map(|it| it.to_string()))
        .bind(kind.as_str())
        .bind(message)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The endpoint of a replica, for events about it.
pub(super) async fn endpoint_of(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
) -> Result<(EndpointId, i64), StoreError> {
    let row: Option<(String, i64)> =
        sqlx::query_as(sql!("SELECT endpoint, attempt FROM replicas WHERE id = ?"))
            .bind(replica.to_string())
            .fetch_optional(&mut **tx)
            .await?;
    let (endpoint, attempt) = row.ok_or(StoreError::Conflict)?;
    Ok((endpoint.parse().map_err(bad)?, attempt))
}
