//! The writes of a pass. Each compares with what the pass saw, in the statement that writes.

use async_trait::async_trait;
use dedi_domain::idle::IdleStop;
use dedi_domain::{DeviceId, EndReason, EndpointId, EndpointState, EngineKind, Nonce, ReplicaId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use super::events::{add_event, endpoint_of};
use super::rows::{bad, cause_word, end_reason_text, parse_end_reason, small, stored, timeout_by};
use super::start_times::remember_start;
use super::usage;
use crate::store::pass::launching;
use crate::store::{Ending, EventKind, Moment, PassStore, Ready, StoreError};

/// Launches kept in an endpoint's history.
const ATTEMPTS_KEPT: i64 = 200;

#[async_trait]
impl PassStore for SqliteStore {
    async fn reserve(
        &self,
        endpoint: EndpointId,
        generation: u64,
        (replica, nonce): (ReplicaId, Nonce),
        devices: &[DeviceId],
        logged: u32,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut tx = self.write_leading().await?;
        let id = endpoint.to_string();
        let row: Option<(String, String, i64)> = sqlx::query_as(
            sql!("SELECT e.model, e.engine, max(coalesce((SELECT max(attempt) FROM attempts WHERE endpoint = e.id), 0), ?) + 1 \
             FROM endpoints e WHERE e.id = ? AND e.run = 'STARTED' AND e.deleted = 0 \
               AND e.generation = ?"),
        )
        .bind(logged)
        .bind(&id)
        .bind(stored(generation))
        .fetch_optional(&mut *tx)
        .await?;
        let (model, engine, attempt) = row.ok_or(StoreError::Conflict)?;
        sqlx::query(sql!(
            "INSERT INTO replicas (id, endpoint, nonce, attempt, intent, intent_since, seen, reserved_at) \
             VALUES (?, ?, ?, ?, 'run', ?, 0, ?)"
        ))
        .bind(replica.to_string())
        .bind(&id)
        .bind(nonce.to_string())
        .bind(attempt)
        .bind(now.0)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        for (position, device) in (0_i64..).zip(devices) {
            let done = sqlx::query(sql!(
                "INSERT INTO replica_devices (node, device_id, replica, position) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING"
            ))
            .bind(device.node().as_str())
            .bind(device.name())
            .bind(replica.to_string())
            .bind(position)
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(StoreError::Conflict);
            }
        }
        sqlx::query(sql!(
            "INSERT INTO attempts (replica, endpoint, attempt, model, engine, reserved_at) VALUES (?, ?, ?, ?, ?, ?)"
        ))
        .bind(replica.to_string())
        .bind(&id)
        .bind(attempt)
        .bind(model)
        .bind(&engine)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query(sql!(
            "DELETE FROM attempts WHERE endpoint = ? AND attempt <= ? AND ended_at IS NOT NULL"
        ))
        .bind(&id)
        .bind(attempt - ATTEMPTS_KEPT)
        .execute(&mut *tx)
        .await?;
        let engine = EngineKind::parse(&engine).map_err(bad)?;
        let attempt = small(attempt)?;
        let message = launching(attempt, &engine, devices);
        add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaLaunched, &message).await?;
        self.commit(tx, "reserve").await?;
        Ok(attempt)
    }

    async fn mark_seen(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        sqlx::query(sql!("UPDATE replicas SET seen = 1 WHERE id = ?"))
            .bind(replica.to_string())
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "mark-seen").await
    }

    async fn mark_ready(&self, replica: ReplicaId, ready: &Ready) -> Result<(), StoreError> {
        let now = ready.at.at;
        let mut tx = self.write_leading().await?;
        let done = sqlx::query(sql!("UPDATE replicas SET ready_at = ? WHERE id = ? AND ready_at IS NULL"))
            .bind(now.0)
            .bind(replica.to_string())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        sqlx::query(sql!("UPDATE attempts SET ready_at = ? WHERE replica = ?"))
            .bind(now.0)
            .bind(replica.to_string())
            .execute(&mut *tx)
            .await?;
        let reserved_at: i64 = sqlx::query_scalar(sql!("SELECT reserved_at FROM replicas WHERE id = ?"))
            .bind(replica.to_string())
            .fetch_one(&mut *tx)
            .await?;
        let (endpoint, attempt) = endpoint_of(&mut tx, replica).await?;
        let took = now.since(Timestamp(reserved_at));
        remember_start(&mut tx, replica, took).await?;
        usage::begin(&mut tx, replica, ready).await?;
        let level = ready.isolation.map_or(String::new(), |it| format!(", isolation level {it}"));
        let message = format!("attempt {attempt}: ready after {:.1} s{level}", took.as_secs_f64());
        add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaReady, &message).await?;
        self.commit(tx, "mark-ready").await
    }

    async fn fail(
        &self,
        replica: ReplicaId,
        ending: &Ending,
        ran: Option<Moment>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        let reason = EndReason::Failed { cause: ending.cause };
        if !transition(&mut tx, replica, Transition::Stop, reason, now).await? {
            return Ok(());
        }
        usage::close(&mut tx, replica, ran).await?;
        sqlx::query(
            sql!("UPDATE attempts SET ended_at = ?, cause = ?, exit_code = ?, signal = ?, detail = ?, log_tail = ? \
             WHERE replica = ? AND ended_at IS NULL"),
        )
        .bind(now.0)
        .bind(cause_word(ending.cause)?)
        .bind(ending.code)
        .bind(ending.signal)
        .bind(&ending.detail)
        .bind(&ending.log_tail)
        .bind(replica.to_string())
        .execute(&mut *tx)
        .await?;
        let (endpoint, attempt) = endpoint_of(&mut tx, replica).await?;
        let detail = if ending.detail.is_empty() { String::new() } else { format!(" ({})", ending.detail) };
        let message = format!("attempt {attempt}: {}{detail}", ending.cause.sentence());
        add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaFailed, &message).await?;
        self.commit(tx, "fail").await
    }

    async fn drain(&self, replica: ReplicaId, reason: EndReason, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        if transition(&mut tx, replica, Transition::Drain, reason, now).await? {
            let (endpoint, attempt) = endpoint_of(&mut tx, replica).await?;
            let message = format!("attempt {attempt}: takes no new requests: {}", reason.sentence());
            add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaDraining, &message).await?;
        }
        self.commit(tx, "drain").await
    }

    async fn stop(
        &self,
        replica: ReplicaId,
        reason: EndReason,
        ran: Option<Moment>,
        how: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        if transition(&mut tx, replica, Transition::Stop, reason, now).await? {
            usage::close(&mut tx, replica, ran).await?;
            let (endpoint, attempt) = endpoint_of(&mut tx, replica).await?;
            let message = format!("attempt {attempt}: {how}");
            add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaStopping, &message).await?;
        }
        self.commit(tx, "stop").await
    }

    async fn mark_gone(&self, replica: ReplicaId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        sqlx::query(sql!("UPDATE replicas SET gone_at = ? WHERE id = ? AND gone_at IS NULL"))
            .bind(now.0)
            .bind(replica.to_string())
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "mark-gone").await
    }

    async fn release(
        &self,
        replica: ReplicaId,
        held: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        let (endpoint, attempt) = endpoint_of(&mut tx, replica).await?;
        let gone: Option<(Option<String>,)> = sqlx::query_as(sql!(
            "DELETE FROM replicas WHERE id = ? AND intent = 'stop' RETURNING end_reason"
        ))
        .bind(replica.to_string())
        .fetch_optional(&mut *tx)
        .await?;
        let (reason,) = gone.ok_or(StoreError::Conflict)?;
        let reason = parse_end_reason(reason.as_deref())?.sentence();
        usage::close(&mut tx, replica, None).await?;
        sqlx::query(sql!("UPDATE attempts SET ended_at = ? WHERE replica = ? AND ended_at IS NULL"))
            .bind(now.0)
            .bind(replica.to_string())
            .execute(&mut *tx)
            .await?;
        let message = match held {
            None => format!("attempt {attempt}: gone, its devices are free; reason: {reason}"),
            Some(held) => {
                format!(
                    "attempt {attempt}: gone, but {held}; nothing is placed there before it is back; reason: {reason}"
                )
            }
        };
        add_event(&mut tx, now, endpoint, Some(replica), EventKind::ReplicaReleased, &message).await?;
        self.commit(tx, "release").await
    }

    async fn publish(
        &self,
        endpoint: EndpointId,
        from: EndpointState,
        state: EndpointState,
        generation: u64,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        let done = sqlx::query(sql!(
            "UPDATE endpoints SET published = ?1, \
             published_at = CASE WHEN published = ?1 THEN published_at ELSE ?2 END, \
             observed_generation = max(observed_generation, min(?3, generation)) \
             WHERE id = ?4 AND published = ?5 AND generation = ?3"
        ))
        .bind(state.as_str())
        .bind(now.0)
        .bind(stored(generation))
        .bind(endpoint.to_string())
        .bind(from.as_str())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict);
        }
        if from != state {
            add_event(&mut tx, now, endpoint, None, EventKind::StateChanged, message).await?;
        }
        self.commit(tx, "publish").await
    }

    async fn erase(&self, endpoint: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        let id = endpoint.to_string();
        sqlx::query(sql!(
            "INSERT INTO erased (id, name, at) SELECT id, name, ? FROM endpoints WHERE id = ? AND deleted = 1"
        ))
        .bind(now.0)
        .bind(&id)
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query(sql!(
            "DELETE FROM endpoints WHERE id = ?1 AND deleted = 1 \
             AND NOT EXISTS (SELECT 1 FROM replicas WHERE endpoint = ?1)"
        ))
        .bind(&id)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict);
        }
        sqlx::query(sql!("DELETE FROM attempts WHERE endpoint = ?")).bind(&id).execute(&mut *tx).await?;
        // Closed with its replicas, and closed for sure from here on.
        sqlx::query(sql!("UPDATE usage SET closed = 1 WHERE endpoint = ? AND closed = 0"))
            .bind(&id)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "erase").await
    }

    async fn stop_idle(
        &self,
        endpoint: EndpointId,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        let done: Option<(Option<i64>, String)> = sqlx::query_as(sql!(
            "UPDATE endpoints SET run = 'STOPPED', run_cause = 'inactive', generation = generation + 1, \
             idle_stop_minutes = inactive_timeout_minutes, idle_stop_by = inactive_timeout_by \
             WHERE id = ? AND generation = ? AND run = 'STARTED' AND deleted = 0 \
             RETURNING inactive_timeout_minutes, inactive_timeout_by"
        ))
        .bind(endpoint.to_string())
        .bind(stored(generation))
        .fetch_optional(&mut *tx)
        .await?;
        let (minutes, by) = done.ok_or(StoreError::Conflict)?;
        // The one that is read was decided by: the generation says so.
        let stop = IdleStop { minutes: small(minutes.unwrap_or(0))?, by: timeout_by(&by)? };
        let message = format!("stopped: {}", stop.sentence());
        add_event(&mut tx, now, endpoint, None, EventKind::StoppedInactive, &message).await?;
        self.commit(tx, "stop-idle").await
    }

    async fn beat(&self, beats: &[(ReplicaId, Moment)]) -> Result<(), StoreError> {
        let mut tx = self.write_leading().await?;
        for (replica, until) in beats {
            usage::extend(&mut tx, *replica, *until).await?;
        }
        self.commit(tx, "beat").await
    }
}

#[derive(Clone, Copy)]
enum Transition {
    Drain,
    Stop,
}

/// Moves a row's intent on; false when it is there already or beyond.
async fn transition(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    to: Transition,
    reason: EndReason,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (intent, also_from_drain) = match to {
        Transition::Drain => ("drain", false),
        Transition::Stop => ("stop", true),
    };
    let done = sqlx::query(sql!(
        "UPDATE replicas SET intent = ?, intent_since = ?, end_reason = coalesce(end_reason, ?) \
         WHERE id = ? AND (intent = 'run' OR (? AND intent = 'drain'))"
    ))
    .bind(intent)
    .bind(now.0)
    .bind(end_reason_text(reason)?)
    .bind(replica.to_string())
    .bind(also_from_drain)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
