//! What the steps of a pass are given: those that look, and those that act.

use std::sync::Arc;

use dedi_domain::Timestamp;
use dedi_runtime_api::Runtime;

use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::hub::Pulls;
use crate::last_pass::LastPass;
use crate::models::{BlockingReader, Checks};
use crate::parts::Parts;
use crate::routing::Routing;
use crate::store::Store;

/// Looks at the store, the models, the runtime and the gateway's report.
pub(super) struct Observer {
    pub(super) config: Arc<ControlConfig>,
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    /// When this control plane was opened: it knows of no inference before that.
    pub(super) opened_at: Timestamp,
    pub(super) pulls: Pulls,
    pub(super) checks: Checks,
    pub(super) routing: Arc<Routing>,
    pub(super) last_pass: Arc<LastPass>,
}

/// Carries actions out.
pub(super) struct Actor {
    pub(super) config: Arc<ControlConfig>,
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) checks: Checks,
    /// Where launches read a model.
    pub(super) reader: BlockingReader,
}

impl Observer {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            config: parts.config.clone(),
            store: parts.store.clone(),
            runtime: parts.runtime.clone(),
            clock: parts.clock.clone(),
            opened_at: parts.opened_at,
            pulls: parts.pulls.clone(),
            checks: parts.checks.clone(),
            routing: parts.routing.clone(),
            last_pass: parts.last_pass.clone(),
        }
    }
}

impl Actor {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            config: parts.config.clone(),
            store: parts.store.clone(),
            runtime: parts.runtime.clone(),
            clock: parts.clock.clone(),
            checks: parts.checks.clone(),
            reader: parts.readers.launches.clone(),
        }
    }
}
