//! Carries out a plan, one action after the other, as far as that makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use dedi_domain::reconcile::World;
use dedi_domain::{Action, EndpointId};
use futures_util::FutureExt;

use super::act::{Trouble, act};
use super::environment::Environment;
use super::isolate::Subject;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Carried {
    /// Actions after which another observation is worth while.
    pub n_done: usize,
    /// What went wrong, as sentences.
    pub troubles: BTreeSet<String>,
    /// Endpoints whose next step could not be recorded, and why not.
    pub unrecorded: BTreeMap<EndpointId, String>,
    /// Whose step failed.
    pub(super) failed: BTreeSet<Subject>,
    /// Whose step panicked.
    pub(super) panicked: BTreeSet<Subject>,
}

/// Carries out what was decided on `world`. `not_leading` says why this server could not take the lead, if that is so:
/// then what can't be recorded is everybody's trouble, and not a sign that another server leads.
pub async fn carry_out(
    environment: &dyn Environment,
    world: &World,
    actions: &[Action],
    not_leading: Option<&str>,
) -> Carried {
    let mut carried = Carried::default();
    for action in actions {
        let done = AssertUnwindSafe(act(environment, world, action)).catch_unwind().await;
        match done.unwrap_or(Err(Trouble::Panicked)) {
            Ok(()) => carried.n_done += 1,
            // Somebody changed the row since the observation; the next one decides anew.
            Err(Trouble::Moved) => carried.n_done += 1,
            Err(Trouble::Overtaken) => {
                carried.n_done += 1;
                break;
            }
            Err(Trouble::Fenced(what)) if not_leading.is_none() => {
                carried.troubles.insert(what);
                break;
            }
            Err(Trouble::NotRecorded(what) | Trouble::Fenced(what)) => {
                let what = not_leading.map_or(what, str::to_owned);
                carried.troubles.insert(format!("a step could not be recorded: {what}"));
                if let Subject::Endpoint(id) = Subject::of(action, world) {
                    carried.unrecorded.insert(id, what);
                }
            }
            Err(Trouble::Failed(what)) => {
                carried.troubles.insert(what);
                carried.failed.insert(Subject::of(action, world));
            }
            Err(Trouble::Panicked) => {
                carried.failed.insert(Subject::of(action, world));
                carried.panicked.insert(Subject::of(action, world));
            }
        }
    }
    carried
}
