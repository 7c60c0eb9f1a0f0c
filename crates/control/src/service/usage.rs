//! How long a tenant's replicas ran, and what that costs.

use std::sync::Arc;
use std::time::Duration;

use dedi_domain::Timestamp;
use dedi_domain::usage::Period;

use super::caller::Caller;
use super::error::ServiceError;
use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::last_pass::LastPass;
use crate::store::{EndpointKey, EndpointUsage, Store, StoreError};
use crate::text::{shown, time};

/// The period when none is asked for, up to now.
const PERIOD: Duration = Duration::from_secs(30 * 86_400);

pub(crate) struct UsageReports {
    pub(super) config: Arc<ControlConfig>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) last_pass: Arc<LastPass>,
}

/// What a tenant used.
pub(crate) struct Report {
    /// The period by the wall clock.
    pub(crate) period: Period,
    /// By endpoint, newest first.
    pub(crate) used: Vec<EndpointUsage>,
}

impl UsageReports {
    /// What the caller's endpoints ran between two moments by the wall clock; of one of them, where that is named.
    pub(crate) async fn report(
        &self,
        caller: &Caller,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        only: Option<&str>,
    ) -> Result<Report, ServiceError> {
        caller.must_read()?;
        let times = self.clock.times();
        let asked = period(from, to, times.shown(self.clock.now()))?;
        let period = Period { from: times.stamp_of(asked.from), to: times.stamp_of(asked.to) };
        let only = match only {
            None => None,
            Some(named) => Some(self.known(caller, named).await?),
        };
        let inventory = &self.last_pass.world().inventory;
        let price = |it: &_| self.config.price(inventory, it);
        let mut used = self.store.usage(caller.owner(), period, only.as_ref(), &price).await?;
        used.retain(|it| caller.shows_used(&it.endpoint, &it.name, &it.model));
        Ok(Report { period: asked, used })
    }

    /// The endpoint of that id or name, if the tenant has it or had it.
    async fn known(&self, caller: &Caller, named: &str) -> Result<EndpointKey, ServiceError> {
        let said = shown(named);
        let key = EndpointKey::parse(named).ok_or_else(|| ServiceError::no_endpoint(&said))?;
        match self.store.endpoint(caller.owner(), &key).await {
            Ok(it) if caller.shows(&it) => Ok(key),
            Ok(_) => Err(ServiceError::no_endpoint(&said)),
            Err(StoreError::NotFound) if self.store.has_usage(caller.owner(), &key).await? => Ok(key),
            Err(err) => Err(ServiceError::of_lookup(err, &said)),
        }
    }
}

fn period(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Result<Period, ServiceError> {
    // What begins in the future has no time yet, and is not wrong.
    let to = to.unwrap_or_else(|| from.map_or(now, |from| from.max(now)));
    let from = from.unwrap_or_else(|| Timestamp(to.0.saturating_sub(Timestamp(0).plus(PERIOD).0)));
    if from > to {
        let (from, to) = (time(from), time(to));
        return Err(ServiceError::invalid(
            "from",
            format!("from must not be later than to: {from} is after {to}"),
        ));
    }
    Ok(Period { from, to })
}
