//! Starts an endpoint. Starting what is started changes nothing, but what is in ERROR is tried again at once.

use dedi_domain::endpoint::RunCause;
use dedi_domain::{Desired, EndpointState, Run, Timestamp};

use super::change::show;
use crate::store::EventKind;

/// The event, if this changes anything.
pub(super) fn start(after: &mut Desired, now: Timestamp) -> Option<(EventKind, String)> {
    match (after.run, after.published) {
        (Run::Started, EndpointState::Error) | (Run::Stopped, _) => {
            after.run = Run::Started;
            after.run_cause = RunCause::User;
            after.started_at = now;
            show(after, EndpointState::Pending, now);
            Some((EventKind::StartRequested, "start requested".to_owned()))
        }
        (
            Run::Started,
            EndpointState::Pending
            | EndpointState::Starting
            | EndpointState::Started
            | EndpointState::Stopping
            | EndpointState::Stopped,
        ) => None,
    }
}
