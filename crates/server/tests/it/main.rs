//! The whole system: the real server, the real engine, the real model. Nothing is pretended except where a
//! test says so.

#![expect(clippy::tests_outside_test_module, reason = "this file is a test binary")]

mod crash;
mod first_hour;
mod gateway;
mod plane;
mod refusals;
