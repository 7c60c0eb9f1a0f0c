//! Replicas whose processes live though their folder is gone, as somebody removed it. They still hold devices, so
//! they are listed, as orphaned, and can be ended: by what this server remembers of them, or, where it is newer than
//! the loss, by the marks in their environment. Processes of a version that set no marks are found by memory only.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::{NodeId, Nonce, ObservedReplica, ReplicaId, ReplicaPhase};

use super::{Inner, blocking};
use dedi_shim::cgroup::{self, Groups, Hierarchies};
use dedi_shim::identity::ProcessId;
use dedi_shim::mark;
use dedi_shim::records::{LaunchRecord, ReplicaDir, ShimRecord};

/// Who the processes of a replica are, apart from its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    replica: ReplicaId,
    nonce: Nonce,
    shim: Option<ProcessId>,
    engine: Option<ProcessId>,
    cgroups: Vec<PathBuf>,
    grace: Duration,
}

impl Inner {
    /// Keeps in mind who the processes are, should the folder get lost.
    pub(super) fn remember(&self, record: &LaunchRecord, shim: &ShimRecord) {
        if !shim.life.is(&self.life) {
            return;
        }
        let mut known = self.known.lock();
        let is_known = known.get(&record.launch.nonce).is_some_and(|it| {
            it.shim == Some(shim.shim) && it.engine == shim.engine && it.cgroups == shim.cgroups
        });
        if !is_known {
            let it = Known {
                replica: record.launch.replica,
                nonce: record.launch.nonce,
                shim: Some(shim.shim),
                engine: shim.engine,
                cgroups: shim.cgroups.clone(),
                grace: Duration::from_secs(record.stop_grace_secs),
            };
            known.insert(it.nonce, it);
        }
    }

    /// Looks once through all processes for such as carry this installation's mark and have no folder.
    pub(super) fn find_unrecorded(&self) -> io::Result<()> {
        let mut found: BTreeMap<Nonce, Known> = BTreeMap::new();
        for it in mark::of_installation(&self.installation)? {
            let (replica, nonce) = (it.mark.replica, it.mark.nonce);
            let known = found.entry(nonce).or_insert_with(|| {
                let name = ReplicaDir::of(&self.run, replica).name();
                let cgroups = Hierarchies::discover().groups(&cgroup::family(&self.installation), &name);
                let grace = self.config.stop_grace();
                Known { replica, nonce, shim: None, engine: None, cgroups, grace }
            });
            if it.is_shim {
                known.shim = Some(it.process);
            }
        }
        found.retain(|_, it| self.has_lost_its_folder(it));
        for it in found.values() {
            tracing::warn!(replica = %it.replica, "its processes run, but its folder is gone");
        }
        self.known.lock().extend(found);
        Ok(())
    }

    /// Those whose processes live and whose folder is gone; the listed ones have theirs.
    pub(super) async fn unrecorded(
        self: &Arc<Self>,
        listed: &[ObservedReplica],
    ) -> io::Result<Vec<ObservedReplica>> {
        let mut known: Vec<Known> = self.known.lock().values().cloned().collect();
        known.retain(|it| listed.iter().all(|listed| listed.nonce != it.nonce));
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let inner = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for it in known {
                let path = ReplicaDir::of(&inner.run, it.replica).path().to_owned();
                let is_ending = inner.ending.lock().get(&path) == Some(&it.nonce);
                let phase = if is_ending {
                    // Until whoever ends it is done, which is after the last process.
                    ReplicaPhase::Stopping
                } else if !inner.has_lost_its_folder(&it) {
                    continue;
                } else if inner.is_alive(&it)? {
                    ReplicaPhase::Orphaned
                } else {
                    inner.known.lock().remove(&it.nonce);
                    continue;
                };
                found.push(ObservedReplica {
                    id: it.replica,
                    nonce: it.nonce,
                    node: NodeId::LOCAL,
                    phase,
                    isolation: None,
                    unready: None,
                });
            }
            Ok(found)
        })
        .await
    }

    /// Begins to end what is left of a replica that has no folder, if there is such a one. Its shim can't write down
    /// how that went, and ends all the same.
    pub(super) fn end_unrecorded(self: &Arc<Self>, replica: ReplicaId, nonce: Nonce) {
        let known = self.known.lock().get(&nonce).filter(|it| it.replica == replica).cloned();
        let Some(known) = known else { return };
        let inner = self.clone();
        let path = ReplicaDir::of(&self.run, replica).path().to_owned();
        self.until_done(path, replica, nonce, move || {
            let (inner, known) = (inner.clone(), known.clone());
            async move { inner.end_known(known).await }
        });
    }

    async fn end_known(self: Arc<Self>, known: Known) -> io::Result<()> {
        if let Some(shim) = known.shim {
            self.end_shim(shim, known.replica, known.grace).await?;
        }
        self.end_all_leftovers(known.engine, &known.cgroups, known.nonce).await?;
        blocking(move || {
            Groups::named(&known.cgroups).remove();
            let dir = ReplicaDir::of(&self.run, known.replica);
            // What is there without a launch record is of no use to anybody, and stands in nobody's way then.
            if dir.path().exists() && dir.launch()?.is_none() {
                dir.delete(&self.run)?;
            }
            self.known.lock().remove(&known.nonce);
            tracing::info!(replica = %known.replica, "gone, as its folder was before it");
            Ok(())
        })
        .await
    }

    /// A record that can't be read is there: what it stands for is not lost. Nor is a replica whose record names
    /// another launch: an engine may set what marks it likes for its own processes, and must not speak for others.
    fn has_lost_its_folder(&self, known: &Known) -> bool {
        matches!(ReplicaDir::of(&self.run, known.replica).launch(), Ok(None))
    }

    /// Whether any process of it runs. All are looked through only when those that are known have ended.
    fn is_alive(&self, known: &Known) -> io::Result<bool> {
        for process in [known.shim, known.engine].into_iter().flatten() {
            if process.is_alive()? {
                return Ok(true);
            }
        }
        for pid in Groups::named(&known.cgroups).members() {
            if ProcessId::of(pid)?.is_some() {
                return Ok(true);
            }
        }
        Ok(!mark::of_launch(known.nonce, &self.installation)?.is_empty())
    }
}
