//! The real program, a real model, a unix socket.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers end the test like the test itself does, and clippy.toml exempts only the latter"
)]

mod client;
mod engine;
mod forms;

mod backends;
mod calls;
mod health;
mod prompts;
mod reasoning;
mod replies;
mod requests;
mod templates;
#[cfg(feature = "vulkan")]
mod vulkan;
