//! `/v1/keys`.

mod create;
mod delete;
mod list;
mod view;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use list::list;
