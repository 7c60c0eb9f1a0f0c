//! `/v1/endpoints`.

mod adapters;
mod create;
mod delete;
mod events;
mod fields;
mod get;
mod list;
mod logs;
mod plan;
mod replicas;
mod update;
mod view;

pub(super) use adapters::adapters;
pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use events::events;
pub(super) use get::get;
pub(super) use list::list;
pub(super) use logs::logs;
pub(super) use replicas::replicas;
pub(super) use update::update;
