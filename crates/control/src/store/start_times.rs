//! What launches took on this host, and so what the next one will take.

use std::time::Duration;

use dedi_domain::{HardwareId, ModelName, ReplicaId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::error::StoreError;
use super::sqlite::Store;

/// The last launches of a model on a hardware that are remembered; a few, so that a faster disk soon shows.
const KEPT: i64 = 5;

impl Store {
    /// How long launches of a model on this hardware take until they are ready: the median of the last ones.
    pub async fn usual_start(
        &self,
        model: &ModelName,
        hardware: &HardwareId,
    ) -> Result<Option<Duration>, StoreError> {
        let mut took: Vec<i64> = sqlx::query_scalar(
            "SELECT took FROM start_times WHERE model = ? AND hardware = ? ORDER BY id DESC LIMIT ?",
        )
        .bind(model.as_str())
        .bind(hardware.as_str())
        .bind(KEPT)
        .fetch_all(&self.reader)
        .await?;
        took.sort_unstable();
        Ok(took.get(took.len() / 2).map(|it| Timestamp(*it).since(Timestamp(0))))
    }
}

/// Remembers how long a replica took that has just become ready.
pub(super) async fn remember_start(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    took: Duration,
) -> Result<(), StoreError> {
    let kind: Option<(String, String)> = sqlx::query_as(
        "SELECT e.model, e.hardware FROM replicas r JOIN endpoints e ON e.id = r.endpoint WHERE r.id = ?",
    )
    .bind(replica.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    let Some((model, hardware)) = kind else { return Ok(()) };
    sqlx::query("INSERT INTO start_times (model, hardware, took) VALUES (?, ?, ?)")
        .bind(&model)
        .bind(&hardware)
        .bind(i64::try_from(took.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "DELETE FROM start_times WHERE model = ?1 AND hardware = ?2 AND id NOT IN (\
            SELECT id FROM start_times WHERE model = ?1 AND hardware = ?2 ORDER BY id DESC LIMIT ?3)",
    )
    .bind(&model)
    .bind(&hardware)
    .bind(KEPT)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
