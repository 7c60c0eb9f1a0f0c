//! `/v1/checks`: reading a model's files again and comparing them with what they must be.

mod create;
mod get;
mod view;

pub(super) use create::create;
pub(super) use get::get;
