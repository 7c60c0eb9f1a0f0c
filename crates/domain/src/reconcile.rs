//! The reconciler's decision: from what is wanted, what is stored and what is seen, to the next actions.
//!
//! Order of every change: write the intent, act, record. A pass decides one step; the loop runs passes until
//! one decides nothing. Each action may be lost, repeated or half done, and the next pass goes on from what
//! it sees. With an unknown observation nothing is decided at all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::endpoint::{Desired, EndpointState};
use crate::failure::{BackoffSettings, Failure, Verdict, verdict};
use crate::fetch::Fetch;
use crate::hardware::{DeviceId, Health, Inventory};
use crate::ids::{EndpointId, Nonce, ReplicaId};
use crate::placement::{Pool, Shortage};
use crate::replica::{FailureCause, Intent, ObservedReplica, ReplicaPhase, ReplicaRow};
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
    /// How far its model is on the way from the hub; `None` when the model store has it, or nobody fetches it.
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
    /// All endpoints, in any order.
    pub endpoints: Vec<EndpointView>,
    /// What the runtime shows.
    pub observation: Observation,
    /// The host's devices.
    pub inventory: Inventory,
    /// Durations.
    pub settings: Settings,
}

/// One thing to do. Store changes name the row they are about; each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store: write a new replica row that takes these devices.
    Reserve {
        /// For whom.
        endpoint: EndpointId,
        /// What it takes.
        devices: Vec<DeviceId>,
    },
    /// Runtime: make the replica's process exist.
    Spawn {
        /// Which.
        replica: ReplicaId,
    },
    /// Store: the runtime has shown this replica.
    MarkSeen {
        /// Which.
        replica: ReplicaId,
    },
    /// Store: it is ready for the first time.
    MarkReady {
        /// Which.
        replica: ReplicaId,
    },
    /// Store: end the attempt with this cause and turn the row to [`Intent::Stop`].
    Fail {
        /// Which.
        replica: ReplicaId,
        /// Why.
        cause: FailureCause,
    },
    /// Store: turn the row to [`Intent::Drain`]; the next route table lacks it.
    Drain {
        /// Which.
        replica: ReplicaId,
    },
    /// Store: turn the row to [`Intent::Stop`].
    Stop {
        /// Which.
        replica: ReplicaId,
    },
    /// Runtime: make its processes absent.
    Remove {
        /// Which.
        replica: ReplicaId,
        /// The mark of the process that is meant.
        nonce: Nonce,
    },
    /// Store: its processes are gone; device memory is awaited from now on.
    MarkGone {
        /// Which.
        replica: ReplicaId,
    },
    /// Store: delete the row; its devices are free.
    Release {
        /// Which.
        replica: ReplicaId,
        /// Bytes still held on its devices when the wait for them ran out.
        leftover_bytes: u64,
    },
    /// Store: the endpoint was idle for its whole timeout; its run state becomes stopped.
    StopIdle {
        /// Which.
        endpoint: EndpointId,
        /// The generation that this was decided on.
        generation: u64,
    },
    /// Store: show this state.
    Publish {
        /// Which.
        endpoint: EndpointId,
        /// The state before.
        from: EndpointState,
        /// The state from now on.
        state: EndpointState,
        /// The generation that this pass saw.
        generation: u64,
    },
    /// Store: the deleted endpoint has no replica left; its row goes.
    Erase {
        /// Which.
        endpoint: EndpointId,
    },
}

/// Decides one step for the whole host. The result does not depend on the order of the input.
pub fn decide(world: &World) -> Vec<Action> {
    let Observation::Known(observed) = &world.observation else { return Vec::new() };
    let seen = by_mark(observed);
    let mut endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    endpoints.sort_by_key(|it| it.desired.id);

    let mut actions = remove_strangers(&endpoints, observed);
    for view in &endpoints {
        decide_endpoint(view, &seen, world, &mut actions);
    }
    actions.extend(
        launches(&endpoints, &seen, world).into_iter().filter_map(|(endpoint, devices)| {
            devices.ok().map(|devices| Action::Reserve { endpoint, devices })
        }),
    );
    actions
}

/// Replicas wanted now by an endpoint.
pub fn wanted(view: &EndpointView) -> u32 {
    if view.desired.wants_replicas() {
        view.target.clamp(view.desired.replicas.min(), view.desired.replicas.max())
    } else {
        0
    }
}

