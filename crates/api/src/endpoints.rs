//! `/v1/endpoints`: requests, the endpoint object, and dedi's additive fields in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::enums::{DedicatedKind, DesiredState, EndpointKind, EndpointObject, EndpointState, PlanObject};
use crate::read::{integer, nullable_integer, object_or_null};

/// Begins a line of a followed log that is none: the rest of it names the place after what was sent so far.
pub const LOG_MARK: u8 = 0x1e;

/// A PATCH or POST field whose absence and null mean different things.
///
/// `None` is absent, `Some(None)` is null, `Some(Some(x))` is a value.
pub type Nullable<T> = Option<Option<T>>;

/// `POST /v1/endpoints`. Everything is optional here so that a missing member is answered with a sentence
/// that names it; the server checks. Numbers are wider than the contract's so that out-of-range values are
/// refused by name as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(description = "What to deploy, on what, and how much of it.")]
pub struct CreateEndpointRequest {
    /// Model to deploy, `<org>/<name>`. Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length = 192, example = "dedi/demo")]
    pub model: Option<String>,
    /// Hardware id. Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, pattern = "^[1-9][0-9]{0,5}x_[a-z0-9]+(_[a-z0-9]+)*$", max_length = 96, example = "1x_cpu_8gb")]
    pub hardware: Option<String>,
    /// Replica bounds. Required, both members.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Autoscaling, required = true)]
    pub autoscaling: Option<AutoscalingRequest>,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub display_name: Option<String>,
    /// `STARTED` (default) or `STOPPED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DesiredState>)]
    pub state: Option<String>,
    /// Minutes without inference until it stops; 0 or null is never, absent is the server's default.
    #[serde(default, deserialize_with = "nullable_integer", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 527_040)]
    pub inactive_timeout: Nullable<i64>,
    /// Steadier latency instead of speculative decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_speculative_decoding: Option<bool>,
    /// Deprecated, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_prompt_cache: Option<bool>,
    /// Zone; the query parameter of the same name is accepted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
}

/// Replica bounds as requests send them; PATCH may carry one alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutoscalingRequest {
    /// Minimum number of replicas; 0 scales to zero.
    #[serde(default, deserialize_with = "integer", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 1_024)]
    pub min_replicas: Option<i64>,
    /// Maximum number of replicas.
    #[serde(default, deserialize_with = "integer", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1_024)]
    pub max_replicas: Option<i64>,
}

/// `PATCH /v1/endpoints/{id}`. Absent members stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateEndpointRequest {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub display_name: Option<String>,
    /// `STARTED` or `STOPPED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DesiredState>)]
    pub state: Option<String>,
    /// Replica bounds; merged with the stored pair, then checked.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingRequest>,
    /// Minutes; 0 or null is never.
    #[serde(default, deserialize_with = "nullable_integer", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 527_040)]
    pub inactive_timeout: Nullable<i64>,
    /// Can't be changed; a value is refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub model: Option<String>,
    /// Can't be changed; a value is refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub hardware: Option<String>,
}

/// Replica bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Autoscaling {
    /// Fewest replicas, kept even without load.
    #[schema(value_type = i32, minimum = 0, maximum = 1_024)]
    pub min_replicas: u32,
    /// Most replicas under load.
    #[schema(value_type = i32, minimum = 1, maximum = 1_024)]
    pub max_replicas: u32,
}

/// The endpoint object. The first eleven fields are the contract's and never null; the rest is dedi's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DedicatedEndpoint {
    /// Always `endpoint`.
    #[schema(value_type = EndpointObject)]
    pub object: String,
    /// `endpoint-<uuid>`.
    pub id: String,
    /// What inference requests put into `model`.
    pub name: String,
    /// Display name.
    pub display_name: String,
    /// The model it serves.
    pub model: String,
    /// The hardware of each replica.
    pub hardware: String,
    /// Always `dedicated`.
    #[serde(rename = "type")]
    #[schema(value_type = DedicatedKind)]
    pub kind: String,
    /// The tenant that owns it.
    pub owner: String,
    /// One of the six states.
    #[schema(value_type = EndpointState)]
    pub state: String,
    /// Replica bounds.
    pub autoscaling: Autoscaling,
    /// RFC 3339, UTC, milliseconds.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Minutes without inference until it stops; null is never.
    #[serde(default)]
    #[schema(required = true)]
    pub inactive_timeout: Option<u32>,
    /// The zone asked for.
    #[serde(default)]
    #[schema(required = true)]
    pub availability_zone: Option<String>,
    /// The value that the request set.
    #[serde(default)]
    #[schema(required = true)]
    pub disable_speculative_decoding: bool,
    /// Why it is in its state. Absent only in what another server answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EndpointStatus, required = true)]
    pub status: Option<EndpointStatus>,
    /// Its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<ReplicaInfo>, required = true)]
    pub replicas: Option<Vec<ReplicaInfo>>,
}

