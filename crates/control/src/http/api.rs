//! What handlers are given: each names the parts that it needs.

use std::sync::Arc;

use axum::extract::FromRef;
use dedi_domain::KeyFailures;

use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::key_ring::KeyRing;
use crate::service::endpoints::{Endpoints, Logs};
use crate::service::hardware::Hardware;
use crate::service::keys::Keys;
use crate::service::models::Models;
use crate::service::pulls::ModelPulls;
use crate::service::{AuditLog, ModelChecks, Services, UsageReports};

/// The use cases, and what checks and shows requests.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) services: Services,
    pub(crate) keys: Arc<KeyRing>,
    /// Wrong keys, here and at the gateway.
    pub(crate) failures: Arc<KeyFailures>,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<ControlConfig>,
}

macro_rules! parts {
    ($($part:ty: $it:ident => $of:expr;)*) => {
        $(impl FromRef<Api> for $part {
            fn from_ref($it: &Api) -> Self {
                $of.clone()
            }
        })*
    };
}

parts! {
    Clock: it => it.clock;
    Arc<Endpoints>: it => it.services.endpoints;
    Arc<Logs>: it => it.services.logs;
    Arc<Hardware>: it => it.services.hardware;
    Arc<Models>: it => it.services.models;
    Arc<ModelPulls>: it => it.services.pulls;
    Arc<ModelChecks>: it => it.services.checks;
    Arc<Keys>: it => it.services.keys;
    Arc<UsageReports>: it => it.services.usage;
    Arc<AuditLog>: it => it.services.audit;
}
