//! What a decision must never say of the world it was given, whatever becomes of its actions.

use std::time::Duration;

use dedi_domain::endpoint::{Run, RunCause};
use dedi_domain::failure::{Verdict, pause, verdict};
use dedi_domain::hardware::Health;
use dedi_domain::reconcile::{EndpointView, Observation, World};
use dedi_domain::replica::ReplicaRow;
use dedi_domain::{Action, EndpointState, Inventory, ObservedReplica, ReplicaId, ReplicaPhase};
use dedi_domain::{EndReason, Fetch, Intent, Nonce, Quarantine};

use crate::check::check_step;
use crate::trace::{Checked, broken};
use crate::world::devices::{DeviceSet, NEEDED_BYTES, bit, set_of};

/// `world` has all there is, `aside` what the decision was made without.
pub(crate) fn check_plan(world: &World, quarantine: &Quarantine, actions: &[Action]) -> Checked {
    let Observation::Known(listed) = &world.observation else {
        return if actions.is_empty() { Ok(()) } else { broken("S18", "decides without having seen") };
    };
    let plan = Plan { world, quarantine, listed, actions };
    let mut held: DeviceSet = 0;
    for action in actions {
        plan.check_quarantine(action)?;
        match action {
            Action::Reserve { endpoint, devices } => {
                let Some(view) = plan.view(*endpoint) else { continue };
                plan.check_reserve(view, set_of(devices), &mut held)?;
            }
            Action::Spawn { replica } => {
                if let Some(row) = plan.row(*replica)
                    && !usable(&world.inventory, set_of(&row.devices))
                {
                    return broken("F30", format!("{replica} is started on a faulty device"));
                }
                let view = plan.row(*replica).and_then(|row| plan.view(row.endpoint));
                if view.is_some_and(|it| it.fetch.is_some()) {
                    return broken("F70", format!("{replica} is started while nothing can read its model"));
                }
            }
            Action::Drain { replica, reason } | Action::Stop { replica, reason, .. } => {
                plan.check_less(*replica)?;
                plan.check_reason(*replica, *reason)?;
            }
            Action::Remove { replica, nonce, reason } => {
                let row = plan.row(*replica).filter(|it| it.nonce == *nonce);
                if row.is_some_and(|it| !matches!(it.intent, Intent::Stop { .. })) {
                    return broken("S3", format!("{replica} is removed though it is not told to stop"));
                }
                let known = row.map_or(Some(EndReason::NoRecord), |row| reason_of(row.intent));
                if known != Some(*reason) {
                    return broken(
                        "S19",
                        format!("{replica} is removed for {reason:?}, but it was {known:?}"),
                    );
                }
            }
            Action::StopIdle { endpoint, .. } => {
                let idle = plan.view(*endpoint).and_then(|it| it.load);
                if !idle.is_some_and(|it| it.in_flight == 0 && it.waiting == 0) {
                    return broken("F17", format!("{endpoint} is stopped as idle without a report of that"));
                }
            }
            Action::Publish { endpoint, from, state, generation } => {
                let Some(view) = plan.view(*endpoint) else { continue };
                check_step(*from, *state, &view.desired)?;
                plan.check_shown(view, *state, *generation)?;
            }
            Action::MarkSeen { .. }
            | Action::MarkReady { .. }
            | Action::Fail { .. }
            | Action::MarkGone { .. }
            | Action::Release { .. }
            | Action::Erase { .. } => {}
        }
    }
    Ok(())
}

struct Plan<'a> {
    world: &'a World,
    quarantine: &'a Quarantine,
    listed: &'a [ObservedReplica],
    actions: &'a [Action],
}