/// Processes that carry our mark and belong to no row: a launch whose row was never committed, or a row that
/// was released by mistake. The store is known here, so they are nobody's.
fn remove_strangers(endpoints: &[&EndpointView], observed: &[ObservedReplica]) -> Vec<Action> {
    let nonces: BTreeMap<ReplicaId, Nonce> =
        endpoints.iter().flat_map(|it| &it.replicas).map(|it| (it.row.id, it.row.nonce)).collect();
    let mut strangers: Vec<Action> = observed
        .iter()
        .filter(|it| nonces.get(&it.id) != Some(&it.nonce) && it.phase != ReplicaPhase::Stopping)
        .map(|it| Action::Remove { replica: it.id, nonce: it.nonce })
        .collect();
    strangers.sort_by_key(|it| format!("{it:?}"));
    strangers.dedup();
    strangers
}

type Seen<'a> = BTreeMap<(ReplicaId, Nonce), &'a ObservedReplica>;

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

fn decide_endpoint(view: &EndpointView, seen: &Seen<'_>, world: &World, actions: &mut Vec<Action>) {
    let n_before = actions.len();
    let mut replicas: Vec<&ReplicaView> = view.replicas.iter().collect();
    replicas.sort_by_key(|it| it.row.id);
    for replica in &replicas {
        actions.extend(next_for_replica(replica, phase_of(&replica.row, seen), world));
    }
    actions.extend(surplus(view, &replicas, seen, world));

    let desired = &view.desired;
    if is_idle(view, world.now) {
        actions.push(Action::StopIdle { endpoint: desired.id, generation: desired.generation });
    }
    // The state that follows a failure is judged with the failure recorded, in the next pass: it may be an ERROR.
    if actions[n_before..].iter().any(|it| matches!(it, Action::Fail { .. })) {
        return;
    }
    let state = desired.published.step_towards(goal_state(view, seen, world));
    if state != desired.published || desired.observed_generation != desired.generation {
        actions.push(Action::Publish {
            endpoint: desired.id,
            from: desired.published,
            state,
            generation: desired.generation,
        });
    } else if desired.deleted && view.replicas.is_empty() {
        actions.push(Action::Erase { endpoint: desired.id });
    }
}

/// The next step of one replica by itself.
fn next_for_replica(view: &ReplicaView, phase: Option<&ReplicaPhase>, world: &World) -> Option<Action> {
    let row = &view.row;
    let replica = row.id;
    let fail = |cause| Some(Action::Fail { replica, cause });
    match (row.intent, phase) {
        (Intent::Run, None) if row.seen => fail(FailureCause::Lost),
        // Not started yet, so nothing has failed: it is placed anew.
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) if !has_devices(row, &world.inventory) => {
            Some(Action::Stop { replica })
        }
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) => Some(Action::Spawn { replica }),
        (Intent::Run, Some(ReplicaPhase::Exited(exit))) => fail(exit.cause),
        (Intent::Run, Some(ReplicaPhase::Orphaned)) => fail(FailureCause::Lost),
        // Somebody stopped it behind our back: it is on its way out, so follow.
        (Intent::Run, Some(ReplicaPhase::Stopping)) => fail(FailureCause::Stopped),
        (Intent::Run, Some(_)) if lost_device(row, &world.inventory) => fail(FailureCause::DeviceLost),
        (Intent::Run, Some(ReplicaPhase::Launching { progress_at, .. }))
            if world.now.since(*progress_at) >= world.settings.startup_deadline =>
        {
            fail(FailureCause::StartupDeadline)
        }
        (Intent::Run, Some(ReplicaPhase::Unresponsive { since, .. }))
            if world.now.since(*since) >= world.settings.unresponsive_limit =>
        {
            fail(FailureCause::Unresponsive)
        }
        // Its probes are answered, its requests are not: something below the engine's surface is stuck.
        (Intent::Run, Some(ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. }))
            if view.unanswered >= world.settings.unanswered_max =>
        {
            fail(FailureCause::Unresponsive)
        }
        (Intent::Run, Some(_)) if !row.seen => Some(Action::MarkSeen { replica }),
        (Intent::Run, Some(ReplicaPhase::Ready { .. })) if row.ready_at.is_none() => {
            Some(Action::MarkReady { replica })
        }
        (
            Intent::Run,
            Some(
                ReplicaPhase::Launching { .. }
                | ReplicaPhase::Ready { .. }
                | ReplicaPhase::Unresponsive { .. },
            ),
        ) => None,
        (Intent::Drain { since }, Some(ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. })) => {
            let finished = view.out_of_routing && view.in_flight == 0;
            let overdue = world.now.since(since) >= world.settings.drain_timeout;
            (finished || overdue).then_some(Action::Stop { replica })
        }
        (Intent::Drain { .. }, _) => Some(Action::Stop { replica }),
        (Intent::Stop { .. }, Some(ReplicaPhase::Stopping)) => None,
        (Intent::Stop { .. }, Some(_)) => Some(Action::Remove { replica, nonce: row.nonce }),
        (Intent::Stop { .. }, None) => release(row, world),
    }
}

