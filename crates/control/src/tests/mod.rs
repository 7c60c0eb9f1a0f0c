//! Tests of the whole control plane: the real router, store and reconciler over a pretended runtime.

mod contract;
mod lifecycle;
mod principals;
mod reads;
mod reasons;
mod retries;
mod storage;
