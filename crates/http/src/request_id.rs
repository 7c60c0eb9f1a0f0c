//! The name of one request: in its answer, in the log and at the engine.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a caller.
const BYTES_MAX: usize = 128;

/// One request, in its answer, in the log and at the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// An id that no other request has.
    pub fn random() -> Self {
        let text = format!("req_{}", Uuid::new_v4().simple());
        Self(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("req")))
    }

    /// The one that a caller gave, if it is short and printable.
    pub(crate) fn given(value: &HeaderValue) -> Option<Self> {
        let is_printable = value.as_bytes().iter().all(u8::is_ascii_graphic);
        (is_printable && (1..=BYTES_MAX).contains(&value.len())).then(|| Self(value.clone()))
    }

    /// That of a request; a new one where no layer has assigned any.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(Self::random)
    }

    /// The id as it appears on the wire.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header value.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
