//! Rows to values and back. A value that this program would not write is an error, never a guess.

use dedi_domain::endpoint::RunCause;
use dedi_domain::idle::{IdleRule, IdleStop, TimeoutBy};
use dedi_domain::{
    Desired, DeviceId, EndReason, EndpointState, EngineKind, FailureCause, HardwareId, Intent, ReplicaRange,
    ReplicaRow, Run, Timestamp,
};
use sqlx::FromRow;

use crate::store::StoreError;

/// All of an endpoint, in the order of the table.
#[derive(FromRow)]
pub(super) struct EndpointRecord {
    id: String,
    name: String,
    owner: String,
    display_name: String,
    model: String,
    engine: String,
    hardware: String,
    min_replicas: i64,
    max_replicas: i64,
    run: String,
    run_cause: String,
    deleted: bool,
    inactive_timeout_minutes: Option<i64>,
    inactive_timeout_by: String,
    inactive_timeout_at: i64,
    idle_stop_minutes: Option<i64>,
    idle_stop_by: Option<String>,
    availability_zone: Option<String>,
    disable_speculative_decoding: bool,
    generation: i64,
    observed_generation: i64,
    published: String,
    published_at: i64,
    created_at: i64,
    started_at: i64,
}

pub(super) fn bad(err: impl std::fmt::Display) -> StoreError {
    StoreError::Value(err.to_string())
}

pub(super) fn count(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(bad)
}

pub(super) fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(bad)
}

/// A count as the database keeps it.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn run_word(run: Run) -> &'static str {
    match run {
        Run::Started => "STARTED",
        Run::Stopped => "STOPPED",
    }
}

pub(super) fn run_cause_word(cause: RunCause) -> &'static str {
    match cause {
        RunCause::User => "user",
        RunCause::Inactive => "inactive",
    }
}

pub(super) fn timeout_by_word(by: TimeoutBy) -> &'static str {
    match by {
        TimeoutBy::Default => "default",
        TimeoutBy::Create => "create",
        TimeoutBy::Update => "update",
    }
}

pub(super) fn timeout_by(word: &str) -> Result<TimeoutBy, StoreError> {
    match word {
        "default" => Ok(TimeoutBy::Default),
        "create" => Ok(TimeoutBy::Create),
        "update" => Ok(TimeoutBy::Update),
        other => Err(bad(format!("inactive_timeout_by `{other}`"))),
    }
}

impl TryFrom<EndpointRecord> for Desired {
    type Error = StoreError;

    fn try_from(row: EndpointRecord) -> Result<Self, StoreError> {
        let run = match row.run.as_str() {
            "STARTED" => Run::Started,
            "STOPPED" => Run::Stopped,
            other => return Err(bad(format!("run `{other}`"))),
        };
        let run_cause = match row.run_cause.as_str() {
            "user" => RunCause::User,
            "inactive" => RunCause::Inactive,
            other => return Err(bad(format!("run_cause `{other}`"))),
        };
        Ok(Self {
            id: row.id.parse().map_err(bad)?,
            name: dedi_domain::EndpointName::parse(&row.name).map_err(bad)?,
            owner: dedi_domain::Owner::parse(&row.owner).map_err(bad)?,
            display_name: row.display_name,
            model: dedi_domain::ModelName::parse(&row.model).map_err(bad)?,
            engine: EngineKind::parse(&row.engine).map_err(bad)?,
            hardware: HardwareId::parse(&row.hardware).map_err(bad)?,
            replicas: ReplicaRange::new(row.min_replicas, row.max_replicas).map_err(bad)?,
            run,
            run_cause,
            deleted: row.deleted,
            inactive_timeout_minutes: row.inactive_timeout_minutes.map(small).transpose()?,
            idle: IdleRule {
                set_by: timeout_by(&row.inactive_timeout_by)?,
                counts_from: Timestamp(row.inactive_timeout_at),
                stopped: match (row.idle_stop_minutes, row.idle_stop_by) {
                    (Some(minutes), Some(by)) => {
                        Some(IdleStop { minutes: small(minutes)?, by: timeout_by(&by)? })
                    }
                    (Some(_) | None, _) => None,
                },
            },
            availability_zone: row.availability_zone,
            disable_speculative_decoding: row.disable_speculative_decoding,
            generation: count(row.generation)?,
            observed_generation: count(row.observed_generation)?,
            published: row.published.parse::<EndpointState>().map_err(bad)?,
            published_at: Timestamp(row.published_at),
            created_at: Timestamp(row.created_at),
            started_at: Timestamp(row.started_at),
        })
    }
}

/// A replica, without its devices.
#[derive(FromRow)]
pub(super) struct ReplicaRecord {
    pub(super) id: String,
    pub(super) endpoint: String,
    nonce: String,
    attempt: i64,
    intent: String,
    intent_since: i64,
    seen: bool,
    ready_at: Option<i64>,
    ran_until: Option<i64>,
    reserved_at: i64,
    gone_at: Option<i64>,
    end_reason: Option<String>,
}

impl ReplicaRecord {
    pub(super) fn with_devices(self, devices: Vec<DeviceId>) -> Result<ReplicaRow, StoreError> {
        let since = Timestamp(self.intent_since);
        let intent = match self.intent.as_str() {
            "run" => Intent::Run,
            "drain" => Intent::Drain { since, reason: parse_end_reason(self.end_reason.as_deref())? },
            "stop" => Intent::Stop { since, reason: parse_end_reason(self.end_reason.as_deref())? },
            other => return Err(bad(format!("intent `{other}`"))),
        };
        Ok(ReplicaRow {
            id: self.id.parse().map_err(bad)?,
            endpoint: self.endpoint.parse().map_err(bad)?,
            nonce: self.nonce.parse().map_err(bad)?,
            attempt: small(self.attempt)?,
            devices,
            intent,
            seen: self.seen,
            ready_at: self.ready_at.map(Timestamp),
            ran_until: self.ran_until.map(Timestamp),
            reserved_at: Timestamp(self.reserved_at),
            gone_at: self.gone_at.map(Timestamp),
        })
    }
}

/// The text that a reason is stored as.
pub(super) fn end_reason_text(reason: EndReason) -> Result<String, StoreError> {
    serde_json::to_string(&reason).map_err(bad)
}

/// A row of before reasons were stored has none.
pub(super) fn parse_end_reason(text: Option<&str>) -> Result<EndReason, StoreError> {
    let Some(text) = text else { return Ok(EndReason::Unknown) };
    serde_json::from_str(text).map_err(|err| bad(format!("end_reason `{text}`: {err}")))
}

/// The word a cause is stored as: the one its serialisation has.
pub(super) fn cause_word(cause: FailureCause) -> Result<String, StoreError> {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(bad(format!("cause {other}"))),
        Err(err) => Err(bad(err)),
    }
}

pub(super) fn parse_cause(word: &str) -> Result<FailureCause, StoreError> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(bad)
}
