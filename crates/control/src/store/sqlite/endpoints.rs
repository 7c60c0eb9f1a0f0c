//! Desired state.

use async_trait::async_trait;
use dedi_domain::{Desired, EndpointId, Owner, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use super::audit::audit;
use super::events::add_event;
use super::pins::insert_pin;
use super::rows::{EndpointRecord, bad, run_cause_word, run_word, stored, timeout_by_word};
use crate::store::{
    Actor, AuditAction, AuditEntry, Change, EndpointKey, EndpointStore, EventKind, Idempotency, Inserted,
    NewEndpoint, StoreError,
};

const SELECT_ONE: &str =
    sql!("SELECT * FROM endpoints WHERE owner = ? AND deleted = 0 AND (id = ? OR name = ?)");

#[async_trait]
impl EndpointStore for SqliteStore {
    async fn insert_endpoint(&self, new: &NewEndpoint, now: Timestamp) -> Result<Inserted, StoreError> {
        let desired = &new.desired;
        let owner = desired.owner.as_str();
        let mut tx = self.write().await?;
        if let Some(it) = &new.idempotency {
            match before(&mut tx, owner, it).await? {
                Some((hash, _)) if hash != it.body_hash => return Ok(Inserted::OtherBody),
                Some((_, endpoint)) if !it.is_ours || it.instead_of != Some(endpoint) => {
                    return Ok(Inserted::Before(endpoint));
                }
                Some(_) | None => {}
            }
            remember(&mut tx, desired, it, now).await?;
        }
        let n_owned: i64 =
            sqlx::query_scalar(sql!("SELECT count(*) FROM endpoints WHERE owner = ? AND deleted = 0"))
                .bind(owner)
                .fetch_one(&mut *tx)
                .await?;
        if n_owned >= i64::from(new.quota) {
            return Ok(Inserted::QuotaFull);
        }
        insert(&mut tx, desired).await?;
        let message = format!("created for {} on {}", desired.model, desired.hardware);
        add_event(&mut tx, now, desired.id, None, EventKind::Created, &message).await?;
        if let Some(pin) = &new.pin {
            insert_pin(&mut tx, desired.id, pin).await?;
        }
        audit(&mut tx, &entry(&new.by, desired, AuditAction::EndpointCreate, message), now).await?;
        self.commit(tx, "insert-endpoint").await?;
        Ok(Inserted::New)
    }

    async fn endpoint(&self, owner: &Owner, key: &EndpointKey) -> Result<Desired, StoreError> {
        let (id, name) = key.parts();
        let row: Option<EndpointRecord> = sqlx::query_as(SELECT_ONE)
            .bind(owner.as_str())
            .bind(id)
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        row.ok_or(StoreError::NotFound)?.try_into()
    }

    async fn endpoints(&self, owner: &Owner) -> Result<Vec<Desired>, StoreError> {
        let rows: Vec<EndpointRecord> = sqlx::query_as(sql!(
            "SELECT * FROM endpoints WHERE owner = ? AND deleted = 0 ORDER BY created_at DESC, id"
        ))
        .bind(owner.as_str())
        .fetch_all(&self.reader)
        .await?;
        // One that can't be read hides none of the others; the reconciler says loudly which it is.
        Ok(rows.into_iter().filter_map(|it| Desired::try_from(it).ok()).collect())
    }

    async fn update_endpoint(
        &self,
        before: &Desired,
        change: Change,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Desired, StoreError> {
        let Change { mut after, kind, message } = change;
        after.generation = before.generation + 1;
        let mut tx = self.write().await?;
        set_desired(&mut tx, &after, before).await?;
        add_event(&mut tx, now, after.id, None, kind, &message).await?;
        audit(&mut tx, &entry(by, &after, asked(kind), message), now).await?;
        self.commit(tx, "update-endpoint").await?;
        Ok(after)
    }
}

/// What a request that leads to this event asked for.
fn asked(kind: EventKind) -> AuditAction {
    let asks = [
        (EventKind::StartRequested, AuditAction::EndpointStart),
        (EventKind::StopRequested, AuditAction::EndpointStop),
        (EventKind::DeleteRequested, AuditAction::EndpointDelete),
    ];
    asks.into_iter().find(|it| it.0 == kind).map_or(AuditAction::EndpointUpdate, |it| it.1)
}

/// What the audit log says of an endpoint's change.
fn entry(by: &Actor, of: &Desired, action: AuditAction, message: String) -> AuditEntry {
    AuditEntry { owner: Some(of.owner.clone()), by: by.clone(), action, object: of.id.to_string(), message }
}

/// The request's hash and the endpoint of the answer that counts for this key, if there is one. One of our marks
/// counts as long as its endpoint exists.
async fn before(
    tx: &mut Transaction<'static, Sqlite>,
    owner: &str,
    it: &Idempotency,
) -> Result<Option<(Vec<u8>, EndpointId)>, StoreError> {
    let row: Option<(Vec<u8>, String)> = sqlx::query_as(sql!(
        "SELECT body_hash, endpoint FROM idempotency WHERE owner = ? AND key = ? AND at >= ? \
         AND (? OR EXISTS (SELECT 1 FROM endpoints WHERE id = endpoint AND deleted = 0))"
    ))
    .bind(owner)
    .bind(&it.key)
    .bind(it.since.0)
    .bind(!it.is_ours)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|(hash, endpoint)| Ok((hash, endpoint.parse().map_err(bad)?))).transpose()
}

async fn remember(
    tx: &mut Transaction<'static, Sqlite>,
    desired: &Desired,
    it: &Idempotency,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Of its own sort only: the two are kept for different times.
    sqlx::query(sql!("DELETE FROM idempotency WHERE at < ? AND (substr(key, 1, 1) = char(1)) = ?"))
        .bind(it.since.0)
        .bind(it.is_ours)
        .execute(&mut **tx)
        .await?;
    sqlx::query(sql!(
        "INSERT OR REPLACE INTO idempotency (owner, key, body_hash, endpoint, at) VALUES (?, ?, ?, ?, ?)"
    ))
    .bind(desired.owner.as_str())
    .bind(&it.key)
    .bind(it.body_hash.as_slice())
    .bind(desired.id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert(tx: &mut Transaction<'static, Sqlite>, it: &Desired) -> Result<(), StoreError> {
    sqlx::query(
        sql!("INSERT INTO endpoints (id, name, owner, display_name, model, hardware, min_replicas, max_replicas, \
         run, run_cause, deleted, inactive_timeout_minutes, availability_zone, disable_speculative_decoding, \
         generation, observed_generation, published, published_at, created_at, started_at, inactive_timeout_by, \
         inactive_timeout_at, engine) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    )
    .bind(it.id.to_string())
    .bind(it.name.as_str())
    .bind(it.owner.as_str())
    .bind(&it.display_name)
    .bind(it.model.as_str())
    .bind(it.hardware.as_str())
    .bind(i64::from(it.replicas.min()))
    .bind(i64::from(it.replicas.max()))
    .bind(run_word(it.run))
    .bind(run_cause_word(it.run_cause))
    .bind(it.deleted)
    .bind(it.inactive_timeout_minutes.map(i64::from))
    .bind(it.availability_zone.as_deref())
    .bind(it.disable_speculative_decoding)
    .bind(stored(it.generation))
    .bind(stored(it.observed_generation))
    .bind(it.published.as_str())
    .bind(it.published_at.0)
    .bind(it.created_at.0)
    .bind(it.started_at.0)
    .bind(timeout_by_word(it.idle.set_by))
    .bind(it.idle.counts_from.0)
    .bind(it.engine.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Everything of a row that a request can change, and the state it shows at once.
async fn set_desired(
    tx: &mut Transaction<'static, Sqlite>,
    it: &Desired,
    before: &Desired,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        sql!("UPDATE endpoints SET display_name = ?, min_replicas = ?, max_replicas = ?, run = ?, run_cause = ?, \
         deleted = ?, inactive_timeout_minutes = ?, inactive_timeout_by = ?, inactive_timeout_at = ?, published = ?, published_at = ?, \
         started_at = CASE WHEN ? = started_at THEN started_at ELSE \
             max(?, 1 + coalesce((SELECT max(ended_at) FROM attempts WHERE endpoint = endpoints.id), 0)) END, \
         generation = ? \
         WHERE id = ? AND owner = ? AND deleted = 0 AND generation = ? AND published = ? AND published_at = ?"),
    )
    .bind(&it.display_name)
    .bind(i64::from(it.replicas.min()))
    .bind(i64::from(it.replicas.max()))
    .bind(run_word(it.run))
    .bind(run_cause_word(it.run_cause))
    .bind(it.deleted)
    .bind(it.inactive_timeout_minutes.map(i64::from))
    .bind(timeout_by_word(it.idle.set_by))
    .bind(it.idle.counts_from.0)
    .bind(it.published.as_str())
    .bind(it.published_at.0)
    // A start is later than every failure before it, even one of the same millisecond, which would count again.
    .bind(it.started_at.0)
    .bind(it.started_at.0)
    .bind(stored(it.generation))
    .bind(it.id.to_string())
    .bind(before.owner.as_str())
    .bind(stored(before.generation))
    .bind(before.published.as_str())
    .bind(before.published_at.0)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 { Err(StoreError::Conflict) } else { Ok(()) }
}
