//! The first generation of the management API: wire types in, use cases called, wire types out. One file for each verb.

mod audit;
mod checks;
mod endpoints;
mod error;
mod hardware;
mod keys;
mod models;
mod path;
mod pulls;
mod routes;
mod slashes;
mod usage;
mod whoami;

#[cfg(test)]
pub(crate) use routes::ROUTES;
pub(super) use routes::router;
pub(super) use slashes::encode_slashes;
