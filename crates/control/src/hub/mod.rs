//! Models from a hub that speaks Hugging Face's protocol. [`Pulls`] is what the rest of the control plane holds: it
//! runs one download after the other, knows how far each is, and keeps a model out of the store until every byte of it
//! is what the hub lists. What is trusted of a hub is in docs/decisions/0005-hub.md.

mod client;
mod config;
mod error;
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod job;
mod listing;
mod manifest;
mod mount;
mod pace;
mod progress;
mod pull;
mod pulls;
mod reach;
mod select;
mod series;
mod slots;
mod source;
mod staging;
mod wait;

pub use config::HubConfig;
pub(crate) use job::{Ask, Due, Phase, Pull};
pub(crate) use manifest::{Manifest, ManifestFile};
pub(crate) use pulls::{Ahead, Pulls};
pub(crate) use source::Source;
pub(crate) use staging::write_whole;
