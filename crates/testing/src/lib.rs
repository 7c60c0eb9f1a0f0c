//! A scriptable engine and a hub that misbehave, for tests of everything that has to live with them.
//!
//! The program `dedi-fake-engine` takes the flags of `dedi-engine` and speaks its dialect, or, after the word `foreign`,
//! pretends to be another engine on TCP. Its behaviour is
//! chosen by the model's name, `fake/<mode>` or `fake/<mode>.<number>`, so that a test that only speaks the
//! public API can choose; see [`Mode`]. `GET /fake/stats` reports the requests it got and which were cancelled.

mod corpus;
pub mod host;
pub mod hub;
mod mode;
mod program;
mod targets;

pub use corpus::replay;
pub use mode::{Behaviour, Mode};
pub use program::{demo_model, fake_engine, fake_nvml, program, shim, tree};
pub use targets::{ESCAPE_REPORT, EscapeTargets};
