//! Query strings. A doubled member counts with its last value, as in the original.

use super::error::ApiError;

/// The query string's members.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let axum::extract::Query(pairs) =
            read.map_err(|_unreadable| ApiError::request("The query string could not be read"))?;
        Ok(Self(pairs))
    }
}

impl Query {
    /// The text of a member; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|it| !it.is_empty())
    }

    /// The text of a member, also an empty one.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One of a few words.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.given(name) {
            Some(it) if !words.contains(&it) => {
                Err(ApiError::field(name, format!("{name} must be {}", words.join(" or "))))
            }
            other => Ok(other),
        }
    }

    /// A boolean in any case: the v1 SDK writes `True`.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.given(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::field(name, format!("{name} must be true or false"))),
        }
    }

    /// A whole number of at least 0.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parsed = self.given(name).map(|it| it.parse::<i64>().ok().filter(|it| *it >= 0));
        match parsed {
            None => Ok(None),
            Some(Some(it)) => Ok(Some(it)),
            Some(None) => Err(ApiError::field(name, format!("{name} must be a whole number of at least 0"))),
        }
    }
}
