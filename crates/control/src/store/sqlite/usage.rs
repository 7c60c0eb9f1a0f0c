//! How long replicas ran. A row begins when its replica is ready, follows while that is seen to live, and is closed in
//! the transaction that ends the attempt; none of it goes back, and nothing is added after the end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::usage::{Period, Ran, Usage};
use dedi_domain::{HardwareId, Owner, ReplicaId, Timestamp};
use futures_util::TryStreamExt;
use sqlx::{FromRow, Sqlite, Transaction};

use super::SqliteStore;
use super::rows::bad;
use crate::store::{EndpointKey, EndpointUsage, Moment, Ready, StoreError, UsageStore};

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

#[async_trait]
impl UsageStore for SqliteStore {
    async fn usage(
        &self,
        owner: &Owner,
        period: Period,
        only: Option<&EndpointKey>,
        price: &(dyn for<'a> Fn(&'a HardwareId) -> f64 + Send + Sync),
    ) -> Result<Vec<EndpointUsage>, StoreError> {
        let (id, name) = only.map(EndpointKey::parts).unwrap_or_default();
        let mut rows = sqlx::query_as(sql!(
            "SELECT endpoint, name, model, hardware, cents_per_minute, ready_at, until, closed FROM usage \
             WHERE owner = ?1 AND until >= ?2 AND ready_at < ?3 AND (?4 OR endpoint = ?5 OR name = ?6)"
        ))
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

    async fn has_usage(&self, owner: &Owner, key: &EndpointKey) -> Result<bool, StoreError> {
        let (id, name) = key.parts();
        let found: bool = sqlx::query_scalar(sql!(
            "SELECT EXISTS (SELECT 1 FROM usage WHERE owner = ? AND (endpoint = ? OR name = ?))"
        ))
        .bind(owner.as_str())
        .bind(id)
        .bind(name)
        .fetch_one(&self.reader)
        .await?;
        Ok(found)
    }

    async fn forget_usage(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.forget(
            "forget-usage",
            sql!(
                "DELETE FROM usage WHERE replica IN (\
                SELECT replica FROM usage WHERE until < ? AND closed = 1 ORDER BY until LIMIT ?)"
            ),
            before,
        )
        .await
    }
}

/// The running time of a replica that has just become ready begins.
pub(super) async fn begin(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    ready: &Ready,
) -> Result<(), StoreError> {
    sqlx::query(sql!(
        "INSERT INTO usage \
         SELECT r.id, r.endpoint, e.name, e.owner, e.model, e.hardware, \
            (SELECT count(*) FROM replica_devices d WHERE d.replica = r.id), \
            ?2, r.attempt, ?3, ?3, ?3, ?4, 0 \
         FROM replicas r JOIN endpoints e ON e.id = r.endpoint WHERE r.id = ?1"
    ))
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
    sqlx::query(sql!("UPDATE usage SET closed = 1 WHERE replica = ? AND closed = 0"))
        .bind(replica.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn extend(
    tx: &mut Transaction<'static, Sqlite>,
    replica: ReplicaId,
    until: Moment,
) -> Result<(), StoreError> {
    sqlx::query(sql!(
        "UPDATE usage SET seen_at = ?2, seen_uptime = ?3, \
            until = until + max(0, min(?2 - seen_at, coalesce(?3 - seen_uptime, ?2 - seen_at))) \
         WHERE replica = ?1 AND closed = 0 AND seen_at < ?2"
    ))
    .bind(replica.to_string())
    .bind(until.at.0)
    .bind(until.uptime_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
