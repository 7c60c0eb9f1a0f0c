//! Why a server gave no answer that could be used, and what to do about it.

use dedi_api::ErrorDetail;
use http::StatusCode;

use crate::hints;

/// Why there is no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no dedi server answers at {url}")]
    Unreachable { url: String },
    #[error("{url} did not answer within {secs} s")]
    TimedOut { url: String, secs: u64 },
    #[error("the connection to {url} broke: {cause}")]
    Broken { url: String, cause: String },
    #[error("{url} is not a dedi server: {what}")]
    Foreign { url: String, what: String },
    #[error("{}", .detail.message)]
    Refused { status: StatusCode, detail: Box<ErrorDetail>, key_source: String },
}

impl ClientError {
    /// What to do about it, where something can be done.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "start one with `dedi serve` or `make up`, or pass its address with --base-url".to_owned(),
            ),
            Self::TimedOut { .. } => {
                Some("allow more time with --timeout 5m; check the host with `dedi doctor`".to_owned())
            }
            Self::Broken { .. } => Some("if the server was restarted, rerun the command".to_owned()),
            Self::Foreign { .. } => {
                Some("check --base-url; it looks like http://127.0.0.1:7437/v1".to_owned())
            }
            Self::Refused { status, detail, key_source } => hints::refused(*status, detail, key_source),
        }
    }

    /// Whether the server said that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether a server that is being restarted could be the cause.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Foreign { .. } => false,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}
