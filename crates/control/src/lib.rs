//! The control plane: records what is wanted, serves the management API, and brings the world to what is
//! recorded. It carries no inference and starts no process by itself; a [`Runtime`](dedi_runtime_api::Runtime) does.

mod clock;
mod config;
pub mod http;
mod hub;
mod key_uses;
mod looks;
pub mod models;
mod ownership;
mod plane;
mod reconciler;
mod shared;
pub mod store;

pub use clock::{Clock, clock_trouble};
pub use config::ControlConfig;
pub use http::LastReply;
pub use hub::HubConfig;
pub use plane::{ControlError, ControlPlane, DataPaths};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
