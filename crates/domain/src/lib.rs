//! The rules of dedi: what things are called, what is wanted, what is seen, and what to do about the
//! difference. Nothing here does IO, waits, or reads a clock; time and observations are arguments.

mod advice;
pub mod autoscale;
pub mod capabilities;
mod causes;
pub mod end_reason;
pub mod endpoint;
pub mod engine;
pub mod failure;
mod failure_cause;
pub mod fetch;
pub mod fit;
pub mod hardware;
pub mod idle;
pub mod ids;
pub mod key_failures;
pub mod keys;
pub mod last_words;
pub mod launch;
pub mod model_rights;
pub mod placement;
pub mod plural;
pub mod quarantine;
pub mod reconcile;
pub mod replica;
pub mod route;
pub mod scope;
pub mod setting;
pub mod status;
pub mod time;
pub mod usage;
mod world;

pub use capabilities::{Capabilities, PlacedBy};
pub use causes::with_causes;
pub use end_reason::{DrainOutcome, EndReason};
pub use endpoint::{Desired, EndpointState, ReplicaRange, Run};
pub use engine::EngineSpec;
pub use fetch::Fetch;
pub use hardware::{
    Bar, BarCause, Device, DeviceId, DeviceKind, HardwareConfig, HardwareId, Inventory, Trouble,
};
pub use ids::{EndpointId, EndpointName, EngineKind, ModelName, NodeId, Nonce, Owner, ReplicaId};
pub use key_failures::{KeyFailures, KeyRefusal};
pub use keys::{KeyId, KeyTable, Principal, Role};
pub use launch::{Address, AssignedDevice};
pub use quarantine::Quarantine;
pub use reconcile::{Action, EndpointView, Observation, World, decide};
pub use replica::{Exit, FailureCause, Intent, ObservedReplica, ReplicaPhase, ReplicaRow};
pub use route::{LoadReport, Route, RouteReplica, RouteTable};
pub use scope::Scope;
pub use setting::{Setting, check_settings};
pub use status::{Progress, Reason, ReasonCode, Status};
pub use time::{Clock, Timestamp};
