//! Makes a replica absent. The mark for removal is on disk before anything is signalled, so that whoever
//! comes next goes on; the folder goes when nothing of the replica is left.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dedi_domain::{Nonce, ReplicaId};
use rustix::process::Signal;

use super::cgroup::Groups;
use super::identity::{self, ProcessId};
use super::records::{LaunchRecord, ReplicaDir, ShimRecord};
use super::watched::Watched;
use super::{Inner, blocking, locked};
use crate::failpoint;

/// Time beyond the grace that a shim gets before it is taken to be stuck.
const SHIM_MARGIN: Duration = Duration::from_secs(5);

/// Between two looks at processes that were killed and are not gone yet.
const SWEEP_DELAY: Duration = Duration::from_millis(20);

/// Longest wait for a folder's removal to be tried again after it failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

impl Inner {
    /// Marks the replica for removal and begins it.
    pub(crate) async fn begin_removal(self: &Arc<Self>, replica: ReplicaId, nonce: Nonce) -> io::Result<()> {
        // Not while a launch is being decided: it must see the mark or have started the shim.
        let _one_at_a_time = self.launching.lock().await;
        let dir = ReplicaDir::of(&self.run, replica);
        let record = {
            let dir = dir.clone();
            let installation = self.installation.clone();
            blocking(move || {
                let record = dir.launch()?.filter(|it| {
                    it.installation == installation
                        && it.launch.replica == replica
                        && it.launch.nonce == nonce
                });
                if record.is_some() && !dir.is_to_be_removed()? {
                    failpoint::hit("remove.before", "mark");
                    dir.mark_for_removal()?;
                    failpoint::hit("remove.after", "mark");
                }
                Ok(record)
            })
            .await?
        };
        if let Some(record) = record {
            self.continue_removal(dir, record);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Carries a removal on in a task of its own, unless one does already.
    pub(crate) fn continue_removal(self: &Arc<Self>, dir: ReplicaDir, record: LaunchRecord) {
        let path = dir.path().to_owned();
        if locked(&self.removing).insert(path.clone(), record.launch.nonce).is_some() {
            return;
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            let work = async {
                while let Err(err) = inner.remove_folder(&dir, &record).await {
                    tracing::warn!(replica = %record.launch.replica, "removal is tried again: {err}");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            };
            tokio::select! {
                () = inner.stop.cancelled() => {}
                () = work => {}
            }
            locked(&inner.removing).remove(&path);
            inner.changed.notify_one();
        });
    }

    async fn remove_folder(&self, dir: &ReplicaDir, record: &LaunchRecord) -> io::Result<()> {
        if let Some(shim) = self.shim_of(dir).await? {
            self.end_shim(&shim, record).await?;
        }
        let shim = dir.shim()?.filter(|it| it.boot_id == self.boot_id);
        if !dir.has_exit()? && record.boot_id == self.boot_id {
            // The shim did not get to the end of its work: what it kept is ours to end.
            while self.end_leftovers(shim.as_ref(), record).await? > 0 || dir.is_locked()? {
                tokio::time::sleep(SWEEP_DELAY).await;
            }
        }
        let (run, dir) = (self.run.clone(), dir.clone());
        let (logs, endpoint, keep) =
            (self.logs.clone(), record.launch.endpoint, self.config.log_attempts_kept);
        blocking(move || {
            if let Some(shim) = dir.shim()? {
                Groups::named(&shim.cgroups).remove();
            }
            failpoint::hit("remove.before", "folder");
            dir.delete(&run)?;
            failpoint::hit("remove.after", "folder");
            if let Err(err) = logs.prune(endpoint, keep) {
                tracing::debug!("old logs of {endpoint} could not be removed: {err}");
            }
            Ok(())
        })
        .await?;
        tracing::info!(replica = %record.launch.replica, "gone");
        Ok(())
    }

    /// The shim at work in the folder, if there is one; waits for one that is about to name itself or to
    /// see the mark and end.
    async fn shim_of(&self, dir: &ReplicaDir) -> io::Result<Option<ShimRecord>> {
        loop {
            let is_locked = dir.is_locked()?;
            let shim = dir.shim()?;
            let is_this_boot = shim.as_ref().is_none_or(|it| it.boot_id == self.boot_id);
            if shim.is_some() || !is_locked {
                return Ok(shim.filter(|_| is_this_boot));
            }
            tokio::time::sleep(SWEEP_DELAY).await;
        }
    }

    /// Asks the shim to end its replica, and ends the shim itself if it doesn't in time.
    async fn end_shim(&self, record: &ShimRecord, launch: &LaunchRecord) -> io::Result<()> {
        let Some(held) = record.shim.hold()? else { return Ok(()) };
        failpoint::hit("remove.before", "term");
        held.signal(Signal::TERM)?;
        failpoint::hit("remove.after", "term");
        let grace = Duration::from_secs(launch.stop_grace_secs).max(self.config.stop_grace());
        let shim = Watched::held(held)?;
        if let Ok(ended) = tokio::time::timeout(grace + SHIM_MARGIN, shim.ended()).await {
            return ended;
        }
        tracing::warn!(replica = %launch.launch.replica, "its shim does not end: killed");
        shim.kill()?;
        shim.ended().await
    }

    /// Kills what is left of a replica without a shim, and says how many there were.
    async fn end_leftovers(&self, shim: Option<&ShimRecord>, record: &LaunchRecord) -> io::Result<usize> {
        let (shim, nonce) = (shim.cloned(), record.launch.nonce.to_string());
        blocking(move || {
            let started = Instant::now();
            let groups = shim.as_ref().map_or_else(Groups::default, |it| Groups::named(&it.cgroups));
            groups.kill();
            let mut left: Vec<ProcessId> = identity::marked(&nonce)?;
            left.extend(shim.and_then(|it| it.engine));
            for pid in groups.members() {
                left.extend(ProcessId::of(pid)?);
            }
            // Children that changed their environment still belong to a verified parent.
            for process in left.clone() {
                left.extend(identity::family(process)?);
            }
            left.sort_by_key(|it| (it.pid, it.start_time));
            left.dedup();
            let mut n_alive = 0;
            for process in left {
                if let Some(held) = process.hold()? {
                    n_alive += 1;
                    held.signal(Signal::KILL)?;
                }
            }
            tracing::debug!("{n_alive} process(es) without a shim killed in {:?}", started.elapsed());
            Ok(n_alive)
        })
        .await
    }
}
