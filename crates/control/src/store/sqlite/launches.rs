//! The history of launches.

use std::time::Duration;

use async_trait::async_trait;
use dedi_domain::{EndpointId, EngineKind, HardwareId, ModelName, ReplicaId, Timestamp};

use super::SqliteStore;
use super::rows::{bad, small};
use super::start_times::KEPT;
use crate::store::{Attempt, LaunchStore, StoreError};

#[async_trait]
impl LaunchStore for SqliteStore {
    async fn attempts(&self, endpoint: EndpointId) -> Result<Vec<Attempt>, StoreError> {
        let rows: Vec<(String, i64, String, Option<i64>)> = sqlx::query_as(
            sql!("SELECT replica, attempt, engine, ended_at FROM attempts WHERE endpoint = ? ORDER BY attempt DESC LIMIT 200"),
        )
        .bind(endpoint.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(replica, attempt, engine, ended_at)| {
                Ok(Attempt {
                    replica: replica.parse().map_err(bad)?,
                    attempt: small(attempt)?,
                    engine: EngineKind::parse(&engine).map_err(bad)?,
                    has_ended: ended_at.is_some(),
                })
            })
            .collect()
    }

    async fn has_ended(&self, replica: ReplicaId) -> Result<bool, StoreError> {
        let row: Option<(Option<i64>,)> =
            sqlx::query_as(sql!("SELECT ended_at FROM attempts WHERE replica = ?"))
                .bind(replica.to_string())
                .fetch_optional(&self.reader)
                .await?;
        Ok(row.is_none_or(|(ended_at,)| ended_at.is_some()))
    }

    async fn log_tail(&self, replica: ReplicaId) -> Result<String, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(sql!("SELECT log_tail FROM attempts WHERE replica = ?"))
            .bind(replica.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map_or(String::new(), |(text,)| text))
    }

    async fn was_launched(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        let was: bool = sqlx::query_scalar(sql!("SELECT EXISTS (SELECT 1 FROM attempts WHERE endpoint = ?)"))
            .bind(endpoint.to_string())
            .fetch_one(&self.reader)
            .await?;
        Ok(was)
    }

    async fn is_erased(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        let found: i64 = sqlx::query_scalar(sql!("SELECT count(*) FROM erased WHERE id = ?"))
            .bind(endpoint.to_string())
            .fetch_one(&self.reader)
            .await?;
        Ok(found > 0)
    }

    async fn usual_start(
        &self,
        model: &ModelName,
        hardware: &HardwareId,
    ) -> Result<Option<Duration>, StoreError> {
        let mut took: Vec<i64> = sqlx::query_scalar(sql!(
            "SELECT took FROM start_times WHERE model = ? AND hardware = ? ORDER BY id DESC LIMIT ?"
        ))
        .bind(model.as_str())
        .bind(hardware.as_str())
        .bind(KEPT)
        .fetch_all(&self.reader)
        .await?;
        took.sort_unstable();
        Ok(took.get(took.len() / 2).map(|it| Timestamp(*it).since(Timestamp(0))))
    }
}
