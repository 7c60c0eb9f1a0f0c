//! What the use cases of endpoints need, and how they find one.

use std::sync::Arc;

use dedi_domain::Desired;

use super::Replies;
use crate::barrier::PassBarrier;
use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::last_pass::LastPass;
use crate::routing::Routing;
use crate::service::caller::Caller;
use crate::service::error::{ServiceError, Unsupported};
use crate::service::hardware::Hardware;
use crate::service::models::Models;
use crate::store::{EndpointKey, Store};

pub(crate) struct Endpoints {
    pub(crate) config: Arc<ControlConfig>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) barrier: Arc<PassBarrier>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) last_pass: Arc<LastPass>,
    pub(crate) models: Arc<Models>,
    pub(crate) hardware: Arc<Hardware>,
    pub(crate) replies: Arc<Replies>,
}

impl Endpoints {
    /// The caller's endpoint of that id or name. What is malformed, unknown or another tenant's is not there.
    pub(crate) async fn find(&self, caller: &Caller, named: &str) -> Result<Desired, ServiceError> {
        caller.must_read()?;
        let key = EndpointKey::parse(named).ok_or_else(|| ServiceError::no_endpoint(named))?;
        let found = self.store.endpoint(caller.owner(), &key).await;
        let found = found.map_err(|err| ServiceError::of_lookup(err, named))?;
        if caller.shows(&found) { Ok(found) } else { Err(ServiceError::no_endpoint(named)) }
    }

    /// Refuses what asks for LoRA adapters, of which there are none here.
    pub(crate) async fn adapters(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        self.find(caller, named).await?;
        Err(ServiceError::Unsupported {
            by: Unsupported::Adapters,
            message: "LoRA adapters are not available on this server".to_owned(),
        })
    }
}
