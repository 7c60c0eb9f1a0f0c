//! What starts and stops replicas, as everybody else knows it: a [`Runtime`], what it is given and what it shows.
//!
//! Absent on purpose: processes, drivers, clusters and an async runtime. Whoever only uses a runtime links none of them.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod launch;
mod listing;
mod logs;
mod models;
mod provider;
mod runtime;

pub use dedi_domain::{AssignedDevice, Capabilities, NodeId, PlacedBy};
pub use error::{BoxError, RuntimeError};
pub use launch::{Launch, ModelRef, Placement, Resources};
pub use listing::{Listing, Unreadable};
pub use logs::{LogChunk, LogCursor, LogError, LogName, Logs};
pub use models::{ModelFiles, ModelResolver, ModelUnavailable};
pub use provider::{Finding, RuntimeProvider, Survey};
pub use runtime::Runtime;
