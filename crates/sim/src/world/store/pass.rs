//! The writes of a pass.

use dedi_domain::endpoint::RunCause;
use dedi_domain::failure::Failure;
use dedi_domain::reconcile::ReplicaView;
use dedi_domain::{
    DeviceId, EndReason, EndpointId, EndpointState, FailureCause, Intent, Nonce, ReplicaId, ReplicaRow, Run,
    Timestamp,
};

use super::ran::Ran;
use super::{Refused, Store, Written};
use crate::bug::Bug;
use crate::world::tenants::OVERHEARD;

impl Store {
    /// Writes a new row that holds `devices`.
    pub(crate) fn reserve(
        &mut self,
        epoch: u64,
        endpoint: EndpointId,
        generation: u64,
        ids: (ReplicaId, Nonce),
        devices: &[DeviceId],
        now: Timestamp,
    ) -> Written {
        self.enter(epoch, now)?;
        let is_held = self
            .endpoints
            .iter()
            .flat_map(|it| &it.replicas)
            .any(|it| it.row.devices.iter().any(|held| devices.contains(held)));
        if is_held && !self.has(Bug::NoUniqueDevice) {
            return Err(Refused::Conflict);
        }
        let ignores_generation = self.has(Bug::ReserveIgnoresGeneration);
        let wakes_stopped = self.has(Bug::WakeStopped);
        let view = self.view_mut(endpoint)?;
        let is_moved = view.desired.generation != generation && !ignores_generation;
        if (!view.desired.wants_replicas() && !wakes_stopped) || is_moved {
            return Err(Refused::Conflict);
        }
        let attempt = match self.attempts.iter_mut().find(|it| it.0 == endpoint) {
            Some(it) => {
                it.1 += 1;
                it.1
            }
            None => {
                self.attempts.push((endpoint, 1));
                1
            }
        };
        let row = ReplicaRow {
            id: ids.0,
            endpoint,
            nonce: ids.1,
            attempt,
            devices: devices.to_vec(),
            intent: Intent::Run,
            seen: false,
            ready_at: None,
            ran_until: None,
            reserved_at: now,
            gone_at: None,
        };
        let view = self.view_mut(endpoint)?;
        view.replicas.push(ReplicaView { row, out_of_routing: false, in_flight: 0, unanswered: 0 });
        Ok(())
    }

    pub(crate) fn mark_seen(&mut self, epoch: u64, replica: ReplicaId, now: Timestamp) -> Written {
        self.enter(epoch, now)?;
        let forgets = self.has(Bug::ForgetSeen);
        self.row_mut(replica)?.seen = !forgets;
        Ok(())
    }

    pub(crate) fn mark_ready(&mut self, epoch: u64, replica: ReplicaId, now: Timestamp) -> Written {
        self.enter(epoch, now)?;
        let bills_loading = self.has(Bug::BillsLoading);
        let row = self.row_mut(replica)?;
        if row.ready_at.is_some() {
            return Ok(());
        }
        row.ready_at = Some(now);
        row.ran_until = Some(now);
        let from = if bills_loading { row.reserved_at } else { now };
        let ran = Ran { replica, nonce: row.nonce, from, until: now, is_closed: false };
        self.open(ran);
        Ok(())
    }

    /// Answers whether a failure was recorded.
    pub(crate) fn fail(
        &mut self,
        epoch: u64,
        replica: ReplicaId,
        (cause, ran_until): (FailureCause, Option<Timestamp>),
        now: Timestamp,
    ) -> Result<bool, Refused> {
        self.enter(epoch, now)?;
        let forgets = self.has(Bug::ForgetFailures);
        let row = self.row_mut(replica)?;
        if matches!(row.intent, Intent::Stop { .. }) {
            return Ok(false);
        }
        row.intent = Intent::Stop { since: now, reason: kept(row.intent, EndReason::Failed { cause }) };
        let failure = Failure {
            attempt: row.attempt,
            cause,
            at: now,
            ready_for: row.ready_at.map_or_else(Default::default, |it| now.since(it)),
            detail: OVERHEARD.to_owned(),
        };
        let endpoint = row.endpoint;
        if !forgets {
            self.view_mut(endpoint)?.failures.push(failure);
        }
        if !self.has(Bug::BillsUntilRelease) {
            self.close(replica, ran_until);
        }
        Ok(true)
    }

