//! What an endpoint says of itself.

use serde::{Deserialize, Serialize};

use super::code::ReasonCode;
use crate::failure::Failure;
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
