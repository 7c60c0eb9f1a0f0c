//! The history of each endpoint: only added to, in the transaction of what it tells.

use dedi_domain::{EndpointId, ReplicaId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::error::StoreError;
use super::rows::bad;
use super::sqlite::Store;

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an event tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire and in the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

event_kinds! {
    /// The endpoint was created.
    Created = "created",
    /// Its name, bounds or timeout were changed.
    Updated = "updated",
    /// It was told to start.
    StartRequested = "start_requested",
    /// It was told to stop.
    StopRequested = "stop_requested",
    /// It was told to go.
    DeleteRequested = "delete_requested",
    /// It was idle for its whole timeout.
    StoppedInactive = "stopped_inactive",
    /// It shows another state.
    StateChanged = "state_changed",
    /// A replica took its devices and is being launched.
    ReplicaLaunched = "replica_launched",
    /// A replica answers.
    ReplicaReady = "replica_ready",
    /// A replica failed.
    ReplicaFailed = "replica_failed",
    /// A replica takes no new requests.
    ReplicaDraining = "replica_draining",
    /// A replica is being ended.
    ReplicaStopping = "replica_stopping",
    /// A replica is gone and its devices are free.
    ReplicaReleased = "replica_released",
    /// dedi can't decide about it, and leaves it as it is.
    SetAside = "set_aside",
    /// Its model in the store is another than it was created with.
    ModelChanged = "model_changed",
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Grows.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// A kind's word.
    pub kind: String,
    /// The replica it is about, if one.
    pub replica: Option<String>,
    /// A sentence.
    pub message: String,
}

impl Store {
    /// The newest stamp in the store; the epoch for an empty one. Every change writes an event with its time, but for the
    /// running times of replicas.
    pub async fn newest_stamp(&self) -> Result<Timestamp, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar(
            "SELECT max(at) FROM (\
                SELECT at FROM (SELECT at FROM events ORDER BY id DESC LIMIT 1) \
                UNION ALL SELECT max(seen_at) FROM usage WHERE closed = 0 \
                UNION ALL SELECT at FROM (SELECT at FROM audit ORDER BY id DESC LIMIT 1) \
                UNION ALL SELECT max(published_at) FROM endpoints \
                UNION ALL SELECT max(started_at) FROM endpoints)",
        )
        .fetch_one(&self.reader)
        .await?;
        Ok(Timestamp(newest.unwrap_or(0)))
    }

    /// Up to `limit` events of an endpoint after event `after`, oldest first. The caller has looked the
    /// endpoint up within its tenant.
    pub async fn events(
        &self,
        endpoint: EndpointId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let rows: Vec<(i64, i64, String, Option<String>, String)> = sqlx::query_as(
            "SELECT id, at, kind, replica, message FROM events WHERE endpoint = ? AND id > ? ORDER BY id LIMIT ?",
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

    /// Adds an event that goes with no change.
    pub async fn note(
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
}

pub(super) async fn add_event(
    tx: &mut Transaction<'static, Sqlite>,
    now: Timestamp,
    endpoint: EndpointId,
    replica: Option<ReplicaId>,
    kind: EventKind,
    message: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (at, endpoint, replica, kind, message) VALUES (?, ?, ?, ?, ?)")
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
    let row: Option<(String, i64)> = sqlx::query_as("SELECT endpoint, attempt FROM replicas WHERE id = ?")
        .bind(replica.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    let (endpoint, attempt) = row.ok_or(StoreError::Conflict)?;
    Ok((endpoint.parse().map_err(bad)?, attempt))
}
