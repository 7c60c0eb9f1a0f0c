//! How long replicas ran. A row begins when its replica is ready, follows while that is seen to live, and is closed in
//! the transaction that ends the attempt; none of it goes back, and nothing is added after the end.

use std::collections::BTreeMap;

use dedi_domain::usage::{Period, Ran, Usage};
use dedi_domain::{HardwareId, Owner, ReplicaId, Timestamp};
use futures_util::TryStreamExt;
use sqlx::{FromRow, Sqlite, Transaction};

use super::endpoints::EndpointKey;
use super::error::StoreError;
use super::rows::bad;
use super::sqlite::Store;

/// A moment by the control plane's clock and by the host's: what has passed by only one of them is not counted, since
/// a server that starts begins with a wall clock that somebody may have set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock.
    pub at: Timestamp,
    /// Milliseconds since the host started.
    pub uptime_ms: i64,
}

/// What is known of a replica that has become ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// When.
    pub at: Moment,
    /// Its isolation level.
    pub isolation: Option<u8>,
    /// Its price, all its devices together.
    pub cents_per_minute: f64,
}

/// What the replicas of one endpoint ran in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointUsage {
    /// The endpoint's id.
    pub endpoint: String,
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Its hardware.
    pub hardware: String,
    /// The sum.
    pub usage: Usage,
    /// Whether one of them still runs.
    pub is_running: bool,
    /// When the latest of them became ready.
    pub newest: Timestamp,
}

#[derive(FromRow)]
struct UsageRow {
    endpoint: String,
    name: String,
    model: String,
    hardware: String,
    cents_per_minute: Option<f64>,
    ready_at: i64,
    until: i64,
    closed: bool,
}

impl Store {
    /// Moves the recorded time of these replicas on, all of them or none. Those that have ended stay as they are.
    pub async fn beat(&self, beats: &[(ReplicaId, Moment)]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for (replica, until) in beats {
            extend(&mut tx, *replica, *until).await?;
        }
        self.commit(tx, "beat").await
    }

    /// What a tenant's replicas ran in a period, by endpoint, newest first; of one endpoint only, where `only` names
    /// one. `price` is today's, for what became ready before prices were recorded.
    pub async fn usage(
        &self,
        owner: &Owner,
        period: Period,
        only: Option<&EndpointKey>,
        price: impl Fn(&HardwareId) -> f64,
    ) -> Result<Vec<EndpointUsage>, StoreError> {
        let (id, name) = only.map(EndpointKey::parts).unwrap_or_default();
        let mut rows = sqlx::query_as(
            "SELECT endpoint, name, model, hardware, cents_per_minute, ready_at, until, closed FROM usage \
             WHERE owner = ?1 AND until >= ?2 AND ready_at < ?3 AND (?4 OR endpoint = ?5 OR name = ?6)",
        )
        .bind(owner.as_str())
        .bind(period.from.0)
        .bind(period.to.0)
        .bind(only.is_none())
        .bind(&id)
        .bind(&name)
        .fetch(&self.reader);
        // Summed up as they come: an endpoint that fails again and again has a row for each time.
        let mut sums: BTreeMap<String, EndpointUsage> = BTreeMap::new();
        while let Some(row) = rows.try_next().await? {
            let UsageRow { endpoint, name, model, hardware, cents_per_minute, ready_at, until, closed } = row;
            let cents_per_minute = match cents_per_minute {
                Some(it) => it,
                None => price(&HardwareId::parse(&hardware).map_err(bad)?),
            };
            let ran = Ran { from: Timestamp(ready_at), until: Timestamp(until), cents_per_minute };
            let sum = sums.entry(endpoint).or_insert_with_key(|endpoint| EndpointUsage {
                endpoint: endpoint.clone(),
                name,
                model,
                hardware,
                usage: Usage::default(),
                is_running: false,
                newest: ran.from,
            });
            sum.usage.add(&ran, period);
            sum.is_running |= !closed;
            sum.newest = sum.newest.max(ran.from);
        }
        let mut sums: Vec<EndpointUsage> =
            sums.into_values().filter(|it| it.usage != Usage::default()).collect();
        sums.sort_by(|one, two| two.newest.cmp(&one.newest).then_with(|| one.endpoint.cmp(&two.endpoint)));
        Ok(sums)
    }

    /// Whether a running time of this endpoint of the tenant is kept: it may have been deleted since.
    pub async fn has_usage(&self, owner: &Owner, key: &EndpointKey) -> Result<bool, StoreError> {
        let (id, name) = key.parts();
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM usage WHERE owner = ? AND (endpoint = ? OR name = ?))",
        )
        .bind(owner.as_str())
        .bind(id)
        .bind(name)
        .fetch_one(&self.reader)
        .await?;
        Ok(found)
    }
}

/// The running time of a replica that has just become ready begins.
pub(super) async fn begin(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    ready: &Ready,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO usage \
         SELECT r.id, r.endpoint, e.name, e.owner, e.model, e.hardware, \
            (SELECT count(*) FROM replica_devices d WHERE d.replica = r.id), \
            ?2, r.attempt, ?3, ?3, ?3, ?4, 0 \
         FROM replicas r JOIN endpoints e ON e.id = r.endpoint WHERE r.id = ?1",
    )
    .bind(replica.to_string())
    .bind(ready.cents_per_minute)
    .bind(ready.at.at.0)
    .bind(ready.at.uptime_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Nothing is added from here on to what is recorded and, where `ran` says so, to what is known beyond that.
pub(super) async fn close(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    ran: Option<Moment>,
) -> Result<(), StoreError> {
    if let Some(until) = ran {
        extend(tx, replica, until).await?;
    }
    sqlx::query("UPDATE usage SET closed = 1 WHERE replica = ? AND closed = 0")
        .bind(replica.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn extend(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    until: Moment,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE usage SET seen_at = ?2, seen_uptime = ?3, \
            until = until + max(0, min(?2 - seen_at, coalesce(?3 - seen_uptime, ?2 - seen_at))) \
         WHERE replica = ?1 AND closed = 0 AND seen_at < ?2",
    )
    .bind(replica.to_string())
    .bind(until.at.0)
    .bind(until.uptime_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
