//! Desired state: what tenants read and change. Each function names the tenant; another's row is not there.

use dedi_domain::idle::IdleStop;
use dedi_domain::{Desired, EndpointId, EndpointName, Owner, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::audit::{Actor, AuditAction, AuditEntry, audit};
use super::error::StoreError;
use super::events::{EventKind, add_event};
use super::holders::insert_pin;
use super::rows::{EndpointRecord, run_cause_word, run_word, small, stored, timeout_by, timeout_by_word};
use super::sqlite::Store;

/// How a request names an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointKey {
    /// By id.
    Id(EndpointId),
    /// By name.
    Name(EndpointName),
}

impl EndpointKey {
    /// The key in `text`, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Id).or_else(|_| EndpointName::parse(text).map(Self::Name)).ok()
    }

    /// Its id and its name; the one that it does not say is empty, as nothing is called.
    pub(super) fn parts(&self) -> (String, String) {
        match self {
            Self::Id(id) => (id.to_string(), String::new()),
            Self::Name(name) => (String::new(), name.to_string()),
        }
    }
}

/// An endpoint to be, with the request that made it.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// All of it; generation 1.
    pub desired: Desired,
    /// By what a repetition of the request is known.
    pub idempotency: Option<Idempotency>,
    /// Most endpoints its owner may have.
    pub quota: u32,
    /// Which revision of its model it is to serve, where that is known.
    pub pin: Option<String>,
    /// Who asked.
    pub by: Actor,
}

/// By what a repeated create is known.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The client's `Idempotency-Key`, or a mark of our own that no client can send.
    pub key: String,
    /// The SHA-256 of the request.
    pub body_hash: [u8; 32],
    /// Answers older than this do not count.
    pub since: Timestamp,
    /// Whether the key is a mark of ours: the same request may be meant as another endpoint.
    pub is_ours: bool,
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    New,
    /// This idempotency key made this endpoint before.
    Before(EndpointId),
    /// This idempotency key was used with another body.
    OtherBody,
    /// The owner has as many as it may.
    QuotaFull,
}

const SELECT_ONE: &str = "SELECT * FROM endpoints WHERE owner = ? AND deleted = 0 AND (id = ? OR name = ?)";

