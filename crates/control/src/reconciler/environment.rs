//! What a plan is carried out against: the control plane's own store, runtime, clock and models, or a simulation's.

use async_trait::async_trait;
use dedi_domain::fit::{MemoryNeed, ModelFacts, Serving};
use dedi_domain::reconcile::World;
use dedi_domain::{HardwareId, ModelName, Timestamp};
use dedi_runtime_api::{ModelUnavailable, Runtime};
use uuid::Uuid;

use super::parts::Actor;
use crate::models::{ModelError, ModelStore, NoAnswer, READ_MAX, Verdict, mismatch};
use crate::random::random_uuid;
use crate::store::{Moment, PassStore, PinStore};

/// All that carrying out a plan reads and changes beside the world that it was decided on.
#[async_trait]
pub trait Environment: Send + Sync {
    /// Where steps are recorded.
    fn pass(&self) -> &dyn PassStore;

    /// Which revisions endpoints are of.
    fn pins(&self) -> &dyn PinStore;

    /// What starts and ends processes.
    fn runtime(&self) -> &dyn Runtime;

    /// A stamp of now.
    fn now(&self) -> Timestamp;

    /// The moment at which the clock read `then`.
    fn moment(&self, then: Timestamp) -> Moment;

    /// An id that nothing else has.
    fn new_id(&self) -> Uuid;

    /// Cents per minute of a replica on this hardware.
    fn price(&self, world: &World, hardware: &HardwareId) -> f64;

    /// What the files of a model say, if they are there, right, and of the revision `pinned`.
    async fn loadable(&self, model: &ModelName, pinned: Option<&str>)
    -> Result<ModelFacts, ModelUnavailable>;

    /// How a model is run here, and the memory that takes.
    fn need(&self, facts: &ModelFacts) -> (Serving, MemoryNeed);

    /// Gigabytes of host memory that a replica may use for each of its graphics cards; 0 is no limit.
    fn gpu_host_memory_gb(&self) -> u32;
}

#[async_trait]
impl Environment for Actor {
    fn pass(&self) -> &dyn PassStore {
        &*self.store
    }

    fn pins(&self) -> &dyn PinStore {
        &*self.store
    }

    fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn moment(&self, then: Timestamp) -> Moment {
        self.clock.moment(then)
    }

    fn new_id(&self) -> Uuid {
        random_uuid()
    }

    fn price(&self, world: &World, hardware: &HardwareId) -> f64 {
        self.config.price(&world.inventory, hardware)
    }

    /// Between the observation and now somebody may have written to the files, or taken them away.
    async fn loadable(
        &self,
        model: &ModelName,
        pinned: Option<&str>,
    ) -> Result<ModelFacts, ModelUnavailable> {
        let name = model.clone();
        let read = move |models: &ModelStore| (models.stamps(&name), models.facts(&name), models.pin(&name));
        let (stamps, facts, here) = match self.reader.ask_now(READ_MAX, read).await {
            Ok(read) => read,
            // What the files are is unknown, and the next observation says so.
            Err(why @ NoAnswer::Late(_)) => return Err(ModelUnavailable::Unknown(why.to_string())),
            Err(why @ NoAnswer::Panicked) => return Err(ModelError::from(why).into()),
        };
        match self.checks.verdict(model, stamps) {
            Ok(Verdict::Right) => {}
            Ok(Verdict::Unknown) => {
                return Err(ModelUnavailable::Unknown(format!("the files of {model} are being read again")));
            }
            Err(err) => return Err(err.into()),
        }
        let here = here?;
        match pinned.and_then(|pinned| mismatch(model, pinned, here.as_deref())) {
            Some(why) => Err(ModelUnavailable::Unusable(why)),
            None => Ok(facts?),
        }
    }

    fn need(&self, facts: &ModelFacts) -> (Serving, MemoryNeed) {
        self.config.need(facts)
    }

    fn gpu_host_memory_gb(&self) -> u32 {
        self.config.gpu_host_memory_gb
    }
}
