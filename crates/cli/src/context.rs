//! What every command gets, and how it asks.

use crate::client::Client;

pub(crate) fn with_query(path: &str, query: &[String]) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// What every command gets.
pub(crate) struct Context {
    /// Whether stdout carries JSON instead of text for people.
    pub(crate) json: bool,
    pub(crate) client: Client,
}
