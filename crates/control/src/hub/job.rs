//! One download as others see it, and the task that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::{ModelName, Owner, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::source::Source;

/// Downloads that are remembered, the ended ones among them.
const REMEMBERED_MAX: usize = 1_000;
/// Longest wait for a download that was called off.
pub(super) const END_MAX: Duration = Duration::from_secs(10);

/// A download with the task that does it.
pub(super) struct Job {
    pub(super) pull: Pull,
    /// The tenant whose turn it is; none for the operator's.
    pub(super) of: Option<Owner>,
    pub(super) progress: Arc<Progress>,
    pub(super) cancel: CancellationToken,
    /// What is to be done when it has come.
    pub(super) dues: Vec<Due>,
    /// Taken by who waits for its end.
    pub(super) task: Option<JoinHandle<()>>,
}

/// What is known of one download.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) source: Source,
    /// Somebody asked for it; it does not end with the endpoints that wait.
    pub(crate) is_asked_for: bool,
    /// The tenants that asked for it; none where an operator did, or only endpoints wait.
    pub(crate) askers: BTreeSet<Owner>,
    pub(crate) phase: Phase,
    pub(crate) started_at: Timestamp,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
    /// Bytes that a next try need not fetch again.
    pub(crate) bytes_kept: u64,
    /// What the hub answered that asked to wait, and how much longer that is.
    pub(crate) held_off: Option<(String, Duration)>,
    pub(super) n_failures: u32,
    /// Tells a download from an earlier one of the same model.
    pub(super) number: u64,
}

/// A download that is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// The tenant that it is for; none for the operator.
    pub(crate) of: Option<Owner>,
    /// Why another revision that is in the store must stay, if it must.
    pub(crate) keeps: Option<String>,
    /// What is to be done when it has come.
    pub(crate) dues: Vec<Due>,
}

/// What is to be done when a download has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The tenant holds the model from then on: the hub has shown it the same as is here.
    Hold(Owner),
    /// Endpoints of this tenant, or of all, are given the revision that is here then.
    Repin(Option<Owner>),
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Queued,
    Running,
    Done { commit: String, at: Timestamp },
    Failed { what: String, code: dedi_api::PullCode, is_final: bool, at: Timestamp, retry_at: Timestamp },
}

impl Phase {
    pub(crate) fn is_on_its_way(&self) -> bool {
        match self {
            Self::Queued | Self::Running => true,
            Self::Done { .. } | Self::Failed { .. } => false,
        }
    }
}

impl Job {
    /// Whether it counts against the tenant's share.
    pub(super) fn is_of(&self, tenant: &Owner) -> bool {
        self.of.as_ref() == Some(tenant) || self.pull.askers.contains(tenant)
    }

    /// As it is now.
    pub(super) fn seen(&self) -> Pull {
        let (bytes_done, bytes_total) = self.progress.read();
        let bytes_kept = self.progress.kept.load(std::sync::atomic::Ordering::Relaxed);
        Pull { bytes_done, bytes_total, bytes_kept, held_off: self.progress.held_off(), ..self.pull.clone() }
    }
}

/// How many have not ended.
pub(super) fn n_on_their_way(jobs: &BTreeMap<ModelName, Job>) -> usize {
    jobs.values().filter(|it| it.pull.phase.is_on_its_way()).count()
}

/// Makes room for one more: the ended one that began first goes.
pub(super) fn forget_ended(jobs: &mut BTreeMap<ModelName, Job>) {
    while jobs.len() >= REMEMBERED_MAX {
        let ended = jobs.iter().filter(|(_, it)| !it.pull.phase.is_on_its_way());
        let Some(oldest) = ended.min_by_key(|(_, it)| it.pull.number).map(|(model, _)| model.clone()) else {
            return;
        };
        jobs.remove(&oldest);
    }
}
