//! The control plane: records what is wanted, serves the management API, and brings the world to what is
//! recorded. It carries no inference and starts no process by itself; a [`Runtime`](dedi_runtime_api::Runtime) does.

mod barrier;
mod clock;
mod config;
mod http;
mod hub;
mod key_ring;
mod key_uses;
mod last_pass;
pub mod models;
mod ownership;
mod parts;
mod plane;
mod random;
mod reconciler;
mod routing;
mod service;
pub mod store;
mod text;

pub use clock::{Clock, clock_trouble};
pub use config::ControlConfig;
pub use http::LastReply;
pub use hub::HubConfig;
#[cfg(any(test, feature = "fuzzing"))]
pub use hub::fuzzing;
pub use plane::{ControlError, ControlPlane, DataPaths};
pub use reconciler::{Carried, Environment, carry_out};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