impl Plan<'_> {
    fn view(&self, id: dedi_domain::EndpointId) -> Option<&EndpointView> {
        self.world.endpoints.iter().find(|it| it.desired.id == id)
    }

    fn row(&self, id: ReplicaId) -> Option<&ReplicaRow> {
        self.world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| &it.row).find(|it| it.id == id)
    }

    /// S18 of one endpoint: what is left out of a decision is neither begun nor ended.
    fn check_quarantine(&self, action: &Action) -> Checked {
        let id = match action {
            Action::Reserve { endpoint, .. }
            | Action::StopIdle { endpoint, .. }
            | Action::Publish { endpoint, .. }
            | Action::Erase { endpoint } => Some(*endpoint),
            Action::Spawn { replica }
            | Action::MarkSeen { replica }
            | Action::MarkReady { replica }
            | Action::Fail { replica, .. }
            | Action::Drain { replica, .. }
            | Action::Stop { replica, .. }
            | Action::Remove { replica, .. }
            | Action::MarkGone { replica }
            | Action::Release { replica, .. } => self.row(*replica).map(|it| it.endpoint),
        };
        if id.is_some_and(|it| self.quarantine.endpoints.contains(&it)) {
            return broken("S18", format!("{action:?} is decided without having read its endpoint"));
        }
        Ok(())
    }

    fn answers(&self, id: ReplicaId, nonce: Nonce) -> bool {
        let is_ready = |it: &&ObservedReplica| {
            it.id == id && it.nonce == nonce && matches!(it.phase, ReplicaPhase::Ready { .. })
        };
        self.listed.iter().any(|it| is_ready(&it))
    }

    /// S1, S2, F30, F31, F32 and L3's order.
    fn check_reserve(&self, view: &EndpointView, devices: DeviceSet, held: &mut DeviceSet) -> Checked {
        let id = view.desired.id;
        if view.fetch.is_some() {
            return broken("S2", format!("{id} takes devices before its model is here"));
        }
        let rows = self.world.endpoints.iter().flat_map(|it| &it.replicas);
        let taken = rows.fold(*held, |sum, it| sum | set_of(&it.row.devices));
        if taken & devices != 0 {
            return broken("S1", format!("{id} is given a device that is taken"));
        }
        *held |= devices;
        if !usable(&self.world.inventory, devices) {
            return broken("F30", format!("{id} is given a faulty device"));
        }
        let measured = self.world.inventory.devices.iter().filter(|it| bit(&it.id) & devices != 0);
        for device in measured {
            if device.leftover_bytes > 0 {
                return broken("F31", format!("{id} is given {}, whose memory is not back", device.id));
            }
            if device.available_bytes() < NEEDED_BYTES {
                return broken("F32", format!("{id} is given {}, whose memory strangers use", device.id));
            }
        }
        for other in &self.world.endpoints {
            if other.desired.id != id && self.is_passed_over(other, view) {
                return broken(
                    "L3",
                    format!("{id} overtakes {}, which waits since earlier", other.desired.id),
                );
            }
        }
        Ok(())
    }

    /// Whether `other` has waited longer for the same kind, could be served on this host, and is not.
    fn is_passed_over(&self, other: &EndpointView, view: &EndpointView) -> bool {
        let (a, b) = (&other.desired, &view.desired);
        let is_first = other.replicas.is_empty() && (a.started_at, a.id) < (b.started_at, b.id);
        let keeps_turn = is_first && self.keeps_turn(other);
        let is_asking = a.wants_replicas()
            && a.replicas.min() > 0
            && (other.failures.is_empty() || keeps_turn)
            && other.fetch.is_none();
        let is_quarantined = self.quarantine.endpoints.contains(&a.id);
        if !is_first || is_quarantined || !is_asking || a.hardware.kind_name() != b.hardware.kind_name() {
            return false;
        }
        let kind = a.hardware.kind_name();
        let of_kind = self
            .world
            .inventory
            .devices
            .iter()
            .filter(|it| it.kind.is_named(kind) && it.health == Health::Healthy);
        let n_healthy = of_kind.clone().count();
        // Memory that strangers or the dead hold may never come back, so waiting for it holds nobody up.
        let has_all_memory =
            of_kind.clone().all(|it| it.leftover_bytes == 0 && it.available_bytes() >= NEEDED_BYTES);
        let is_served =
            self.actions.iter().any(|it| matches!(it, Action::Reserve { endpoint, .. } if *endpoint == a.id));
        // One that may not be launched yet is served with what is left for it.
        let taken = self.taken();
        let n_left = of_kind.filter(|it| bit(&it.id) & taken == 0).count();
        let is_left_enough = keeps_turn && n_left >= a.hardware.count() as usize;
        n_healthy >= a.hardware.count() as usize && has_all_memory && !is_served && !is_left_enough
    }

    /// Whether it failed, but not so that it is put off for minutes or for good.
    fn keeps_turn(&self, view: &EndpointView) -> bool {
        let (it, settings) = (&view.desired, &self.world.settings.backoff);
        let judged = verdict(it.id, &view.failures, it.started_at, settings);
        let is_paused =
            pause(it.id, &view.failures, it.started_at, settings).is_some_and(|until| self.world.now < until);
        matches!(judged, Verdict::BackingOff { .. }) && !is_paused
    }

    /// The devices that are held, or are after this plan.
    fn taken(&self) -> DeviceSet {
        let held = self.world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| set_of(&it.row.devices));
        let given = self
            .actions
            .iter()
            .map(|it| if let Action::Reserve { devices, .. } = it { set_of(devices) } else { 0 });
        held.chain(given).fold(0, |sum, it| sum | it)
    }

    /// S5's second half: what we do by ourselves leaves at least the minimum, and all that are wanted,
    /// serving.
    fn check_less(&self, replica: ReplicaId) -> Checked {
        let Some(row) = self.row(replica) else { return Ok(()) };
        let Some(view) = self.view(row.endpoint) else { return Ok(()) };
        if row.intent != Intent::Run || !view.desired.wants_replicas() || !self.answers(row.id, row.nonce) {
            return Ok(());
        }
        let n_left = view
            .replicas
            .iter()
            .filter(|it| it.row.intent == Intent::Run && self.answers(it.row.id, it.row.nonce))
            .filter(|it| !self.is_leaving(it.row.id))
            .count();
        let least = view.target.clamp(view.desired.replicas.min(), view.desired.replicas.max());
        if n_left < least as usize {
            return broken(
                "S5",
                format!("{} is left with {n_left} of {least} by our own doing", row.endpoint),
            );
        }
        Ok(())
    }

    /// S19: a reason that was given stays, and a new one fits what is wanted and what is there.
    fn check_reason(&self, replica: ReplicaId, reason: EndReason) -> Checked {
        let Some(row) = self.row(replica) else { return Ok(()) };
        let Some(view) = self.view(row.endpoint) else { return Ok(()) };
        let it = &view.desired;
        let (min, max) = (it.replicas.min(), it.replicas.max());
        let fits = match (reason_of(row.intent), reason) {
            (Some(known), new) => known == new,
            (None, EndReason::DeleteRequested) => it.deleted,
            (None, EndReason::StopRequested) => {
                !it.deleted && it.run == Run::Stopped && it.run_cause == RunCause::User
            }
            (None, EndReason::StoppedInactive) => {
                !it.deleted && it.run == Run::Stopped && it.run_cause == RunCause::Inactive
            }
            (None, EndReason::ScaledDown { from, to }) => {
                it.wants_replicas() && (min..max).contains(&to) && from > to
            }
            (None, EndReason::MaxReplicasLowered { from, to }) => {
                it.wants_replicas() && to == max && from > to
            }
            (None, EndReason::DeviceLost) => {
                it.wants_replicas() && !usable(&self.world.inventory, set_of(&row.devices))
            }
            (
                None,
                EndReason::Downloading
                | EndReason::Checking
                | EndReason::DownloadFailed
                | EndReason::ModelAbsent
                | EndReason::ModelUnreadable,
            ) => it.wants_replicas() && view.fetch.is_some(),
            (None, EndReason::Failed { .. } | EndReason::NoRecord | EndReason::Unknown) => false,
        };
        if fits { Ok(()) } else { broken("S19", format!("{replica} is ended for {reason:?}")) }
    }

    /// Whether this plan sends it away.
    fn is_leaving(&self, id: ReplicaId) -> bool {
        self.actions.iter().any(|it| {
            matches!(it, Action::Drain { replica, .. } | Action::Stop { replica, .. } | Action::Fail { replica, .. } if *replica == id)
        })
    }

    /// S7, and what may be shown of an endpoint that is not wanted up.
    fn check_shown(&self, view: &EndpointView, state: EndpointState, generation: u64) -> Checked {
        let it = &view.desired;
        if generation > it.generation {
            return broken("S7", format!("{} is shown to have seen what is not there", it.id));
        }
        if !it.wants_replicas() && [EndpointState::Starting, EndpointState::Started].contains(&state) {
            return broken("S7", format!("{} shows {state} though it is not wanted up", it.id));
        }
        let has_ready = view
            .replicas
            .iter()
            .any(|it| it.row.intent == Intent::Run && self.answers(it.row.id, it.row.nonce));
        let runs_any =
            view.replicas.iter().any(|it| it.row.intent == Intent::Run && !self.is_leaving(it.row.id));
        let sleeps = it.replicas.min() == 0 && view.target == 0 && !runs_any;
        match state {
            EndpointState::Started if !has_ready && !sleeps => {
                broken("S7", format!("{} shows STARTED and nothing answers", it.id))
            }
            EndpointState::Stopped if !view.replicas.is_empty() => {
                broken("S7", format!("{} shows STOPPED and holds rows", it.id))
            }
            EndpointState::Pending
                if it.published == EndpointState::Stopping
                    && view.replicas.iter().any(|it| it.row.intent != Intent::Run) =>
            {
                broken("S6", format!("{} shows PENDING before its last run has drained", it.id))
            }
            EndpointState::Error
                if !view.failures.iter().any(|failure| failure.at >= it.started_at)
                    && !matches!(view.fetch, Some(Fetch::Failed { .. })) =>
            {
                broken("L4", format!("{} shows ERROR and nothing failed", it.id))
            }
            EndpointState::Pending
            | EndpointState::Starting
            | EndpointState::Started
            | EndpointState::Stopping
            | EndpointState::Stopped
            | EndpointState::Error => Ok(()),
        }
    }
}

pub(super) fn reason_of(intent: Intent) -> Option<EndReason> {
    match intent {
        Intent::Run => None,
        Intent::Drain { reason, .. } | Intent::Stop { reason, .. } => Some(reason),
    }
}

fn usable(inventory: &Inventory, devices: DeviceSet) -> bool {
    let healthy = inventory
        .devices
        .iter()
        .filter(|it| it.health == Health::Healthy)
        .fold(0, |sum: DeviceSet, it| sum | bit(&it.id));
    devices & !healthy == 0
}

/// The settings a life runs with: the defaults, but for a start-up deadline that fits into a life.
pub(crate) fn settings() -> dedi_domain::reconcile::Settings {
    dedi_domain::reconcile::Settings {
        startup_deadline: Duration::from_secs(120),
        ..dedi_domain::reconcile::Settings::default()
    }
}