impl Store {
    /// Writes a new endpoint. `repeats` says of the endpoint that the same request made before, without an
    /// idempotency key, whether this one only asks for its lost answer.
    pub async fn insert_endpoint(
        &self,
        new: &NewEndpoint,
        now: Timestamp,
        repeats: impl Fn(EndpointId) -> bool,
    ) -> Result<Inserted, StoreError> {
        let desired = &new.desired;
        let owner = desired.owner.as_str();
        let mut tx = self.write().await?;
        if let Some(it) = &new.idempotency {
            match before(&mut tx, owner, it).await? {
                Some((hash, _)) if hash != it.body_hash => return Ok(Inserted::OtherBody),
                Some((_, endpoint)) if !it.is_ours || repeats(endpoint) => {
                    return Ok(Inserted::Before(endpoint));
                }
                Some(_) | None => {}
            }
            remember(&mut tx, desired, it, now).await?;
        }
        let n_owned: i64 =
            sqlx::query_scalar("SELECT count(*) FROM endpoints WHERE owner = ? AND deleted = 0")
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

    /// The tenant's endpoint of that id or name.
    pub async fn endpoint(&self, owner: &Owner, key: &EndpointKey) -> Result<Desired, StoreError> {
        let (id, name) = key.parts();
        let row: Option<EndpointRecord> = sqlx::query_as(SELECT_ONE)
            .bind(owner.as_str())
            .bind(id)
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        row.ok_or(StoreError::NotFound)?.try_into()
    }

    /// All endpoints of the tenant that can be read, newest first.
    pub async fn endpoints(&self, owner: &Owner) -> Result<Vec<Desired>, StoreError> {
        let rows: Vec<EndpointRecord> = sqlx::query_as(
            "SELECT * FROM endpoints WHERE owner = ? AND deleted = 0 ORDER BY created_at DESC, id",
        )
        .bind(owner.as_str())
        .fetch_all(&self.reader)
        .await?;
        // One that can't be read hides none of the others; the reconciler says loudly which it is.
        Ok(rows.into_iter().filter_map(|it| Desired::try_from(it).ok()).collect())
    }

    /// Changes the tenant's endpoint by `change`, which sees the current row and answers the new one with a
    /// sentence for the history, or `None` for no change. Concurrent changes come one after the other, each
    /// on what the one before left.
    pub async fn update_endpoint<E: From<StoreError>>(
        &self,
        owner: &Owner,
        key: &EndpointKey,
        by: &Actor,
        now: Timestamp,
        mut change: impl FnMut(&Desired) -> Result<Option<(Desired, EventKind, String)>, E>,
    ) -> Result<Desired, E> {
        let (id, name) = key.parts();
        let mut tx = self.write().await?;
        let row: Option<EndpointRecord> = sqlx::query_as(SELECT_ONE)
            .bind(owner.as_str())
            .bind(id)
            .bind(name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(StoreError::from)?;
        let before: Desired = row.ok_or(StoreError::NotFound)?.try_into()?;
        let Some((mut after, kind, message)) = change(&before)? else { return Ok(before) };
        after.generation = before.generation + 1;
        set_desired(&mut tx, &after, before.generation).await?;
        add_event(&mut tx, now, after.id, None, kind, &message).await?;
        audit(&mut tx, &entry(by, &after, asked(kind), message), now).await?;
        self.commit(tx, "update-endpoint").await?;
        Ok(after)
    }

    /// The idle rule's stop; refused when anything was changed since `generation`.
    pub async fn stop_idle(
        &self,
        endpoint: EndpointId,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let done: Option<(Option<i64>, String)> = sqlx::query_as(
            "UPDATE endpoints SET run = 'STOPPED', run_cause = 'inactive', generation = generation + 1, \
             idle_stop_minutes = inactive_timeout_minutes, idle_stop_by = inactive_timeout_by \
             WHERE id = ? AND generation = ? AND run = 'STARTED' AND deleted = 0 \
             RETURNING inactive_timeout_minutes, inactive_timeout_by",
        )
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
    let row: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT body_hash, endpoint FROM idempotency WHERE owner = ? AND key = ? AND at >= ? \
         AND (? OR EXISTS (SELECT 1 FROM endpoints WHERE id = endpoint AND deleted = 0))",
    )
    .bind(owner)
    .bind(&it.key)
    .bind(it.since.0)
    .bind(!it.is_ours)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|(hash, endpoint)| Ok((hash, endpoint.parse().map_err(super::rows::bad)?))).transpose()
}

async fn remember(
    tx: &mut Transaction<'static, Sqlite>,
    desired: &Desired,
    it: &Idempotency,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Of its own sort only: the two are kept for different times.
    sqlx::query("DELETE FROM idempotency WHERE at < ? AND (substr(key, 1, 1) = char(1)) = ?")
        .bind(it.since.0)
        .bind(it.is_ours)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency (owner, key, body_hash, endpoint, at) VALUES (?, ?, ?, ?, ?)",
    )
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
        "INSERT INTO endpoints (id, name, owner, display_name, model, hardware, min_replicas, max_replicas, \
         run, run_cause, deleted, inactive_timeout_minutes, availability_zone, disable_speculative_decoding, \
         generation, observed_generation, published, published_at, created_at, started_at, inactive_timeout_by, \
         inactive_timeout_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Everything of a row that a request can change, and the state it shows at once.
async fn set_desired(
    tx: &mut Transaction<'static, Sqlite>,
    it: &Desired,
    read_generation: u64,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE endpoints SET display_name = ?, min_replicas = ?, max_replicas = ?, run = ?, run_cause = ?, \
         deleted = ?, inactive_timeout_minutes = ?, inactive_timeout_by = ?, inactive_timeout_at = ?, published = ?, published_at = ?, \
         started_at = CASE WHEN ? = started_at THEN started_at ELSE \
             max(?, 1 + coalesce((SELECT max(ended_at) FROM attempts WHERE endpoint = endpoints.id), 0)) END, \
         generation = ? WHERE id = ? AND generation = ?",
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
    .bind(stored(read_generation))
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 { Err(StoreError::Conflict) } else { Ok(()) }
}
