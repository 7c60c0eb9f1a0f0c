//! Replicas as processes of this host, and its devices: the first [`Runtime`](dedi_runtime_api::Runtime). Decides nothing.

pub mod hardware;
pub mod process;

pub(crate) use dedi_failpoint as failpoint;
pub(crate) use dedi_shim::clock;
