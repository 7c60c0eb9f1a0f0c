//! The reconciler's writes.

use async_trait::async_trait;
use dedi_domain::{
    DeviceId, EndReason, EndpointId, EndpointState, EngineKind, FailureCause, Nonce, ReplicaId, Timestamp,
};

use super::error::StoreError;
use super::usage::{Moment, Ready};

/// What a pass records. Each write names what the pass saw and is one transaction together with its event, durable when
/// the method returns; one that failed changed nothing. Repeating one that was done changes nothing.
///
/// # Errors
///
/// Of every method: [`StoreError::Fenced`] if this handle does not lead, or another has taken the lead since
/// ([`Leadership`](super::Leadership)); [`StoreError::Conflict`] if the row has moved on since the pass saw it, which the
/// next pass decides on anew; else the store's own.
#[async_trait]
pub trait PassStore: Send + Sync {
    /// Takes devices for a new replica of an endpoint that is still wanted as in `generation`; answers the attempt's
    /// number, which is above `logged` and above every one that is known here. A device is held by one replica at most.
    async fn reserve(
        &self,
        endpoint: EndpointId,
        generation: u64,
        ids: (ReplicaId, Nonce),
        devices: &[DeviceId],
        logged: u32,
        now: Timestamp,
    ) -> Result<u32, StoreError>;

    /// The runtime has shown it.
    async fn mark_seen(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// It is ready for the first time, and its running time begins.
    async fn mark_ready(&self, replica: ReplicaId, ready: &Ready) -> Result<(), StoreError>;

    /// Ends the attempt with a cause and turns the row to stop. `ran` is up to when it is known to have run. A row that
    /// was told to stop before has no failure to record.
    async fn fail(
        &self,
        replica: ReplicaId,
        ending: &Ending,
        ran: Option<Moment>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// It takes no new requests. An intent only moves down: run, drain, stop.
    async fn drain(&self, replica: ReplicaId, reason: EndReason, now: Timestamp) -> Result<(), StoreError>;

    /// Its processes should be gone. A row that drains keeps the reason it drains for. `ran` is up to when it is known to have run; `how` says what is
    /// done about it, or was.
    async fn stop(
        &self,
        replica: ReplicaId,
        reason: EndReason,
        ran: Option<Moment>,
        how: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Its processes are gone; device memory is awaited.
    async fn mark_gone(&self, replica: ReplicaId, now: Timestamp) -> Result<(), StoreError>;

    /// Deletes the row of a replica that was told to stop; its devices are free but for what `held` says.
    async fn release(&self, replica: ReplicaId, held: Option<&str>, now: Timestamp)
    -> Result<(), StoreError>;

    /// Shows a state, and that a pass has seen `generation`; refused when the endpoint shows another than `from`, was
    /// changed since, or may not become `state`.
    async fn publish(
        &self,
        endpoint: EndpointId,
        from: EndpointState,
        state: EndpointState,
        generation: u64,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The idle rule's stop; refused when anything was changed since `generation`.
    async fn stop_idle(
        &self,
        endpoint: EndpointId,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes the row of a deleted endpoint that has no replica left; its id and name never come back.
    async fn erase(&self, endpoint: EndpointId, now: Timestamp) -> Result<(), StoreError>;

    /// Moves the recorded running time of these replicas on, all of them or none. It never goes back, counts nothing that
    /// passed by one of the two clocks only, and stays where it is for those that have ended.
    async fn beat(&self, beats: &[(ReplicaId, Moment)]) -> Result<(), StoreError>;
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Cause of the failure.
    pub cause: FailureCause,
    /// Exit code, where there was one.
    pub code: Option<i32>,
    /// Signal, where one ended it.
    pub signal: Option<i32>,
    /// A short clause: exit code, signal, last log line.
    pub detail: String,
    /// The last lines of its log.
    pub log_tail: String,
}

/// What the history says of a launch. The embedded engine goes without saying.
pub(super) fn launching(attempt: u32, engine: &EngineKind, devices: &[DeviceId]) -> String {
    let on = devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let on = if devices.is_empty() { "what the runtime finds for it".to_owned() } else { on };
    let what = if *engine == EngineKind::default() { String::new() } else { format!(" {engine}") };
    format!("attempt {attempt}: launching{what} on {on}")
}
