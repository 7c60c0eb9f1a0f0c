//! Reports each trouble of the reconciler once: in the log, and as an event of the endpoint it concerns.

use std::collections::BTreeSet;

use dedi_domain::{EndpointId, Timestamp, with_causes};

use super::Reconciler;
use super::isolate::Subject;
use crate::store::{EventKind, Unread};

impl Reconciler {
    /// Reports, once each, the endpoints that are left as they are because their rows can't be read.
    pub(super) async fn log_unread(&mut self, unread: &[Unread], now: Timestamp) {
        for it in unread.iter().filter(|it| !self.unread.contains(&it.id)) {
            let Unread { id, why, .. } = it;
            tracing::error!(endpoint.id = %id, "{id} is left as it is, nothing of it is started or ended: {why}");
            let message = format!("{why}; nothing of it is started or ended");
            if let Ok(id) = id.parse() {
                self.add_event(id, &message, now).await;
            }
        }
        for id in self.unread.iter().filter(|id| unread.iter().all(|it| it.id != **id)) {
            tracing::info!(endpoint.id = %id, "{id} can be read again");
        }
        self.unread = unread.iter().map(|it| it.id.clone()).collect();
    }

    pub(super) async fn log_panicked(&self, panicked: &BTreeSet<Subject>, now: Timestamp) {
        for it in panicked.iter().filter(|it| self.waits.n_failed(**it) == 1) {
            tracing::error!(
                "a step for {it} panicked; see the message before this one. It is tried again at growing intervals, the others go on"
            );
            if let Subject::Endpoint(id) = it {
                let message = "a step for it failed inside of dedi, whose log says where; it is tried again";
                self.add_event(*id, message, now).await;
            }
        }
    }

    async fn add_event(&self, endpoint: EndpointId, message: &str, now: Timestamp) {
        let done = self.store.note(endpoint, EventKind::SetAside, message, now).await;
        if let Err(err) = done {
            tracing::warn!(endpoint.id = %endpoint, "an event could not be recorded: {}", with_causes(&err));
        }
    }

    pub(super) fn log_troubles(&mut self, troubles: BTreeSet<String>) {
        for new in troubles.difference(&self.troubles) {
            tracing::warn!("{new}");
        }
        if troubles.is_empty() && !self.troubles.is_empty() {
            tracing::info!("the reconciler works without trouble again");
        }
        self.troubles = troubles;
    }
}
