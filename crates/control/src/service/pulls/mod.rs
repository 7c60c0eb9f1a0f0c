//! Downloads of models from the hub. Those who manage a tenant fetch for it, an admin for everyone.

mod parts;
mod read;
mod start;

pub(crate) use parts::ModelPulls;
pub(crate) use start::PullRequest;
