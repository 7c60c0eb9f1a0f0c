//! Stops an endpoint. Stopping what is stopped changes nothing.

use dedi_domain::endpoint::RunCause;
use dedi_domain::{Desired, EndpointState, Run, Timestamp};

use super::change::show;
use crate::store::EventKind;

/// The event, if this changes anything.
pub(super) fn stop(after: &mut Desired, now: Timestamp) -> Option<(EventKind, String)> {
    match after.run {
        Run::Started => {
            after.run = Run::Stopped;
            after.run_cause = RunCause::User;
            show(after, EndpointState::Stopping, now);
            Some((EventKind::StopRequested, "stop requested".to_owned()))
        }
        Run::Stopped => None,
    }
}
