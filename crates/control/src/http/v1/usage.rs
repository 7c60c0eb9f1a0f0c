//! `GET /v1/usage`: how long a tenant's replicas ran, and what that costs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use dedi_api::{EndpointUsage, UsageReport};
use dedi_domain::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::{Caller, UsageReports};
use crate::text::time;

/// Endpoints in one answer; the sums have all of them.
const ENDPOINTS_MAX: usize = 1_000;

pub(super) async fn get(
    State(usage): State<Arc<UsageReports>>,
    caller: Caller,
    query: Query,
) -> Result<Json<UsageReport>, ApiError> {
    let (from, to) = (moment(&query, "from")?, moment(&query, "to")?);
    let report = usage.report(&caller, from, to, query.get("endpoint")).await?;
    let total_minutes = minutes(report.used.iter().map(|it| it.usage.ran).sum());
    let total_cents = report.used.iter().map(|it| it.usage.cents).sum();
    let data = report.used.into_iter().take(ENDPOINTS_MAX).map(|it| EndpointUsage {
        object: "usage".to_owned(),
        endpoint: it.endpoint,
        name: it.name,
        model: it.model,
        hardware: it.hardware,
        replicas: it.usage.n_replicas,
        minutes: minutes(it.usage.ran),
        cents: it.usage.cents,
        running: it.is_running,
    });
    Ok(Json(UsageReport {
        object: "list".to_owned(),
        from: time(report.period.from),
        to: time(report.period.to),
        data: data.collect(),
        total_minutes,
        total_cents,
    }))
}

fn minutes(ran: Duration) -> f64 {
    ran.as_secs_f64() / 60.0
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