/// After the processes are gone: wait for the devices' memory, then let go of them.
fn release(row: &ReplicaRow, world: &World) -> Option<Action> {
    let replica = row.id;
    let leftover_bytes: u64 =
        row.devices.iter().filter_map(|it| world.inventory.device(it)).map(|it| it.leftover_bytes).sum();
    if leftover_bytes == 0 {
        return Some(Action::Release { replica, leftover_bytes });
    }
    match row.gone_at {
        None => Some(Action::MarkGone { replica }),
        Some(gone_at) => (world.now.since(gone_at) >= world.settings.release_wait)
            .then_some(Action::Release { replica, leftover_bytes }),
    }
}

/// Whether a device that it runs on is gone or broken. One that can't be asked is neither.
fn lost_device(row: &ReplicaRow, inventory: &Inventory) -> bool {
    let is_lost = |it| inventory.device(it).is_none_or(|it| matches!(it.health, Health::Faulty(_)));
    row.devices.iter().any(is_lost)
}

/// Whether it can be started on the devices that it was given.
fn has_devices(row: &ReplicaRow, inventory: &Inventory) -> bool {
    row.devices.iter().all(|it| inventory.device(it).is_some_and(|it| it.health == Health::Healthy))
}

/// Running replicas beyond what is wanted: those that load go first, then those that hang, then the youngest.
fn surplus(view: &EndpointView, replicas: &[&ReplicaView], seen: &Seen<'_>, world: &World) -> Vec<Action> {
    let is_serving = |row: &ReplicaRow| {
        matches!(phase_of(row, seen), Some(ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. }))
    };
    let mut running: Vec<&ReplicaRow> = replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run && !is_failing(it, seen, world))
        .map(|it| &it.row)
        .collect();
    let answers = |row: &ReplicaRow| matches!(phase_of(row, seen), Some(ReplicaPhase::Ready { .. }));
    running.sort_by_key(|it| (!answers(it), !is_serving(it), it.reserved_at, it.id));
    running
        .into_iter()
        .skip(wanted(view) as usize)
        .map(
            |it| {
                if is_serving(it) {
                    Action::Drain { replica: it.id }
                } else {
                    Action::Stop { replica: it.id }
                }
            },
        )
        .collect()
}

/// Whether the inactivity timeout has passed. Never on absent or old numbers: no news is not idleness.
fn is_idle(view: &EndpointView, now: Timestamp) -> bool {
    let (Some(minutes), Some(load)) = (view.desired.inactive_timeout_minutes, view.load) else {
        return false;
    };
    view.desired.wants_replicas()
        && view.desired.published == EndpointState::Started
        && load.in_flight == 0
        && load.waiting == 0
        && now.since(view.last_activity) >= Duration::from_secs(u64::from(minutes) * 60)
}

