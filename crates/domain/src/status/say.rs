//! Reasons with and without a next step.

use super::code::ReasonCode;
use super::report::Reason;

pub(super) fn say(code: ReasonCode, message: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: None }
}

pub(super) fn advise(code: ReasonCode, message: impl Into<String>, next_step: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: Some(next_step.into()) }
}
