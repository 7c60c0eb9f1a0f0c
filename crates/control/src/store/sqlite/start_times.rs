//! What launches took on this host, and so what the next one will take.

use std::time::Duration;

use dedi_domain::ReplicaId;
use sqlx::{Sqlite, Transaction};

use crate::store::StoreError;

/// The last launches of a model on a hardware that are remembered; a few, so that a faster disk soon shows.
pub(super) const KEPT: i64 = 5;

/// Remembers how long a replica took that has just become ready.
pub(super) async fn remember_start(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    took: Duration,
) -> Result<(), StoreError> {
    let kind: Option<(String, String)> = sqlx::query_as(sql!(
        "SELECT e.model, e.hardware FROM replicas r JOIN endpoints e ON e.id = r.endpoint WHERE r.id = ?"
    ))
    .bind(replica.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    let Some((model, hardware)) = kind else { return Ok(()) };
    sqlx::query(sql!("INSERT INTO start_times (model, hardware, took) VALUES (?, ?, ?)"))
        .bind(&model)
        .bind(&hardware)
        .bind(i64::try_from(took.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    sqlx::query(sql!(
        "DELETE FROM start_times WHERE model = ?1 AND hardware = ?2 AND id NOT IN (\
            SELECT id FROM start_times WHERE model = ?1 AND hardware = ?2 ORDER BY id DESC LIMIT ?3)"
    ))
    .bind(&model)
    .bind(&hardware)
    .bind(KEPT)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
