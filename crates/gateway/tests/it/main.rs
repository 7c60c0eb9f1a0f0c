//! The gateway between a real client socket and scripted engines.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod admission;
mod bodies;
mod crashes;
mod drained;
mod engine;
mod keys;
mod plane;
mod routing;
mod shapes;
mod streams;