/// The state the endpoint is in by what is seen now.
pub(crate) fn goal_state(view: &EndpointView, seen: &Seen<'_>, world: &World) -> EndpointState {
    let desired = &view.desired;
    if !desired.wants_replicas() {
        return if view.replicas.is_empty() { EndpointState::Stopped } else { EndpointState::Stopping };
    }
    if ends_last_run(view) {
        return EndpointState::Stopping;
    }
    let running: Vec<Option<&ReplicaPhase>> = view
        .replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run)
        .map(|it| phase_of(&it.row, seen))
        .collect();
    if running.iter().any(|it| matches!(it, Some(ReplicaPhase::Ready { .. }))) {
        return EndpointState::Started;
    }
    // Going to sleep: what still drains does not take it back to the queue, and what failed before it last
    // answered is no reason against sleeping.
    if wanted(view) == 0 && desired.published == EndpointState::Started {
        return EndpointState::Started;
    }
    if running.iter().any(|it| !matches!(it, Some(ReplicaPhase::Exited(_) | ReplicaPhase::Orphaned))) {
        return EndpointState::Starting;
    }
    match &view.fetch {
        Some(Fetch::Failed { n_failures, is_final, .. })
            if *is_final || *n_failures >= world.settings.backoff.failures_max =>
        {
            return EndpointState::Error;
        }
        Some(Fetch::Queued | Fetch::Running { .. } | Fetch::Failed { .. }) => return EndpointState::Pending,
        None => {}
    }
    match verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff) {
        Verdict::Broken { .. } => EndpointState::Error,
        Verdict::Clean if wanted(view) == 0 && view.replicas.is_empty() => EndpointState::Started,
        Verdict::Clean | Verdict::BackingOff { .. } => EndpointState::Pending,
    }
}

/// Whether it was started again while replicas of its last run end: it is STOPPING until they are gone.
fn ends_last_run(view: &EndpointView) -> bool {
    view.desired.published == EndpointState::Stopping
        && view.replicas.iter().any(|it| it.row.intent != Intent::Run)
}

/// Who would get which devices in this pass, and who would not and why. First those without a replica up to
/// their minimum, then those that only want more; among equals, who was started earlier.
pub(crate) fn launches(
    endpoints: &[&EndpointView],
    seen: &Seen<'_>,
    world: &World,
) -> Vec<(EndpointId, Result<Vec<DeviceId>, Shortage>)> {
    let held = endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices);
    let mut pool = Pool::new(&world.inventory, held);
    let mut asking: Vec<(&EndpointView, u32)> = endpoints
        .iter()
        .map(|it| (*it, missing(it, seen, world)))
        .filter(|(_, n_missing)| *n_missing > 0)
        .collect();
    asking.sort_by_key(|(view, n_missing)| {
        (has_minimum(view, *n_missing), view.desired.started_at, view.desired.id)
    });
    let mut given = Vec::new();
    for (view, n_missing) in asking {
        for _ in 0..n_missing {
            let devices = pool.take(&view.desired.hardware, view.bytes_per_device.unwrap_or(0));
            let is_short = devices.is_err();
            given.push((view.desired.id, devices));
            if is_short {
                break;
            }
        }
    }
    given
}

/// Whether somebody waits for devices of this kind who is served before an endpoint that asks now.
pub fn has_queue(world: &World, kind_name: &str) -> bool {
    let Observation::Known(observed) = &world.observation else { return false };
    let seen = by_mark(observed);
    let endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    let is_first = |id| {
        endpoints.iter().any(|it| {
            it.desired.id == id
                && it.desired.hardware.kind_name() == kind_name
                && !has_minimum(it, missing(it, &seen, world))
        })
    };
    launches(&endpoints, &seen, world)
        .into_iter()
        .any(|(id, devices)| matches!(devices, Err(Shortage::Busy { .. } | Shortage::Turn)) && is_first(id))
}

/// Whether an endpoint that lacks so many replicas only wants more than it must have.
fn has_minimum(view: &EndpointView, n_missing: u32) -> bool {
    wanted(view) - n_missing >= view.desired.replicas.min().max(1)
}

/// Replicas that may be launched for an endpoint now.
fn missing(view: &EndpointView, seen: &Seen<'_>, world: &World) -> u32 {
    let desired = &view.desired;
    let judged = verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff);
    if ends_last_run(view)
        // Nothing can load what is not here yet, and others can use the devices until then.
        || view.fetch.is_some()
        || !judged.allows_launch(world.now)
        || view.replicas.iter().any(|it| is_failing(it, seen, world))
    {
        return 0;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let n_running = count(view.replicas.iter().filter(|it| it.row.intent == Intent::Run).count());
    let room = desired
        .replicas
        .max()
        .saturating_add(world.settings.surge)
        .saturating_sub(count(view.replicas.len()));
    wanted(view).saturating_sub(n_running).min(room)
}

/// A replica whose failure is recorded in this pass: it must be judged before the next launch.
fn is_failing(view: &ReplicaView, seen: &Seen<'_>, world: &World) -> bool {
    matches!(next_for_replica(view, phase_of(&view.row, seen), world), Some(Action::Fail { .. }))
}

#[cfg(test)]
mod tests;
