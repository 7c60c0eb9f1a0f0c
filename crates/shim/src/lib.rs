//! The supervisor of one replica, and what it shares with the server: the records in the replica's folder, who a
//! process is and whose, control groups, confinement, the clock, and the places where tests let either die.
//!
//! Absent on purpose: an async runtime, a network, and drivers. What is linked here is in memory once per replica.

pub mod cgroup;
mod classify;
pub mod clock;
pub mod confine;
mod disk;
mod exit_record;
mod files;
pub mod identity;
pub mod mark;
pub mod records;
mod reserve;
mod run;
mod signals;
mod start;
mod supervise;

pub use self::run::main;
