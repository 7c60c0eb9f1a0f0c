//! Makes a replica absent. The mark for removal is on disk before anything is signalled, so that whoever
//! comes next goes on; the folder goes when nothing of the replica is left.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::{EndpointId, Nonce, ReplicaId};

use super::{Inner, blocking};
use crate::failpoint;
use dedi_shim::cgroup::Groups;
use dedi_shim::records::{LaunchRecord, ReplicaDir};

/// Longest wait for an end or a removal to be tried again after it failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is to become of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// No process of it is left; its folder says so, and that its launch has been used.
    Ended,
    /// Besides, its folder is gone.
    Removed,
}

impl Inner {
    /// Marks the replica for removal and begins it.
    pub(crate) async fn begin_removal(self: &Arc<Self>, replica: ReplicaId, nonce: Nonce) -> io::Result<()> {
        let marked = self
            .mark(replica, nonce, |dir| {
                if !dir.is_to_be_removed()? {
                    failpoint::hit("remove.before", "mark");
                    dir.mark_for_removal()?;
                    failpoint::hit("remove.after", "mark");
                }
                Ok(())
            })
            .await?;
        match marked {
            Some((dir, record)) => self.carry_on(Goal::Removed, dir, record),
            None => self.end_unrecorded(replica, nonce),
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Marks the folder of that launch, and of no other, and says what was to be started there.
    pub(super) async fn mark(
        &self,
        replica: ReplicaId,
        nonce: Nonce,
        mark: impl FnOnce(&ReplicaDir) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Option<(ReplicaDir, LaunchRecord)>> {
        // Not while a launch is being decided: it must see the mark or have started the shim.
        let _one_at_a_time = self.launching.lock().await;
        let dir = ReplicaDir::of(&self.run, replica);
        let installation = self.installation.clone();
        blocking(move || {
            let record = dir.launch()?.filter(|it| {
                it.installation == installation && it.launch.replica == replica && it.launch.nonce == nonce
            });
            let Some(record) = record else { return Ok(None) };
            mark(&dir)?;
            Ok(Some((dir, record)))
        })
        .await
    }

    /// Works towards the goal in a task of its own, unless a task works on that folder already; what is left
    /// then is taken up by the next look.
    pub(crate) fn carry_on(self: &Arc<Self>, goal: Goal, dir: ReplicaDir, record: LaunchRecord) {
        let (inner, replica, nonce) = (self.clone(), record.launch.replica, record.launch.nonce);
        let path = dir.path().to_owned();
        self.until_done(path, replica, nonce, move || {
            let (inner, dir, record) = (inner.clone(), dir.clone(), record.clone());
            async move { inner.reach(goal, &dir, &record).await }
        });
    }

    /// Repeats the work on that folder until it is done, in a task of its own, unless one is at it.
    pub(super) fn until_done<F: Future<Output = io::Result<()>> + Send>(
        self: &Arc<Self>,
        path: PathBuf,
        replica: ReplicaId,
        nonce: Nonce,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) {
        if self.ending.lock().insert(path.clone(), nonce).is_some() {
            return;
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            let work = async {
                while let Err(err) = work().await {
                    tracing::warn!(%replica, "its end is tried again: {err}");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            };
            tokio::select! {
                () = inner.stop.cancelled() => {}
                () = work => {}
            }
            inner.ending.lock().remove(&path);
            inner.changed.notify_one();
        });
    }

    async fn reach(&self, goal: Goal, dir: &ReplicaDir, record: &LaunchRecord) -> io::Result<()> {
        self.end_processes(dir, record).await?;
        match goal {
            Goal::Ended => self.record_end(dir.clone()).await,
            Goal::Removed => self.remove_folder(dir.clone(), record).await,
        }
    }

    async fn remove_folder(&self, dir: ReplicaDir, record: &LaunchRecord) -> io::Result<()> {
        let run = self.run.clone();
        let (logs, endpoint) = (self.logs.clone(), record.launch.endpoint);
        let (keep, bytes_max) = (self.config.log_attempts_kept, self.config.log_bytes_per_endpoint_max);
        blocking(move || {
            if let Some(shim) = dir.shim()? {
                Groups::named(&shim.cgroups).remove();
            }
            failpoint::hit("remove.before", "folder");
            dir.delete(&run)?;
            failpoint::hit("remove.after", "folder");
            let pruned = attempts_of(&run, endpoint)
                .and_then(|written| logs.prune(endpoint, keep, bytes_max, |it| written.contains(&it)));
            if let Err(err) = pruned {
                tracing::debug!("old logs of {endpoint} could not be removed: {err}");
            }
            Ok(())
        })
        .await?;
        tracing::info!(replica = %record.launch.replica, "gone");
        Ok(())
    }
}

/// The attempts of an endpoint that have a folder: each may still write its log.
fn attempts_of(run: &Path, endpoint: EndpointId) -> io::Result<BTreeSet<u32>> {
    let mut attempts = BTreeSet::new();
    for dir in ReplicaDir::all(run)? {
        let launch = dir.launch()?.map(|it| it.launch).filter(|it| it.endpoint == endpoint);
        attempts.extend(launch.map(|it| it.attempt));
    }
    Ok(attempts)
}
