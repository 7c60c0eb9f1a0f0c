//! The whole system: the real server, the real engine, the real model. Nothing is pretended except where a
//! test says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test binary: a failed step is a failed test")]

mod call_off;
mod canary;
mod crash;
mod database;
mod descriptors;
mod disk;
mod doctor;
mod down;
mod engine_disk;
mod failed_takeover;
mod failing_disk;
mod fakes;
mod faults;
mod first_hour;
mod folders;
mod follow;
mod gateway;
mod gpu_engines;
mod gpu_faults;
mod gpus;
mod hanging;
mod held;
mod http2;
mod hub;
mod load;
mod logging;
mod lost_folders;
mod openapi;
mod plane;
mod printing;
mod raw;
mod refusals;
mod restarts;
mod retries;
mod shims;
mod signals;
mod silent;
mod unreadable;
mod upgrade;
mod upstream;
mod usage;
mod wait;
