//! Models that come from a hub, which may fail for a while first, and those that are away for a while: an endpoint waits
//! for its own.

use dedi_domain::{EndpointId, Fetch, Timestamp};

use crate::life::Sim;
use crate::life::fault::Fault;
use crate::world::devices::NEEDED_BYTES;
use crate::world::tenants::OVERHEARD;

/// One endpoint's download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Download {
    pub(crate) endpoint: EndpointId,
    pub(crate) next_at: i64,
    pub(crate) n_failures: u32,
    /// It was here before, and comes back as it was.
    pub(crate) is_back: bool,
}

impl Sim {
    /// What a new endpoint waits for.
    pub(crate) fn fetch(&mut self, endpoint: EndpointId) -> Option<Fetch> {
        if !self.faults.has(Fault::SlowFetch) || self.rng.percent(50) {
            return None;
        }
        let next_at = self.now + self.rng.between(500, 60_000);
        self.downloads.push(Download { endpoint, next_at, n_failures: 0, is_back: false });
        Some(Fetch::Queued { n_ahead: 1, bytes_done: 0, bytes_total: 100 })
    }

    /// The model of an endpoint, which may run or be about to, is gone or can't be read for a while.
    pub(crate) fn take_model_away(&mut self) {
        let here: Vec<EndpointId> =
            self.store.endpoints.iter().filter(|it| it.fetch.is_none()).map(|it| it.desired.id).collect();
        let at = self.rng.below(here.len());
        let Some(endpoint) = here.get(at).copied() else { return };
        let next_at = self.now + self.rng.between(500, 60_000);
        self.downloads.push(Download { endpoint, next_at, n_failures: 0, is_back: true });
        let unreadable = Fetch::Unreadable { what: format!("the disk says {OVERHEARD}") };
        let fetch = if self.rng.percent(50) { Fetch::Absent } else { unreadable };
        self.show_fetch(endpoint, Some(fetch));
    }

    /// Downloads go on, fail and are tried again, or are done.
    pub(crate) fn advance_fetches(&mut self) {
        for mut it in std::mem::take(&mut self.downloads) {
            if it.next_at > self.now {
                self.downloads.push(it);
                continue;
            }
            let now = Timestamp(self.now);
            let fetch = match self.rng.below(10) {
                _ if it.is_back => None,
                0..=3 => {
                    let bytes_total = self.rng.percent(50).then_some(100);
                    Some(Fetch::Running { bytes_done: 50, bytes_total, since: now })
                }
                4 | 5 => {
                    it.n_failures += 1;
                    let retry_at = now.plus(std::time::Duration::from_secs(5));
                    let (n_failures, is_final) = (it.n_failures, self.rng.percent(30));
                    let what = format!("the hub is away: {OVERHEARD}");
                    Some(Fetch::Failed { what, n_failures, retry_at, is_final })
                }
                _ => None,
            };
            it.next_at = self.now + self.rng.between(500, 30_000);
            self.show_fetch(it.endpoint, fetch.clone());
            if fetch.is_some() {
                self.downloads.push(it);
            }
        }
    }

    /// The hub is well again: everything is here.
    pub(crate) fn end_fetches(&mut self) {
        for it in std::mem::take(&mut self.downloads) {
            self.show_fetch(it.endpoint, None);
        }
    }

    fn show_fetch(&mut self, endpoint: EndpointId, fetch: Option<Fetch>) {
        self.trace.note(self.now, || format!("the model of {endpoint}: {fetch:?}"));
        if let Some(view) = self.store.endpoints.iter_mut().find(|it| it.desired.id == endpoint) {
            view.bytes_per_device = fetch.is_none().then_some(NEEDED_BYTES);
            view.fetch = fetch;
        }
    }
}
