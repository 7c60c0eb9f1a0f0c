//! Ends the processes of a replica and keeps its folder: the launch stays used, so nobody starts it again, and
//! whoever looks next sees that it was stopped. The mark is on disk before anything is signalled, so that
//! whoever comes next goes on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dedi_domain::{Exit, FailureCause, Nonce, ReplicaId};
use rustix::process::Signal;

use super::remove::Goal;
use super::watched::Watched;
use super::{Inner, blocking};
use crate::{clock, failpoint};
use dedi_shim::cgroup::Groups;
use dedi_shim::identity::{self, ProcessId};
use dedi_shim::mark;
use dedi_shim::records::{LaunchRecord, ReplicaDir, ShimRecord};

/// Time beyond the grace that a shim gets before it is taken to be stuck.
const SHIM_MARGIN: Duration = Duration::from_secs(5);

/// Between two looks at processes that were killed and are not gone yet.
const SWEEP_DELAY: Duration = Duration::from_millis(20);

impl Inner {
    /// Marks the replica as one that was asked to stop, and begins to end it.
    pub(crate) async fn begin_end(self: &Arc<Self>, replica: ReplicaId, nonce: Nonce) -> io::Result<()> {
        let marked = self
            .mark(replica, nonce, |dir| {
                if !dir.is_asked_to_stop()? {
                    failpoint::hit("end.before", "mark");
                    dir.ask_to_stop()?;
                    failpoint::hit("end.after", "mark");
                }
                Ok(())
            })
            .await?;
        match marked {
            Some((dir, record)) => self.carry_on(Goal::Ended, dir, record),
            None => self.end_unrecorded(replica, nonce),
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Writes down that it has ended; its control groups go.
    pub(super) async fn record_end(&self, dir: ReplicaDir) -> io::Result<()> {
        blocking(move || {
            if let Some(shim) = dir.shim()? {
                Groups::named(&shim.cgroups).remove();
            }
            failpoint::hit("end.before", "exit");
            // The shim's own word stands, where it got to say it.
            if !dir.has_exit()? {
                dir.write_exit(&stopped())?;
            }
            failpoint::hit("end.after", "exit");
            Ok(())
        })
        .await
    }

    /// Returns when no process of the replica is left.
    pub(super) async fn end_processes(&self, dir: &ReplicaDir, record: &LaunchRecord) -> io::Result<()> {
        if let Some(shim) = self.shim_of(dir).await? {
            let grace = Duration::from_secs(record.stop_grace_secs);
            self.end_shim(shim.shim, record.launch.replica, grace).await?;
        }
        let shim = dir.shim()?.filter(|it| it.life.is(&self.life));
        if !dir.has_exit()? && record.life.is(&self.life) {
            let (engine, cgroups) = shim.map(|it| (it.engine, it.cgroups)).unwrap_or_default();
            // The shim did not get to the end of its work: what it kept is ours to end.
            while self.end_leftovers(engine, &cgroups, record.launch.nonce).await? > 0 || dir.is_locked()? {
                tokio::time::sleep(SWEEP_DELAY).await;
            }
        }
        Ok(())
    }

    /// The shim at work in the folder, if there is one; waits for one that is about to name itself or to
    /// see the mark and end.
    async fn shim_of(&self, dir: &ReplicaDir) -> io::Result<Option<ShimRecord>> {
        loop {
            let is_locked = dir.is_locked()?;
            let shim = dir.shim()?;
            let is_of_now = shim.as_ref().is_none_or(|it| it.life.is(&self.life));
            if shim.is_some() || !is_locked {
                return Ok(shim.filter(|_| is_of_now));
            }
            tokio::time::sleep(SWEEP_DELAY).await;
        }
    }

    /// Asks the shim to end its replica, and ends the shim itself if it doesn't in time.
    pub(super) async fn end_shim(
        &self,
        shim: ProcessId,
        replica: ReplicaId,
        grace: Duration,
    ) -> io::Result<()> {
        let Some(held) = shim.hold()? else { return Ok(()) };
        failpoint::hit("end.before", "term");
        held.signal(Signal::TERM)?;
        failpoint::hit("end.after", "term");
        let grace = grace.max(self.config.stop_grace());
        let shim = Watched::held(held)?;
        if let Ok(ended) = tokio::time::timeout(grace + SHIM_MARGIN, shim.ended()).await {
            return ended;
        }
        tracing::warn!(%replica, "its shim does not end: killed");
        shim.kill()?;
        shim.ended().await
    }

    /// Kills what is left of a replica without a shim, and says how many there were.
    pub(super) async fn end_leftovers(
        &self,
        engine: Option<ProcessId>,
        cgroups: &[PathBuf],
        nonce: Nonce,
    ) -> io::Result<usize> {
        let (cgroups, installation) = (cgroups.to_owned(), self.installation.clone());
        blocking(move || {
            let started = Instant::now();
            let groups = Groups::named(&cgroups);
            groups.kill();
            let mut left: Vec<ProcessId> = mark::of_launch(nonce, &installation)?;
            left.extend(engine);
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

    /// The same again and again, until there are none.
    pub(super) async fn end_all_leftovers(
        &self,
        engine: Option<ProcessId>,
        cgroups: &[PathBuf],
        nonce: Nonce,
    ) -> io::Result<()> {
        while self.end_leftovers(engine, cgroups, nonce).await? > 0 {
            tokio::time::sleep(SWEEP_DELAY).await;
        }
        Ok(())
    }
}

/// How a replica ended that was asked to, when its shim could not say it.
fn stopped() -> Exit {
    Exit { code: None, signal: None, cause: FailureCause::Stopped, at: clock::now(), log_tail: Vec::new() }
}
