//! Tests of the whole control plane: the real router, store and reconciler over a pretended runtime.

mod audit;
mod away;
mod backup;
mod checks;
mod clocks;
mod contract;
mod end_reasons;
mod failures;
mod hanging;
mod hub;
mod idleness;
mod isolation;
mod lifecycle;
mod limits;
mod logs;
mod openapi;
mod passes;
mod principals;
mod reads;
mod reasons;
mod retries;
mod start_times;
mod stopped;
pub(crate) mod storage;
mod usage;
mod usage_rows;
