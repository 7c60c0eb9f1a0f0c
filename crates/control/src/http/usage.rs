//! `GET /v1/usage`: how long a tenant's replicas ran, and what that costs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use dedi_api::{EndpointUsage, UsageReport};
use dedi_domain::Timestamp;
use dedi_domain::usage::Period;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::auth::Caller;
use super::body::Query;
use super::error::ApiError;
use super::fields::shown;
use super::views;
use crate::shared::Shared;
use crate::store::{EndpointKey, StoreError};

/// The period when none is asked for, up to now.
const PERIOD: Duration = Duration::from_secs(30 * 86_400);
/// Endpoints in one answer; the sums have all of them.
const ENDPOINTS_MAX: usize = 1_000;

pub(super) async fn report(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
) -> Result<Json<UsageReport>, ApiError> {
    caller.must_read()?;
    let times = shared.clock.times();
    let asked = period(&query, times.shown(shared.clock.now()))?;
    let period = Period { from: times.stamp_of(asked.from), to: times.stamp_of(asked.to) };
    let owner = &caller.0.owner;
    let only = match query.get("endpoint") {
        None => None,
        Some(named) => Some(known(&shared, &caller, named).await?),
    };
    let world = shared.world();
    let mut used = shared.store.usage(owner, period, only.as_ref(), &|it| shared.price(&world, it)).await?;
    used.retain(|it| caller.shows_used(&it.endpoint, &it.name, &it.model));
    let total_minutes = minutes(used.iter().map(|it| it.usage.ran).sum());
    let total_cents = used.iter().map(|it| it.usage.cents).sum();
    let data = used
        .into_iter()
        .take(ENDPOINTS_MAX)
        .map(|it| EndpointUsage {
            object: "usage".to_owned(),
            endpoint: it.endpoint,
            name: it.name,
            model: it.model,
            hardware: it.hardware,
            replicas: it.usage.n_replicas,
            minutes: minutes(it.usage.ran),
            cents: it.usage.cents,
            running: it.is_running,
        })
        .collect();
    Ok(Json(UsageReport {
        object: "list".to_owned(),
        from: views::time(asked.from),
        to: views::time(asked.to),
        data,
        total_minutes,
        total_cents,
    }))
}

fn minutes(ran: Duration) -> f64 {
    ran.as_secs_f64() / 60.0
}

fn period(query: &Query, now: Timestamp) -> Result<Period, ApiError> {
    let from = moment(query, "from")?;
    // What begins in the future has no time yet, and is not wrong.
    let to = moment(query, "to")?.unwrap_or_else(|| from.map_or(now, |from| from.max(now)));
    let from = from.unwrap_or_else(|| Timestamp(to.0.saturating_sub(Timestamp(0).plus(PERIOD).0)));
    if from > to {
        let (from, to) = (views::time(from), views::time(to));
        return Err(ApiError::field("from", format!("from must not be later than to: {from} is after {to}")));
    }
    Ok(Period { from, to })
}

/// A moment, or a day's first one in UTC.
fn moment(query: &Query, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query.given(name) else { return Ok(None) };
    // With a time of day it must say in which zone that is.
    let is_day = text.len() == "2026-11-21".len();
    let day = || text.parse::<Date>().ok().filter(|_| is_day)?.to_zoned(TimeZone::UTC).ok();
    let parsed = match text.parse::<jiff::Timestamp>() {
        Ok(at) => Some(at),
        Err(_) => day().map(|it| it.timestamp()),
    };
    match parsed {
        Some(at) => Ok(Some(Timestamp(at.as_millisecond()))),
        None => Err(ApiError::field(
            name,
            format!("{name} must be a time, such as 2026-11-21T07:00:00Z, or a day, such as 2026-11-21"),
        )),
    }
}

/// The endpoint of that id or name, if the tenant has it or had it.
async fn known(shared: &Shared, caller: &Caller, named: &str) -> Result<EndpointKey, ApiError> {
    let said = shown(named);
    let key = EndpointKey::parse(named).ok_or_else(|| ApiError::no_endpoint(&said))?;
    let owner = &caller.0.owner;
    match shared.store.endpoint(owner, &key).await {
        Ok(it) if caller.shows(&it) => Ok(key),
        Ok(_) => Err(ApiError::no_endpoint(&said)),
        Err(StoreError::NotFound) if shared.store.has_usage(owner, &key).await? => Ok(key),
        Err(err) => Err(ApiError::of_lookup(err, &said)),
    }
}
