//! The store and the runtime as one control plane holds them: the traits that the real ones implement. Each call waits
//! until the simulation answers it, so anything may happen between a step's call and its effect, and a control plane
//! that is killed never gets its answer. The stamp of a write is read when it is answered.

mod runtime;
mod store;

use std::future::poll_fn;
use std::task::Poll;

use async_trait::async_trait;
use dedi_control::Environment;
use dedi_control::store::{Moment, PassStore, PinStore, StoreError};
use dedi_domain::fit::{MemoryNeed, ModelFacts, Serving, memory_need};
use dedi_domain::reconcile::World;
use dedi_domain::{
    DeviceId, EndReason, EndpointId, EndpointState, FailureCause, HardwareId, ModelName, Nonce, ReplicaId,
    Timestamp,
};
use dedi_runtime_api::{ModelUnavailable, Runtime, RuntimeError};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::rng::Rng;
use crate::world::devices::DeviceSet;

/// What a control plane asks of its surroundings.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Reserve { endpoint: EndpointId, generation: u64, ids: (ReplicaId, Nonce), devices: Vec<DeviceId> },
    Ensure { replica: ReplicaId, nonce: Nonce, devices: DeviceSet },
    Remove { replica: ReplicaId, nonce: Nonce },
    MarkSeen { replica: ReplicaId },
    MarkReady { replica: ReplicaId },
    Fail { replica: ReplicaId, cause: FailureCause, ran_until: Option<Timestamp> },
    Drain { replica: ReplicaId, reason: EndReason },
    Stop { replica: ReplicaId, reason: EndReason, ran_until: Option<Timestamp> },
    MarkGone { replica: ReplicaId },
    Release { replica: ReplicaId, is_all_back: bool },
    StopIdle { endpoint: EndpointId, generation: u64 },
    Publish { endpoint: EndpointId, from: EndpointState, state: EndpointState, generation: u64 },
    Erase { endpoint: EndpointId },
}

/// Why a call was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The caller does not lead any more.
    Fenced,
    /// The row has moved on.
    Conflict,
    /// There was no answer; it may have been done.
    Unanswered,
    /// The process could not be started.
    NotStarted,
}

pub(crate) type Answer = Result<(), Refusal>;

/// One control plane's hold on the world.
pub(crate) struct Handle(Mutex<Inner>);

struct Inner {
    now: Timestamp,
    ids: Rng,
    call: Option<Call>,
    answer: Option<Answer>,
}

impl Handle {
    pub(crate) fn new(seed: u64) -> Self {
        let ids = Rng::new(seed);
        Self(Mutex::new(Inner { now: Timestamp(0), ids, call: None, answer: None }))
    }

    /// Sets what its clock reads, and answers the call that was taken.
    pub(crate) fn go_on(&self, now: Timestamp, answer: Option<Answer>) {
        let mut inner = self.0.lock();
        inner.now = now;
        inner.answer = answer;
    }

    /// What is asked now.
    pub(crate) fn take_call(&self) -> Option<Call> {
        self.0.lock().call.take()
    }

    async fn ask(&self, call: Call) -> Answer {
        self.0.lock().call = Some(call);
        poll_fn(|_| self.0.lock().answer.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn record(&self, call: Call) -> Result<(), StoreError> {
        self.ask(call).await.map_err(|refusal| match refusal {
            Refusal::Fenced => StoreError::Fenced,
            Refusal::Conflict => StoreError::Conflict,
            Refusal::Unanswered | Refusal::NotStarted => StoreError::Busy,
        })
    }

    async fn command(&self, replica: ReplicaId, call: Call) -> Result<(), RuntimeError> {
        self.ask(call)
            .await
            .map_err(|refusal| RuntimeError::Launch { replica, reason: format!("{refusal:?}") })
    }
}

#[async_trait]
impl Environment for Handle {
    fn pass(&self) -> &dyn PassStore {
        self
    }

    fn pins(&self) -> &dyn PinStore {
        self
    }

    fn runtime(&self) -> &dyn Runtime {
        self
    }

    fn now(&self) -> Timestamp {
        self.0.lock().now
    }

    fn moment(&self, then: Timestamp) -> Moment {
        Moment { at: then, uptime_ms: then.0 }
    }

    fn new_id(&self) -> Uuid {
        self.0.lock().ids.uuid()
    }

    fn price(&self, _world: &World, _hardware: &HardwareId) -> f64 {
        1.0
    }

    async fn loadable(
        &self,
        _model: &ModelName,
        _pinned: Option<&str>,
    ) -> Result<ModelFacts, ModelUnavailable> {
        Ok(ModelFacts {
            weights_bytes: 1 << 30,
            n_layers: 1,
            n_kv_heads: 1,
            key_value_dim: 64,
            embedding_dim: 64,
            vocab_size: 256,
            context_tokens_max: 1_024,
            architecture: String::new(),
            is_embedding: false,
        })
    }

    fn need(&self, facts: &ModelFacts) -> (Serving, MemoryNeed) {
        let serving = Serving { context_tokens: 1_024, slots: 2 };
        (serving, memory_need(facts, serving))
    }

    fn gpu_host_memory_gb(&self) -> u32 {
        0
    }
}
