//! `/v1/pulls`: downloads of models from the hub.

mod create;
mod get;
mod list;
mod view;

pub(super) use create::create;
pub(super) use get::get;
pub(super) use list::list;
