use async_trait::async_trait;
use dedi_domain::endpoint::RunCause;
use dedi_domain::idle::IdleStop;
use dedi_domain::{
    DeviceId, EndReason, EndpointId, EndpointState, Intent, Nonce, ReplicaId, ReplicaRow, Run, Timestamp,
};

use super::endpoints::check_step;
use super::rows::{Launch, Ran};
use super::{MemoryStore, Tables};
use crate::store::pass::launching;
use crate::store::{Ending, EventKind, Moment, PassStore, Ready, StoreError};

const STARTS_KEPT: usize = 5;
const ATTEMPTS_KEPT: u32 = 200;

#[async_trait]
impl PassStore for MemoryStore {
    async fn reserve(
        &self,
        endpoint: EndpointId,
        generation: u64,
        (replica, nonce): (ReplicaId, Nonce),
        devices: &[DeviceId],
        logged: u32,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut tables = self.write_leading()?;
        let desired = tables.endpoints.get(&endpoint).ok_or(StoreError::Conflict)?;
        if desired.run != Run::Started || desired.deleted || desired.generation != generation {
            return Err(StoreError::Conflict);
        }
        let engine = desired.engine.clone();
        let held = tables.replicas.values().flat_map(|it| &it.devices);
        if held.into_iter().any(|it| devices.contains(it)) {
            return Err(StoreError::Conflict);
        }
        if tables.replicas.values().any(|it| it.id == replica || it.nonce == nonce) {
            return Err(StoreError::Value("a replica of that id or nonce is there".to_owned()));
        }
        let of = |it: &&Launch| it.endpoint == endpoint;
        let last = tables.launches.iter().filter(of).map(|it| it.attempt).max().unwrap_or(0);
        let attempt = last.max(logged) + 1;
        let row = ReplicaRow {
            id: replica,
            endpoint,
            nonce,
            attempt,
            devices: devices.to_vec(),
            intent: Intent::Run,
            seen: false,
            ready_at: None,
            ran_until: None,
            reserved_at: now,
            gone_at: None,
        };
        tables.replicas.insert(replica, row);
        tables.launches.push(Launch {
            replica,
            endpoint,
            attempt,
            engine: engine.clone(),
            ready_at: None,
            ended_at: None,
            cause: None,
            detail: String::new(),
            log_tail: String::new(),
        });
        let is_kept = |it: &Launch| it.endpoint != endpoint || it.attempt + ATTEMPTS_KEPT > attempt;
        tables.launches.retain(|it| it.ended_at.is_none() || is_kept(it));
        let message = launching(attempt, &engine, devices);
        tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaLaunched, &message);
        Ok(attempt)
    }

    async fn mark_seen(&self, replica: ReplicaId) -> Result<(), StoreError> {
        if let Some(row) = self.write_leading()?.replicas.get_mut(&replica) {
            row.seen = true;
        }
        Ok(())
    }

    async fn mark_ready(&self, replica: ReplicaId, ready: &Ready) -> Result<(), StoreError> {
        let now = ready.at.at;
        let mut tables = self.write_leading()?;
        let Some(row) = tables.replicas.get_mut(&replica).filter(|it| it.ready_at.is_none()) else {
            return Ok(());
        };
        row.ready_at = Some(now);
        let (endpoint, attempt, took) = (row.endpoint, row.attempt, now.since(row.reserved_at));
        if let Some(launch) = tables.launch(replica) {
            launch.ready_at = Some(now);
        }
        let of = tables.endpoints.get(&endpoint).ok_or(StoreError::Conflict)?.clone();
        let kind = (of.model.as_str().to_owned(), of.hardware.as_str().to_owned());
        let times = tables.start_times.entry(kind).or_default();
        times.push(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
        times.drain(..times.len().saturating_sub(STARTS_KEPT));
        let ran = Ran {
            endpoint,
            name: of.name.as_str().to_owned(),
            owner: of.owner,
            model: of.model.as_str().to_owned(),
            hardware: of.hardware.as_str().to_owned(),
            cents_per_minute: ready.cents_per_minute,
            ready_at: now,
            until: now,
            seen: ready.at,
            is_closed: false,
        };
        tables.usage.insert(replica, ran);
        let level = ready.isolation.map_or(String::new(), |it| format!(", isolation level {it}"));
        let message = format!("attempt {attempt}: ready after {:.1} s{level}", took.as_secs_f64());
        tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaReady, &message);
        Ok(())
    }

    async fn fail(
        &self,
        replica: ReplicaId,
        ending: &Ending,
        ran: Option<Moment>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        let reason = EndReason::Failed { cause: ending.cause };
        let Some((endpoint, attempt)) = tables.turn_to_stop(replica, reason, ran, now) else { return Ok(()) };
        if let Some(launch) = tables.launch(replica).filter(|it| it.ended_at.is_none()) {
            launch.ended_at = Some(now);
            launch.cause = Some(ending.cause);
            launch.detail.clone_from(&ending.detail);
            launch.log_tail.clone_from(&ending.log_tail);
        }
        let detail = if ending.detail.is_empty() { String::new() } else { format!(" ({})", ending.detail) };
        let message = format!("attempt {attempt}: {}{detail}", ending.cause.sentence());
        tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaFailed, &message);
        Ok(())
    }

    async fn drain(&self, replica: ReplicaId, reason: EndReason, now: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        let row = tables.replicas.get_mut(&replica).filter(|it| it.intent == Intent::Run);
        let Some(row) = row else { return Ok(()) };
        row.intent = Intent::Drain { since: now, reason };
        let message = format!("attempt {}: takes no new requests: {}", row.attempt, reason.sentence());
        let endpoint = row.endpoint;
        tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaDraining, &message);
        Ok(())
    }

    async fn stop(
        &self,
        replica: ReplicaId,
        reason: EndReason,
        ran: Option<Moment>,
        how: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        if let Some((endpoint, attempt)) = tables.turn_to_stop(replica, reason, ran, now) {
            let message = format!("attempt {attempt}: {how}");
            tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaStopping, &message);
        }
        Ok(())
    }

    async fn mark_gone(&self, replica: ReplicaId, now: Timestamp) -> Result<(), StoreError> {
        if let Some(row) = self.write_leading()?.replicas.get_mut(&replica) {
            row.gone_at.get_or_insert(now);
        }
        Ok(())
    }

    async fn release(
        &self,
        replica: ReplicaId,
        held: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        let row = tables.replica(replica)?;
        let Intent::Stop { reason, .. } = row.intent else { return Err(StoreError::Conflict) };
        let reason = reason.sentence();
        let (endpoint, attempt) = (row.endpoint, row.attempt);
        tables.replicas.remove(&replica);
        tables.close(replica, None);
        if let Some(launch) = tables.launch(replica) {
            launch.ended_at.get_or_insert(now);
        }
        let message = match held {
            None => format!("attempt {attempt}: gone, its devices are free; reason: {reason}"),
            Some(held) => {
                format!(
                    "attempt {attempt}: gone, but {held}; nothing is placed there before it is back; reason: {reason}"
                )
            }
        };
        tables.add_event(now, endpoint, Some(replica), EventKind::ReplicaReleased, &message);
        Ok(())
    }

    async fn publish(
        &self,
        endpoint: EndpointId,
        from: EndpointState,
        state: EndpointState,
        generation: u64,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        let row = tables.endpoints.get_mut(&endpoint).ok_or(StoreError::Conflict)?;
        if row.published != from || row.generation != generation {
            return Err(StoreError::Conflict);
        }
        check_step(from, state)?;
        row.observed_generation = row.observed_generation.max(generation);
        if from != state {
            (row.published, row.published_at) = (state, now);
            tables.add_event(now, endpoint, None, EventKind::StateChanged, message);
        }
        Ok(())
    }

    async fn stop_idle(
        &self,
        endpoint: EndpointId,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        let row = tables.endpoints.get_mut(&endpoint).ok_or(StoreError::Conflict)?;
        if row.generation != generation || row.run != Run::Started || row.deleted {
            return Err(StoreError::Conflict);
        }
        let stop = IdleStop { minutes: row.inactive_timeout_minutes.unwrap_or(0), by: row.idle.set_by };
        (row.run, row.run_cause) = (Run::Stopped, RunCause::Inactive);
        row.generation += 1;
        row.idle.stopped = row.inactive_timeout_minutes.map(|_| stop);
        let message = format!("stopped: {}", stop.sentence());
        tables.add_event(now, endpoint, None, EventKind::StoppedInactive, &message);
        Ok(())
    }

    async fn erase(&self, endpoint: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let _ = now;
        let mut tables = self.write_leading()?;
        let has_replicas = tables.replicas.values().any(|it| it.endpoint == endpoint);
        let is_deleted = tables.endpoints.get(&endpoint).is_some_and(|it| it.deleted);
        if has_replicas || !is_deleted {
            return Err(StoreError::Conflict);
        }
        if let Some(gone) = tables.endpoints.remove(&endpoint) {
            tables.erased.insert(gone.id, gone.name);
        }
        tables.pins.remove(&endpoint);
        tables.launches.retain(|it| it.endpoint != endpoint);
        for it in tables.usage.values_mut().filter(|it| it.endpoint == endpoint) {
            it.is_closed = true;
        }
        Ok(())
    }

    async fn beat(&self, beats: &[(ReplicaId, Moment)]) -> Result<(), StoreError> {
        let mut tables = self.write_leading()?;
        for (replica, until) in beats {
            if let Some(ran) = tables.usage.get_mut(replica) {
                ran.extend(*until);
            }
        }
        Ok(())
    }
}

impl Tables {
    /// Turns a row to stop and ends its running time; `None` when it is there already.
    fn turn_to_stop(
        &mut self,
        replica: ReplicaId,
        reason: EndReason,
        ran: Option<Moment>,
        now: Timestamp,
    ) -> Option<(EndpointId, u32)> {
        let row = self.replicas.get_mut(&replica).filter(|it| !matches!(it.intent, Intent::Stop { .. }))?;
        let reason = match row.intent {
            Intent::Drain { reason, .. } => reason,
            Intent::Run | Intent::Stop { .. } => reason,
        };
        row.intent = Intent::Stop { since: now, reason };
        let of = (row.endpoint, row.attempt);
        self.close(replica, ran);
        Some(of)
    }

    fn close(&mut self, replica: ReplicaId, ran: Option<Moment>) {
        let Some(row) = self.usage.get_mut(&replica) else { return };
        if let Some(until) = ran {
            row.extend(until);
        }
        row.is_closed = true;
    }
}
