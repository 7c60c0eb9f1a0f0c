//! Why an endpoint is in its state: a code for programs, a sentence with the numbers for people, and the
//! next step.

mod code;
mod count;
mod explainer;
mod reason;
mod waiting;

use serde::{Deserialize, Serialize};

pub use self::code::ReasonCode;
pub use self::explainer::Explainer;
use crate::failure::Failure;
use crate::reconcile::{EndpointView, World};
use crate::time::Timestamp;

/// A code and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people, with the numbers.
    pub message: String,
    /// A command or a change that would help, if there is one.
    pub next_step: Option<String>,
}

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Percent done, where the engine says.
    pub percent: Option<u8>,
    /// Seconds since the launch.
    pub elapsed_secs: u64,
}

/// Everything an endpoint says of itself beyond its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Why.
    pub reason: Reason,
    /// Since when the state is shown.
    pub since: Timestamp,
    /// Replicas that answer.
    pub n_ready: u32,
    /// Replicas wanted now.
    pub n_wanted: u32,
    /// How far the furthest launch is.
    pub progress: Option<Progress>,
    /// When a failed endpoint is tried again; `None` in ERROR means not before the user acts.
    pub next_retry_at: Option<Timestamp>,
    /// What went wrong first, of the failures that count.
    pub first_failure: Option<Failure>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// Explains the endpoint `view` of `world`. For many endpoints of one world, [`Explainer`] looks at it once.
pub fn explain(view: &EndpointView, world: &World) -> Status {
    Explainer::new(world).explain(view)
}
