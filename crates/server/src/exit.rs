//! How the program ends when it does not do what it was told: a sentence, and the exit code that says whose mistake it is.

use dedi_control::ControlError;
use dedi_control::store::LockError;
use dedi_domain::with_causes;

/// Something that was needed broke, or what was asked for failed.
pub(crate) const EXIT_BROKEN: u8 = 1;
/// Wrong usage or configuration.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Another server holds the data folder.
pub(crate) const EXIT_HELD: u8 = 3;

/// A sentence and the exit code that goes with it.
pub(crate) struct Refusal {
    pub code: u8,
    pub message: String,
}

impl Refusal {
    pub(crate) fn usage(message: String) -> Self {
        Self { code: EXIT_USAGE, message }
    }

    pub(crate) fn broken(message: String) -> Self {
        Self { code: EXIT_BROKEN, message }
    }
}

impl From<ControlError> for Refusal {
    fn from(err: ControlError) -> Self {
        let code = match &err {
            ControlError::Lock(LockError::Held { .. }) => EXIT_HELD,
            ControlError::Config(_) => EXIT_USAGE,
            ControlError::Lock(LockError::Io { .. })
            | ControlError::Store(_)
            | ControlError::Missing { .. }
            | ControlError::MissingUnseen { .. }
            | ControlError::Lost { .. }
            | ControlError::FirstKey(_) => EXIT_BROKEN,
        };
        Self { code, message: with_causes(&err) }
    }
}
