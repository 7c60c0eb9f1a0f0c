//! The input of a decision: what is wanted, what is stored, what is seen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::capabilities::Capabilities;
use crate::endpoint::Desired;
use crate::failure::{BackoffSettings, Failure};
use crate::fetch::Fetch;
use crate::hardware::Inventory;
use crate::ids::{EndpointId, Nonce, ReplicaId};
use crate::quarantine::Quarantine;
use crate::replica::{ObservedReplica, ReplicaPhase, ReplicaRow};
use crate::route::EndpointLoad;
use crate::time::Timestamp;

/// What the runtime showed at the start of the pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The runtime could not be asked; nobody may conclude anything.
    Unknown,
    /// All replicas it has.
    Known(Vec<ObservedReplica>),
}

/// One replica row with what the gateway said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// The row.
    pub row: ReplicaRow,
    /// The gateway has acknowledged a route table without it.
    pub out_of_routing: bool,
    /// Requests it still has.
    pub in_flight: u32,
    /// Requests in a row that ran out of time while it sent nobody a byte; 0 where that is not known.
    pub unanswered: u32,
}

/// One endpoint with everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// What is wanted.
    pub desired: Desired,
    /// Its replicas' rows.
    pub replicas: Vec<ReplicaView>,
    /// Its ended attempts, oldest first, as far back as they count.
    pub failures: Vec<Failure>,
    /// Replicas wanted now, from the autoscaler; bounded by the range again here.
    pub target: u32,
    /// What the gateway reports; `None` when its report is missing or old.
    pub load: Option<EndpointLoad>,
    /// When the last inference ended, or when it became ready, whichever is later.
    pub last_activity: Timestamp,
    /// Memory one replica needs on each of its devices; `None` if the model's files can't be read now.
    pub bytes_per_device: Option<u64>,
    /// What its model waits for; `None` when an engine may load it.
    pub fetch: Option<Fetch>,
}

/// Durations the decision uses.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest wait for requests to finish on a draining replica.
    pub drain_timeout: Duration,
    /// Longest wait without progress for a launched replica to become ready.
    pub startup_deadline: Duration,
    /// Longest a replica may leave probes unanswered.
    pub unresponsive_limit: Duration,
    /// Unanswered requests in a row after which a replica is ended, whatever its probes say.
    pub unanswered_max: u32,
    /// Longest wait for device memory after the processes are gone.
    pub release_wait: Duration,
    /// Replicas that may exist above `max_replicas` while old ones drain.
    pub surge: u32,
    /// How failures delay the next try.
    pub backoff: BackoffSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain_timeout: Duration::from_secs(30),
            startup_deadline: Duration::from_secs(1_800),
            unresponsive_limit: Duration::from_secs(30),
            unanswered_max: 3,
            release_wait: Duration::from_secs(30),
            surge: 1,
            backoff: BackoffSettings::default(),
        }
    }
}

/// The input of one decision.
#[derive(Clone, Debug)]
pub struct World {
    /// The time of the pass.
    pub now: Timestamp,
    /// All endpoints that can be decided about, in any order.
    pub endpoints: Vec<EndpointView>,
    /// Endpoints that can't be decided about, with what they hold.
    pub quarantine: Quarantine,
    /// What the runtime shows.
    pub observation: Observation,
    /// A moment before the runtime was asked: no process that the observation shows alive was gone by then.
    pub listed_at: Timestamp,
    /// The devices there are.
    pub inventory: Inventory,
    /// What the runtime can do.
    pub capabilities: Capabilities,
    /// Durations.
    pub settings: Settings,
}

impl World {
    /// Takes an endpoint out of the decision.
    pub fn quarantine(&mut self, endpoint: EndpointId) {
        for view in self.endpoints.extract_if(.., |it| it.desired.id == endpoint) {
            self.quarantine.endpoints.insert(endpoint);
            for it in view.replicas {
                self.quarantine.replicas.insert(it.row.id);
                self.quarantine.devices.extend(it.row.devices);
            }
        }
    }
}

/// Replicas wanted now by an endpoint.
pub fn wanted(view: &EndpointView) -> u32 {
    if view.desired.wants_replicas() {
        view.target.clamp(view.desired.replicas.min(), view.desired.replicas.max())
    } else {
        0
    }
}

pub(crate) type Seen<'a> = BTreeMap<(ReplicaId, Nonce), &'a ObservedReplica>;

/// What is seen of a row's own process; one with another nonce is not it.
pub(crate) fn phase_of<'a>(row: &ReplicaRow, seen: &Seen<'a>) -> Option<&'a ReplicaPhase> {
    seen.get(&(row.id, row.nonce)).map(|it| &it.phase)
}

/// The observed processes by replica and mark: another process under a replica's id hides nothing. One that
/// is listed twice counts as the further of its two phases, whatever the order: the other is older.
pub fn by_mark(observed: &[ObservedReplica]) -> BTreeMap<(ReplicaId, Nonce), &ObservedReplica> {
    let mut seen: Seen<'_> = BTreeMap::new();
    for it in observed {
        let known = seen.entry((it.id, it.nonce)).or_insert(it);
        if known.phase != it.phase && is_further(&it.phase, &known.phase) {
            *known = it;
        }
    }
    seen
}

fn is_further(one: &ReplicaPhase, other: &ReplicaPhase) -> bool {
    let stage = |phase: &ReplicaPhase| match phase {
        ReplicaPhase::Unstarted => 0,
        ReplicaPhase::Launching { .. } => 1,
        ReplicaPhase::Ready { .. } => 2,
        ReplicaPhase::Unresponsive { .. } => 3,
        ReplicaPhase::Orphaned => 4,
        ReplicaPhase::Stopping => 5,
        ReplicaPhase::Exited(_) => 6,
    };
    // Which of two looks at one stage is the older may not show; any choice will do that is always the same.
    (stage(one), format!("{one:?}")) > (stage(other), format!("{other:?}"))
}
