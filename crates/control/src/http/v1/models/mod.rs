//! `/v1/models`: what can be deployed, and the caller's running endpoints.

mod autoscale;
mod delete;
mod get;
mod list;
mod share;
mod view;

pub(super) use autoscale::autoscale;
pub(super) use delete::delete;
pub(super) use get::get;
pub(super) use list::list;
pub(super) use share::share;
