//! The whole system: the real server, the real engine, the real model. Nothing is pretended except where a
//! test says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test binary: a failed step is a failed test")]

mod crash;
mod database;
mod first_hour;
mod gateway;
mod gpu_faults;
mod gpus;
mod hub;
mod openapi;
mod plane;
mod refusals;
mod retries;
mod upgrade;
