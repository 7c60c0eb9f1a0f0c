//! What is around the decision, as models: each file's head says what the real part must keep.

pub(crate) mod clock;
pub(crate) mod devices;
pub(crate) mod gateway;
pub(crate) mod handle;
pub(crate) mod requests;
pub(crate) mod runtime;
pub(crate) mod store;
pub(crate) mod tenants;
