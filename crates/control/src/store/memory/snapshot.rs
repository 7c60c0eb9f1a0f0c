use async_trait::async_trait;
use dedi_domain::failure::Failure;
use dedi_domain::{Desired, Timestamp};

use super::{MemoryStore, Tables};
use crate::store::{EndpointRows, Readable, SnapshotStore, StoreError};

/// As many as the back-off looks at.
const FAILURES_MAX: usize = 200;

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn readable(&self) -> Result<Readable, StoreError> {
        let tables = self.read()?;
        let mut all: Vec<&Desired> = tables.endpoints.values().collect();
        all.sort_by_key(|it| it.id.to_string());
        let endpoints = all.into_iter().map(|it| tables.rows_of(it.clone())).collect();
        Ok(Readable { endpoints, unread: Vec::new() })
    }

    async fn rows(&self, desired: Desired) -> Result<EndpointRows, StoreError> {
        Ok(self.read()?.rows_of(desired))
    }
}

impl Tables {
    fn rows_of(&self, desired: Desired) -> EndpointRows {
        let of = self.replicas.values().filter(|it| it.endpoint == desired.id).cloned();
        let mut replicas: Vec<_> = of
            .map(|mut row| {
                row.ran_until = self.usage.get(&row.id).map(|it| it.seen.at);
                row
            })
            .collect();
        replicas.sort_by_key(|it| it.id.to_string());
        let failures = self.failures(&desired);
        EndpointRows { replicas, failures, desired }
    }

    fn failures(&self, of: &Desired) -> Vec<Failure> {
        // Of the row, not of what the caller read before.
        let started_at = self.endpoints.get(&of.id).map_or(Timestamp(0), |it| it.started_at);
        let own = || self.launches.iter().filter(|it| it.endpoint == of.id);
        let proven = own().filter_map(|it| it.proven_at()).max();
        let is_counted = |it: &Failure| it.at >= started_at && proven.is_none_or(|proven| it.at > proven);
        let mut failures: Vec<Failure> = own().filter_map(|it| it.failure()).filter(is_counted).collect();
        failures.sort_by_key(|it| (it.at, it.attempt));
        let n_left_out = failures.len().saturating_sub(FAILURES_MAX);
        if n_left_out > 1 {
            failures.drain(1..n_left_out);
        }
        failures
    }
}