    pub(crate) fn drain(
        &mut self,
        epoch: u64,
        replica: ReplicaId,
        reason: EndReason,
        now: Timestamp,
    ) -> Written {
        self.enter(epoch, now)?;
        let goes_up = self.has(Bug::IntentGoesUp);
        let row = self.row_mut(replica)?;
        if row.intent == Intent::Run || goes_up {
            row.intent = Intent::Drain { since: now, reason };
        }
        Ok(())
    }

    pub(crate) fn stop(
        &mut self,
        epoch: u64,
        replica: ReplicaId,
        reason: EndReason,
        ran_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Written {
        self.enter(epoch, now)?;
        let forgets = self.has(Bug::StopForgetsReason);
        let row = self.row_mut(replica)?;
        if !matches!(row.intent, Intent::Stop { .. }) {
            let reason = if forgets { EndReason::Unknown } else { kept(row.intent, reason) };
            row.intent = Intent::Stop { since: now, reason };
            if !self.has(Bug::BillsUntilRelease) {
                self.close(replica, ran_until);
            }
        }
        Ok(())
    }

    pub(crate) fn mark_gone(&mut self, epoch: u64, replica: ReplicaId, now: Timestamp) -> Written {
        self.enter(epoch, now)?;
        self.row_mut(replica)?.gone_at.get_or_insert(now);
        Ok(())
    }

    /// Deletes the row; answers whether the attempt ended well.
    pub(crate) fn release(
        &mut self,
        epoch: u64,
        replica: ReplicaId,
        now: Timestamp,
    ) -> Result<bool, Refused> {
        self.enter(epoch, now)?;
        let row = self.row_mut(replica)?;
        if !matches!(row.intent, Intent::Stop { .. }) {
            return Err(Refused::Conflict);
        }
        let (endpoint, attempt, had_been_ready) = (row.endpoint, row.attempt, row.ready_at.is_some());
        let ran_until = self.has(Bug::BillsUntilRelease).then_some(now);
        self.close(replica, ran_until);
        let view = self.view_mut(endpoint)?;
        view.replicas.retain(|it| it.row.id != replica);
        let ended_well = had_been_ready && view.failures.iter().all(|it| it.attempt != attempt);
        if ended_well {
            view.failures.clear();
        }
        Ok(ended_well)
    }

    pub(crate) fn stop_idle(
        &mut self,
        epoch: u64,
        endpoint: EndpointId,
        generation: u64,
        now: Timestamp,
    ) -> Written {
        self.enter(epoch, now)?;
        let ignores_generation = self.has(Bug::IdleIgnoresGeneration);
        let desired = &mut self.view_mut(endpoint)?.desired;
        let is_moved = desired.generation != generation || desired.run != Run::Started || desired.deleted;
        if is_moved && !ignores_generation {
            return Err(Refused::Conflict);
        }
        desired.run = Run::Stopped;
        desired.run_cause = RunCause::Inactive;
        desired.generation += 1;
        Ok(())
    }

    pub(crate) fn publish(
        &mut self,
        epoch: u64,
        endpoint: EndpointId,
        (from, state): (EndpointState, EndpointState),
        generation: u64,
        now: Timestamp,
    ) -> Written {
        self.enter(epoch, now)?;
        let ignores_generation = self.has(Bug::PublishIgnoresGeneration);
        let desired = &mut self.view_mut(endpoint)?.desired;
        let is_moved = desired.published != from || desired.generation != generation;
        if is_moved && !ignores_generation {
            return Err(Refused::Conflict);
        }
        if desired.published != state {
            desired.published = state;
            desired.published_at = now;
        }
        desired.observed_generation = desired.observed_generation.max(generation);
        Ok(())
    }

    pub(crate) fn erase(&mut self, epoch: u64, endpoint: EndpointId, now: Timestamp) -> Written {
        self.enter(epoch, now)?;
        let is_early_allowed = self.has(Bug::EraseTooEarly);
        let view = self.view_mut(endpoint)?;
        if !view.desired.deleted || (!view.replicas.is_empty() && !is_early_allowed) {
            return Err(Refused::Conflict);
        }
        self.endpoints.retain(|it| it.desired.id != endpoint);
        self.erased.push(endpoint);
        Ok(())
    }
}

/// The reason that a row has already, or else this one.
fn kept(intent: Intent, new: EndReason) -> EndReason {
    match intent {
        Intent::Run => new,
        Intent::Drain { reason, .. } | Intent::Stop { reason, .. } => reason,
    }
}
