//! What a command ends with when it does not end well: a sentence, what to do, and the exit code.

use std::process::ExitCode;

use dedi_api::ErrorDetail;

use crate::client_error::ClientError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was told: 0.
    Done,
    /// The server said no, or what was waited for failed: 1.
    Refused,
    /// Wrong usage or configuration: 2.
    Usage,
    /// No server answers: 3.
    Unreachable,
    /// Ctrl-C: 130.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, CliError>;

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(crate) struct CliError {
    pub exit: Exit,
    /// Empty where nothing is left to say: the answer said it, or its reader has gone.
    pub message: String,
    pub hint: Option<String>,
    /// The server's own words for `--json`, where it said some.
    pub detail: Option<Box<ErrorDetail>>,
}

impl CliError {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: Some(hint.into()), detail: None }
    }

    pub(crate) fn failed(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into(), hint, detail: None }
    }

    pub(crate) fn interrupted(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into(), hint, detail: None }
    }

    /// Nothing is left to say.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, message: String::new(), hint: None, detail: None }
    }
}

impl From<ClientError> for CliError {
    fn from(err: ClientError) -> Self {
        let hint = err.hint();
        let message = err.to_string();
        let (exit, detail) = match err {
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::Broken { .. } => {
                (Exit::Unreachable, None)
            }
            ClientError::Foreign { .. } => (Exit::Refused, None),
            ClientError::Refused { detail, .. } => (Exit::Refused, Some(detail)),
        };
        Self { exit, message, hint, detail }
    }
}
