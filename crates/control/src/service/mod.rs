//! The use cases of the control plane, on domain types: each checks who asks and what is asked for, records it, and says
//! what is so. Nothing here knows a wire; every surface calls the same.

mod audit;
mod caller;
mod checks;
mod display_name;
pub(crate) mod endpoints;
mod error;
pub(crate) mod hardware;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod pulls;
mod usage;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use audit::AuditLog;
#[cfg(test)]
pub(crate) use audit::REFUSALS_PER_MINUTE_MAX;
pub(crate) use caller::Caller;
pub(crate) use checks::ModelChecks;
pub(crate) use error::{Absent, Conflict, ServiceError, Unsupported};
pub(crate) use usage::UsageReports;

use crate::parts::Parts;
use endpoints::{Endpoints, Logs, Replies};
use hardware::Hardware;
use keys::Keys;
use models::Models;
use pulls::ModelPulls;

/// The use cases by object.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) hardware: Arc<Hardware>,
    pub(crate) models: Arc<Models>,
    pub(crate) pulls: Arc<ModelPulls>,
    pub(crate) checks: Arc<ModelChecks>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) usage: Arc<UsageReports>,
    pub(crate) audit: Arc<AuditLog>,
}

impl Services {
    /// `closing` cuts the answers that have no end of their own.
    pub(crate) fn new(parts: &Parts, closing: CancellationToken) -> Self {
        let models = Arc::new(Models {
            config: parts.config.clone(),
            store: parts.store.clone(),
            reader: parts.readers.requests.clone(),
            clock: parts.clock.clone(),
            pulls: parts.pulls.clone(),
            checks: parts.checks.clone(),
            barrier: parts.barrier.clone(),
        });
        let hardware = Arc::new(Hardware::new(
            parts.config.clone(),
            parts.runtime.clone(),
            parts.last_pass.clone(),
            models.clone(),
        ));
        let endpoints = Arc::new(Endpoints {
            config: parts.config.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            barrier: parts.barrier.clone(),
            routing: parts.routing.clone(),
            last_pass: parts.last_pass.clone(),
            models: models.clone(),
            hardware: hardware.clone(),
            replies: Arc::new(Replies::default()),
        });
        let logs = Logs {
            endpoints: endpoints.clone(),
            store: parts.store.clone(),
            source: parts.runtime.clone(),
            keys: parts.keys.clone(),
            closing,
        };
        let keys = Keys {
            config: parts.config.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            ring: parts.keys.clone(),
        };
        let usage = UsageReports {
            config: parts.config.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            last_pass: parts.last_pass.clone(),
        };
        Self {
            endpoints,
            logs: Arc::new(logs),
            hardware,
            pulls: Arc::new(ModelPulls::new(models.clone())),
            checks: Arc::new(ModelChecks::new(models.clone())),
            models,
            keys: Arc::new(keys),
            usage: Arc::new(usage),
            audit: Arc::new(AuditLog::new(parts.store.clone(), parts.clock.clone())),
        }
    }
}
