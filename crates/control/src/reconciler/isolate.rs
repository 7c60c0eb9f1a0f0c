//! Keeps what is wrong with one endpoint from holding up the others: one whose steps panic or fail waits alone, at
//! growing intervals, while everybody else's endpoints go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use dedi_domain::reconcile::World;
use dedi_domain::{Action, EndpointId, ReplicaId, Timestamp};

use super::act::find;

/// Wait after a first failed step; it doubles with each further one.
const WAIT_BASE: Duration = Duration::from_millis(40);
/// Longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Whom an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Endpoint(EndpointId),
    /// A process that belongs to no row.
    Stranger(ReplicaId),
}

impl Subject {
    pub(super) fn of(action: &Action, world: &World) -> Self {
        match action {
            Action::Reserve { endpoint, .. }
            | Action::StopIdle { endpoint, .. }
            | Action::Publish { endpoint, .. }
            | Action::Erase { endpoint } => Self::Endpoint(*endpoint),
            Action::Spawn { replica }
            | Action::MarkSeen { replica }
            | Action::MarkReady { replica }
            | Action::Fail { replica, .. }
            | Action::Drain { replica, .. }
            | Action::Stop { replica, .. }
            | Action::Remove { replica, .. }
            | Action::MarkGone { replica }
            | Action::Release { replica, .. } => find(world, *replica)
                .map_or(Self::Stranger(*replica), |(view, _)| Self::Endpoint(view.desired.id)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(id) => id.fmt(f),
            Self::Stranger(id) => id.fmt(f),
        }
    }
}

#[derive(Debug)]
struct Wait {
    n_failed: u32,
    until: Timestamp,
}

/// Those whose last step failed.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<Subject, Wait>);

impl Waits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes those out of the decision whose wait is not over.
    pub(super) fn quarantine(&self, world: &mut World) {
        let now = world.now;
        for (subject, _) in self.0.iter().filter(|(_, it)| now < it.until) {
            match *subject {
                Subject::Endpoint(id) => world.quarantine(id),
                Subject::Stranger(id) => {
                    world.quarantine.replicas.insert(id);
                }
            }
        }
    }

    /// After a pass: those who failed in it wait longer, those whose turn it was and who did not wait no more.
    pub(super) fn note(&mut self, failed: &BTreeSet<Subject>, now: Timestamp) {
        self.0.retain(|subject, it| now < it.until || failed.contains(subject));
        for subject in failed {
            let wait = self.0.entry(*subject).or_insert(Wait { n_failed: 0, until: now });
            wait.n_failed = wait.n_failed.saturating_add(1);
            let delay = WAIT_BASE.saturating_mul(2_u32.saturating_pow(wait.n_failed - 1)).min(WAIT_MAX);
            wait.until = now.plus(delay);
        }
    }

    /// How often in a row its steps have failed.
    pub(super) fn n_failed(&self, subject: Subject) -> u32 {
        self.0.get(&subject).map_or(0, |it| it.n_failed)
    }
}

/// Decides for all endpoints but those whose decision panics, which are answered too.
pub(super) fn decide_each(
    world: &World,
    decide: impl Fn(&World) -> Vec<Action>,
) -> (Vec<Action>, BTreeSet<EndpointId>) {
    let attempt = |world: &World| catch_unwind(AssertUnwindSafe(|| decide(world)));
    let panic = match attempt(world) {
        Ok(actions) => return (actions, BTreeSet::new()),
        Err(panic) => panic,
    };
    let mut all_quarantined = world.clone();
    let ids: Vec<EndpointId> = world.endpoints.iter().map(|it| it.desired.id).collect();
    for id in &ids {
        all_quarantined.quarantine(*id);
    }
    let mut culprits = BTreeSet::new();
    for view in &world.endpoints {
        all_quarantined.endpoints = vec![view.clone()];
        if attempt(&all_quarantined).is_err() {
            culprits.insert(view.desired.id);
        }
    }
    if culprits.is_empty() {
        // It is nobody's alone.
        resume_unwind(panic);
    }
    let mut rest = world.clone();
    for id in &culprits {
        rest.quarantine(*id);
    }
    (decide(&rest), culprits)
}

#[cfg(test)]
mod tests {
    use dedi_domain::reconcile::{EndpointView, Observation, decide};

    use super::*;
    use crate::reconciler::tests::desired;

    fn view() -> EndpointView {
        let desired = desired(0, 1);
        EndpointView {
            desired,
            replicas: Vec::new(),
            failures: Vec::new(),
            target: 0,
            load: None,
            last_activity: Timestamp(0),
            bytes_per_device: None,
            fetch: None,
        }
    }

    fn world(n: usize) -> World {
        World {
            now: Timestamp(0),
            endpoints: (0..n).map(|_| view()).collect(),
            quarantine: dedi_domain::Quarantine::default(),
            observation: Observation::Known(Vec::new()),
            listed_at: Timestamp(0),
            inventory: dedi_domain::Inventory::default(),
            capabilities: dedi_domain::Capabilities::default(),
            settings: dedi_domain::reconcile::Settings::default(),
        }
    }

    #[test]
    fn a_decision_that_panics_for_one_endpoint_is_made_for_the_others() {
        let world = world(4);
        let bad = world.endpoints[2].desired.id;
        let (actions, culprits) = decide_each(&world, |world| {
            assert!(world.endpoints.iter().all(|it| it.desired.id != bad), "planned by the test");
            decide(world)
        });
        assert_eq!(culprits, BTreeSet::from([bad]));
        let shown: BTreeSet<Subject> = actions.iter().map(|it| Subject::of(it, &world)).collect();
        let others = world.endpoints.iter().map(|it| it.desired.id).filter(|it| *it != bad);
        assert_eq!(shown, others.map(Subject::Endpoint).collect());
    }

    #[test]
    fn one_that_fails_waits_longer_each_time_and_no_more_when_it_works() {
        let mut waits = Waits::default();
        let it = Subject::Endpoint(desired(1, 1).id);
        let mut now = Timestamp(0);
        let mut delays = Vec::new();
        for _ in 0..12 {
            waits.note(&BTreeSet::from([it]), now);
            delays.push(waits.0[&it].until.since(now).as_millis());
            now = waits.0[&it].until;
        }
        assert_eq!(delays[..4], [40, 80, 160, 320]);
        assert_eq!(delays[11], WAIT_MAX.as_millis());
        waits.note(&BTreeSet::new(), now);
        assert_eq!(waits.n_failed(it), 0);
    }
}
