//! Which revision of its model each endpoint was created with.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::{EndpointId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use super::events::add_event;
use crate::store::{EventKind, EventStore, PinStore, StoreError};

#[async_trait]
impl PinStore for SqliteStore {
    async fn model_pins(&self) -> Result<BTreeMap<EndpointId, String>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql!("SELECT endpoint, pin FROM model_pins")).fetch_all(&self.reader).await?;
        Ok(rows.into_iter().filter_map(|(id, pin)| Some((id.parse().ok()?, pin))).collect())
    }

    async fn model_pin(&self, endpoint: EndpointId) -> Result<Option<String>, StoreError> {
        let pin = sqlx::query_scalar(sql!("SELECT pin FROM model_pins WHERE endpoint = ?"))
            .bind(endpoint.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(pin)
    }

    async fn pin_model(&self, endpoint: EndpointId, pin: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        insert_pin(&mut tx, endpoint, pin).await?;
        self.commit(tx, "pin-model").await
    }

    async fn repin_model(
        &self,
        endpoint: EndpointId,
        pin: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(sql!("UPDATE model_pins SET pin = ? WHERE endpoint = ? AND pin <> ?"))
            .bind(pin)
            .bind(endpoint.to_string())
            .bind(pin)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() > 0 {
            add_event(&mut tx, now, endpoint, None, EventKind::ModelChanged, message).await?;
        }
        self.commit(tx, "repin-model").await
    }

    async fn tell_model_changed(
        &self,
        endpoint: EndpointId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let last: Option<String> = sqlx::query_scalar(sql!(
            "SELECT message FROM events WHERE endpoint = ? AND kind = ? ORDER BY id DESC LIMIT 1"
        ))
        .bind(endpoint.to_string())
        .bind(EventKind::ModelChanged.as_str())
        .fetch_optional(&self.reader)
        .await?;
        if last.as_deref() == Some(message) {
            return Ok(());
        }
        self.note(endpoint, EventKind::ModelChanged, message, now).await
    }
}

/// Says which revision an endpoint is of, unless it is known.
pub(super) async fn insert_pin(
    tx: &mut Transaction<'static, Sqlite>,
    endpoint: EndpointId,
    pin: &str,
) -> Result<(), StoreError> {
    sqlx::query(sql!("INSERT INTO model_pins (endpoint, pin) VALUES (?, ?) ON CONFLICT DO NOTHING"))
        .bind(endpoint.to_string())
        .bind(pin)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
