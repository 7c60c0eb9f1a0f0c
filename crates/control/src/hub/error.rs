//! Why a model could not be fetched. Each prints as one sentence that a user can act on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use dedi_api::PullCode;
use http::StatusCode;

use crate::models::access;
use crate::text::gib;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// The hub has no such repository, revision or file.
    #[error("the hub has no {0}")]
    NotFound(String),
    /// The hub wants a token, another one, or terms accepted. It says the same of what does not exist.
    #[error(
        "the hub does not give {what} to this server: {}",
        if *with_token {
            "its name is wrong, or the token is not valid or its account has not been granted access"
        } else {
            "its name is wrong, or it is gated or private and no token is set; accept its terms on the hub, then set HF_TOKEN or hub.token_file"
        }
    )]
    Gated { what: String, with_token: bool },
    /// What is there can't be used; a sentence that names the model.
    #[error("{0}")]
    Unsuitable(String),
    /// The hub contradicts itself about a size.
    #[error("{file}: the hub lists {listed} bytes but {said}")]
    Size { file: String, listed: u64, said: String },
    /// What came is not what the hub lists.
    #[error(
        "{file}: its content does not match the hub's hash: {wanted} is listed, {got} came; it was thrown away"
    )]
    Hash { file: String, wanted: String, got: String },
    /// Fewer bytes are free than are needed.
    #[error(
        "the disk of {} has too little room: {} are needed with the reserve, {} are free",
        .folder.display(), gib(*.needed_bytes), gib(*.free_bytes)
    )]
    Disk { folder: PathBuf, needed_bytes: u64, free_bytes: u64 },
    /// A redirect that is not followed.
    #[error("the hub redirects to a place that is not followed: {0}")]
    Redirect(String),
    /// Something about the configuration.
    #[error("{0}")]
    Config(String),
    /// An answer in no known form.
    #[error("the hub's answer can't be used: {0}")]
    Foreign(String),
    /// The other side is not who it should be.
    #[error("{what}: the certificate of the other side is not accepted: {cause}")]
    Certificate { what: String, cause: String },
    /// No connection, or one that broke.
    #[error("{what}: {cause}")]
    Line { what: String, cause: String },
    /// A status that may pass.
    #[error("the hub answered {status} for {what}{}", asks_to_wait(*.retry_after))]
    Status {
        status: StatusCode,
        what: String,
        /// How long the hub asks to wait.
        retry_after: Option<Duration>,
    },
    /// The hub asks for a longer wait than this server makes.
    #[error(
        "the hub answered {status} for {what} and asks to wait {} s, longer than hub.retry_after_secs_max = {} allows; try again then",
        .wait.as_secs(), .longest.as_secs()
    )]
    LongWait { status: StatusCode, what: String, wait: Duration, longest: Duration },
    /// A GGUF file that is no model, as its beginning says.
    #[error("{file} of {model} is {kind}, and no model; nothing of it was kept")]
    NotAModel {
        model: String,
        file: String,
        /// Its path in the repository.
        path: String,
        kind: dedi_gguf::Kind,
    },
    /// The model can't be put where it is to be, and nothing was fetched.
    #[error("{0}")]
    Place(String),
    /// The model store can't be written to.
    #[error("{0}; nothing was fetched")]
    ReadOnly(String),
    /// The local files.
    #[error("{what}: {}", access::cause(source))]
    Files { what: String, source: io::Error },
    /// What is in the store must stay; a sentence that says why.
    #[error("{0}")]
    Held(String),
    /// Called off.
    #[error("it was called off")]
    CalledOff,
}

fn asks_to_wait(wait: Option<Duration>) -> String {
    wait.map(|it| format!(" and asks to wait {} s", it.as_secs())).unwrap_or_default()
}

impl HubError {
    /// Whether the next try may work although nobody changed anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Line { .. } | Self::Status { .. } | Self::LongWait { .. } | Self::Hash { .. } => true,
            Self::NotAModel { .. } | Self::Place(_) | Self::ReadOnly(_) => false,
            Self::NotFound(_)
            | Self::Gated { .. }
            | Self::Unsuitable(_)
            | Self::Size { .. }
            | Self::Disk { .. }
            | Self::Redirect(_)
            | Self::Config(_)
            | Self::Foreign(_)
            | Self::Certificate { .. }
            | Self::Files { .. }
            | Self::Held(_)
            | Self::CalledOff => false,
        }
    }

    /// Whether everything came and was not what it should be.
    pub(crate) fn is_wrong_content(&self) -> bool {
        matches!(self, Self::Hash { .. })
    }

    /// How long the hub asks to wait before the next question.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::LongWait { wait, .. } => Some(*wait),
            Self::NotFound(_)
            | Self::Gated { .. }
            | Self::Unsuitable(_)
            | Self::Size { .. }
            | Self::Hash { .. }
            | Self::Disk { .. }
            | Self::Redirect(_)
            | Self::Config(_)
            | Self::Foreign(_)
            | Self::Certificate { .. }
            | Self::Line { .. }
            | Self::NotAModel { .. }
            | Self::Place(_)
            | Self::ReadOnly(_)
            | Self::Files { .. }
            | Self::Held(_)
            | Self::CalledOff => None,
        }
    }

    /// For programs.
    pub(crate) fn code(&self) -> PullCode {
        match self {
            Self::NotFound(_) => PullCode::NotFound,
            Self::Gated { .. } => PullCode::Gated,
            Self::Unsuitable(_) | Self::NotAModel { .. } | Self::Place(_) => PullCode::Unsuitable,
            Self::ReadOnly(_) => PullCode::ReadOnly,
            Self::Size { .. } => PullCode::SizeMismatch,
            Self::Hash { .. } => PullCode::HashMismatch,
            Self::Disk { .. } => PullCode::DiskFull,
            Self::Redirect(_) => PullCode::RedirectRefused,
            Self::Config(_) => PullCode::Configuration,
            Self::Foreign(_) => PullCode::NotAHub,
            Self::Certificate { .. } => PullCode::Certificate,
            Self::Line { .. } => PullCode::Connection,
            Self::Status { .. } | Self::LongWait { .. } => PullCode::HubUnavailable,
            Self::Files { source, .. } if access::is_out_of_room(source) => PullCode::DiskFull,
            Self::Files { .. } => PullCode::Files,
            Self::Held(_) => PullCode::Held,
            Self::CalledOff => PullCode::CalledOff,
        }
    }

    pub(crate) fn files(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Files { what, source }
    }
}
