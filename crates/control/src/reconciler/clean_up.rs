//! What is removed once an hour: what is too old to be kept, and what an earlier server left.

use dedi_domain::{Timestamp, with_causes};

use super::{Reconciler, act};

impl Reconciler {
    /// Removes the logs of endpoints that are known to be erased: a server that died between the two left them. One
    /// that this database never had may be another's.
    pub(super) async fn sweep_logs(&self) {
        let endpoints = match self.runtime.logged_endpoints().await {
            Ok(endpoints) => endpoints,
            Err(err) => return tracing::warn!("the logs of erased endpoints could not be looked for: {err}"),
        };
        for endpoint in endpoints {
            if matches!(self.store.is_erased(endpoint).await, Ok(true)) {
                act::forget_logs(&self.actor, endpoint).await;
            }
        }
    }

    #[cfg(test)]
    pub(crate) async fn sweep_for_tests(&self) {
        self.sweep_logs().await;
    }

    pub(super) async fn forget_old(&self) {
        let Self { config, store, .. } = self;
        if let Err(err) = store.forget_events(self.days_ago(config.events_kept_days)).await {
            tracing::warn!("old events could not be removed: {}", with_causes(&err));
        }
        if let Err(err) = store.forget_usage(self.days_ago(config.usage_kept_days)).await {
            tracing::warn!("old running times could not be removed: {}", with_causes(&err));
        }
        if let Err(err) = store.forget_audit(self.days_ago(config.audit_kept_days)).await {
            tracing::warn!("old entries of the audit log could not be removed: {}", with_causes(&err));
        }
    }

    fn days_ago(&self, days: u32) -> Timestamp {
        Timestamp(self.clock.now().0.saturating_sub(i64::from(days) * 86_400_000))
    }
}
