//! Tests of the whole control plane: the real router, store and reconciler over a pretended runtime.

mod backup;
mod contract;
mod hub;
mod lifecycle;
mod limits;
mod openapi;
mod principals;
mod reads;
mod reasons;
mod retries;
mod start_times;
mod stopped;
mod storage;
