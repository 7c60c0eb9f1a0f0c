//! The next step of one replica by itself: begin, be marked, fail, drain, stop, let go.

use super::{Action, ReplicaView, Seen, World, phase_of};
use crate::end_reason::{DrainOutcome, EndReason};
use crate::hardware::{DeviceId, Health, Inventory};
use crate::replica::{FailureCause, Intent, ReplicaPhase, ReplicaRow};
use crate::time::Timestamp;

/// The next step of one replica by itself.
pub(super) fn next_for_replica(
    view: &ReplicaView,
    phase: Option<&ReplicaPhase>,
    world: &World,
) -> Option<Action> {
    let row = &view.row;
    let replica = row.id;
    let fail = |cause| Some(Action::Fail { replica, cause });
    match (row.intent, phase) {
        (Intent::Run, None) if row.seen => fail(FailureCause::Lost),
        // Not started yet, so nothing has failed: it is placed anew.
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) if !has_devices(row, &world.inventory) => {
            Some(Action::Stop { replica, reason: EndReason::DeviceLost, drain: DrainOutcome::NotNeeded })
        }
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) => Some(Action::Spawn { replica }),
        (Intent::Run, Some(ReplicaPhase::Exited(exit))) => fail(exit.cause),
        (Intent::Run, Some(ReplicaPhase::Orphaned)) => fail(FailureCause::SupervisorLost),
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
        (Intent::Drain { since, reason }, phase) => {
            let drain = drain_outcome(view, since, phase, world)?;
            Some(Action::Stop { replica, reason, drain })
        }
        (Intent::Stop { .. }, Some(ReplicaPhase::Stopping)) => None,
        (Intent::Stop { reason, .. }, Some(_)) => Some(Action::Remove { replica, nonce: row.nonce, reason }),
        (Intent::Stop { .. }, None) => release(row, world),
    }
}

/// How draining ended; `None` while it goes on.
fn drain_outcome(
    view: &ReplicaView,
    since: Timestamp,
    phase: Option<&ReplicaPhase>,
    world: &World,
) -> Option<DrainOutcome> {
    match phase {
        Some(ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. }) => {
            if view.out_of_routing && view.in_flight == 0 {
                return Some(DrainOutcome::Finished);
            }
            let is_overdue = world.now.since(since) >= world.settings.drain_timeout;
            is_overdue.then_some(DrainOutcome::TimedOut)
        }
        Some(ReplicaPhase::Unstarted | ReplicaPhase::Launching { .. }) => Some(DrainOutcome::NotNeeded),
        Some(ReplicaPhase::Exited(exit)) => Some(DrainOutcome::Interrupted(exit.cause)),
        Some(ReplicaPhase::Orphaned) => Some(DrainOutcome::Interrupted(FailureCause::SupervisorLost)),
        Some(ReplicaPhase::Stopping) => Some(DrainOutcome::Interrupted(FailureCause::Stopped)),
        None => Some(DrainOutcome::Interrupted(FailureCause::Lost)),
    }
}

/// After the processes are gone: wait for the devices' memory, then let go of them. What can't be measured is not
/// taken to be free, unless the runtime never measures.
fn release(row: &ReplicaRow, world: &World) -> Option<Action> {
    let replica = row.id;
    if !world.capabilities.measures_memory {
        return Some(Action::Release { replica, leftover_bytes: 0, unmeasured: Vec::new() });
    }
    let (measured, unmeasured): (Vec<&DeviceId>, Vec<&DeviceId>) =
        row.devices.iter().partition(|it| world.inventory.is_measured(it));
    let leftover_bytes: u64 =
        measured.into_iter().filter_map(|it| world.inventory.device(it)).map(|it| it.leftover_bytes).sum();
    let is_free = leftover_bytes == 0 && unmeasured.is_empty();
    let is_overdue = |gone_at| world.now.since(gone_at) >= world.settings.release_wait;
    if is_free || row.gone_at.is_some_and(is_overdue) {
        let unmeasured = unmeasured.into_iter().cloned().collect();
        return Some(Action::Release { replica, leftover_bytes, unmeasured });
    }
    row.gone_at.is_none().then_some(Action::MarkGone { replica })
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

/// A replica whose failure is recorded in this pass: it must be judged before the next launch.
pub(super) fn is_failing(view: &ReplicaView, seen: &Seen<'_>, world: &World) -> bool {
    matches!(next_for_replica(view, phase_of(&view.row, seen), world), Some(Action::Fail { .. }))
}