/// Why an endpoint is in its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// A reason code, see docs/reasons.md.
    pub reason: String,
    /// The reason as a sentence with its numbers.
    pub message: String,
    /// What would help, where something would.
    pub next_step: Option<String>,
    /// What becomes of it without requests: whether it sleeps or is stopped, and when.
    #[serde(default)]
    #[schema(required = true)]
    pub idle: String,
    /// Since when the state is shown, RFC 3339.
    #[schema(format = DateTime)]
    pub since: String,
    /// Replicas that are ready.
    pub ready_replicas: u32,
    /// Replicas wanted now.
    pub wanted_replicas: u32,
    /// How far the furthest launch is.
    pub progress: Option<LaunchProgress>,
    /// When a failed endpoint is tried again, RFC 3339; null in ERROR means not before you act.
    #[schema(format = DateTime)]
    pub next_retry_at: Option<String>,
    /// The first failure since it was started.
    pub first_failure: Option<FailureInfo>,
    /// The last failure since it was started.
    pub last_failure: Option<FailureInfo>,
    /// Counts changes of what is wanted.
    pub generation: u64,
    /// The last such change that the reconciler has seen.
    pub observed_generation: u64,
}

/// How far a launch is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaunchProgress {
    /// What it is doing: `downloading`, `launching`, `loading`.
    pub stage: String,
    /// Percent of the stage done, where known.
    pub percent: Option<u8>,
    /// Bytes of the stage done, where it has bytes.
    #[serde(default)]
    pub bytes_done: Option<u64>,
    /// Bytes of the stage in all.
    #[serde(default)]
    pub bytes_total: Option<u64>,
    /// Seconds since the launch.
    pub elapsed_secs: u64,
    /// Seconds that launches of this model on this hardware have taken on this host before: the median of the last
    /// five; null on the first, and while it is downloading.
    #[serde(default)]
    pub expected_secs: Option<u64>,
    /// Seconds of those that are left; 0 when it takes longer than usual.
    #[serde(default)]
    pub remaining_secs: Option<u64>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailureInfo {
    /// Number of the launch attempt.
    pub attempt: u32,
    /// A reason code.
    pub reason: String,
    /// The cause as a sentence.
    pub message: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaInfo {
    /// `replica-<uuid>`.
    pub id: String,
    /// Counts the endpoint's launches.
    pub attempt: u32,
    /// `reserved`, `launching`, `ready`, `unresponsive`, `draining`, `stopping`, `releasing`, `exited`, `lost`, `unknown`.
    #[schema(value_type = crate::enums::ReplicaPhase)]
    pub phase: String,
    /// Why it drains or is being ended: a code, see docs/reasons.md. Absent while it is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason as a sentence with its numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Devices it holds.
    pub devices: Vec<String>,
    /// Requests it is working on.
    pub in_flight: u32,
    /// When it was reserved, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it became ready, RFC 3339.
    #[schema(format = DateTime)]
    pub ready_at: Option<String>,
}

/// An item of `GET /v1/endpoints`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListEndpoint {
    /// Always `endpoint`.
    #[schema(value_type = EndpointObject)]
    pub object: String,
    /// `endpoint-<uuid>`.
    pub id: String,
    /// The `model` of inference requests.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Always `dedicated`.
    #[serde(rename = "type")]
    #[schema(value_type = EndpointKind)]
    pub kind: String,
    /// The tenant that owns it.
    pub owner: String,
    /// One of the six states.
    #[schema(value_type = EndpointState)]
    pub state: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// `{"object":"list","data":[…]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// Always `list`.
    pub object: String,
    /// The listed items.
    pub data: Vec<T>,
}

impl<T> List<T> {
    /// The list around its items.
    pub fn new(data: Vec<T>) -> Self {
        Self { object: "list".to_owned(), data }
    }
}

/// An item of `GET /v1/endpoints/{id}/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointEvent {
    /// Grows; `?after=` takes it.
    pub id: i64,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// `created`, `state_changed`, `replica_launched`, `replica_ready`, `replica_failed`, …
    pub kind: String,
    /// The replica it is about, if one.
    pub replica: Option<String>,
    /// A sentence.
    pub message: String,
}

/// The answer to `POST /v1/endpoints?dry_run=true`: what a create would need, and whether this host has it.
/// All sizes are of one replica, in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointPlan {
    /// Always `endpoint.plan`.
    #[schema(value_type = PlanObject)]
    pub object: String,
    /// Name of the model.
    pub model: String,
    /// The hardware asked for.
    pub hardware: String,
    /// Whether that hardware could hold it on an idle host.
    pub fits: bool,
    /// Whether a replica could start now.
    pub can_start_now: bool,
    /// The verdict as a sentence.
    pub message: String,
    /// What becomes of the endpoint without requests: whether it sleeps or is stopped, and when.
    #[serde(default)]
    #[schema(required = true)]
    pub idle: String,
    /// Memory in all: the sum of the four parts.
    pub needed_bytes: u64,
    /// Of that on each device.
    pub needed_bytes_per_device: u64,
    /// Bytes of the tensors.
    pub weights_bytes: u64,
    /// Keys and values of all slots at full context.
    pub kv_cache_bytes: u64,
    /// Bytes of scratch memory for one step.
    pub compute_bytes: u64,
    /// Bytes reserved for everything else.
    pub margin_bytes: u64,
    /// Memory available now on the free devices it would get.
    pub available_bytes: u64,
    /// Devices needed.
    pub devices_needed: u32,
    /// Free devices of the kind, at most as many as needed.
    pub devices_free: u32,
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests at the same time.
    pub slots: u32,
    /// The smallest configuration of this host that could hold it.
    pub nearest_hardware: Option<String>,
}
