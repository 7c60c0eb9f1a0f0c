//! One look at all replicas: from folders and `/proc` to phases. Also takes up what it finds unattended: a
//! shim that nobody watches, a removal that nobody carries on.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use dedi_domain::{Exit, FailureCause, NodeId, ObservedReplica, ReplicaPhase};

use super::monitor::Seen;
use super::remove::Goal;
use super::{Inner, blocking};
use crate::hardware::Engines;
use dedi_runtime_api::{Listing, Unreadable};
use dedi_shim::identity;
use dedi_shim::records::{LaunchRecord, ReplicaDir, ShimRecord};

/// What a folder shows.
enum Found {
    /// Its processes are as this says.
    Replica(ObservedReplica),
    /// A shim is at work that nobody watches.
    Unwatched(LaunchRecord),
    /// Somebody began to end it, or to remove it.
    Leaving(Goal, LaunchRecord),
    /// Not ours, or not readable as a replica.
    Foreign,
}

impl Inner {
    /// All replicas, from what is there now. An error means that nothing is known, never that none is; a folder
    /// that can't be read is one replica of which nothing is known.
    pub(crate) async fn observe(self: &Arc<Self>) -> io::Result<Listing> {
        let inner = self.clone();
        let (found, unreadable) = blocking(move || {
            let (mut found, mut unreadable) = (Vec::new(), Vec::new());
            for dir in ReplicaDir::all(&inner.run)? {
                match inner.look_at(&dir) {
                    Ok(it) => found.push((dir, it)),
                    Err(err) if is_of_all(&err) => return Err(err),
                    Err(err) => unreadable.push(unread(&dir, &err)),
                }
            }
            Ok((found, unreadable))
        })
        .await?;
        let mut replicas = Vec::new();
        for (dir, found) in found {
            match found {
                Found::Replica(replica) => replicas.push(replica),
                Found::Unwatched(record) => {
                    let seen = self.watch(dir.clone(), &record, None);
                    replicas.push(observed(&record, phase(&seen, &dir, &record)));
                }
                Found::Leaving(goal, record) => {
                    replicas.push(observed(&record, ReplicaPhase::Stopping));
                    self.carry_on(goal, dir, record);
                }
                Found::Foreign => {}
            }
        }
        for it in replicas.iter_mut().filter(|it| matches!(it.phase, ReplicaPhase::Launching { .. })) {
            it.unready = self.tracked.lock().get(&it.nonce).and_then(|it| it.unready());
        }
        replicas.extend(self.unrecorded(&replicas).await?);
        replicas.sort_by_key(|it| it.id);
        Ok(Listing { replicas, unreadable })
    }

    fn look_at(&self, dir: &ReplicaDir) -> io::Result<Found> {
        let Some(record) = dir.launch()? else {
            tracing::debug!("{} holds no launch record", dir.path().display());
            return Ok(Found::Foreign);
        };
        if record.installation != self.installation {
            return Ok(Found::Foreign);
        }
        if record.life.is_beside(&self.life) && dir.is_locked()? {
            return Err(io::Error::other(
                "its processes run in another PID namespace, as in another container; end them there",
            ));
        }
        if dir.is_to_be_removed()? {
            return Ok(Found::Leaving(Goal::Removed, record));
        }
        // Also where the shim was ended before it could say so, or was never there: no shim starts from then on.
        if record.life.is(&self.life) && dir.is_asked_to_stop()? {
            let has_shim = dir.shim()?.map_or(Ok(false), |it| it.shim.is_alive())?;
            if has_shim || !dir.has_exit()? {
                return Ok(Found::Leaving(Goal::Ended, record));
            }
        }
        let replica = |phase| Ok(Found::Replica(observed(&record, phase)));
        let Some(shim) = dir.shim()? else {
            // The lock comes before the record, and a record that can't be read was written by somebody.
            if let Some(exit) = dir.exit()? {
                return replica(ReplicaPhase::Exited(exit));
            }
            if let Some(seen) = self.seen(&record) {
                return replica(phase(&seen, dir, &record));
            }
            if !record.life.is(&self.life) {
                return replica(ReplicaPhase::Exited(host_restarted(&record)));
            }
            if dir.is_locked()? {
                return Ok(Found::Unwatched(record));
            }
            // A shim that was started and has not taken its lock yet can't be seen. The folder is shown, so that
            // nobody takes the replica to be gone before the mark for removal stands in that shim's way.
            return replica(if dir.has_shim()? { ReplicaPhase::Orphaned } else { ReplicaPhase::Unstarted });
        };
        self.remember(&record, &shim);
        let replica = |phase| {
            Ok(Found::Replica(ObservedReplica { isolation: shim.isolation, ..observed(&record, phase) }))
        };
        if shim.life.is(&self.life) && shim.shim.is_alive()? && dir.exit()?.is_none() {
            return match self.seen(&record) {
                Some(seen) => replica(phase(&seen, dir, &record)),
                None => Ok(Found::Unwatched(record)),
            };
        }
        // Read after the shim was seen gone: it writes this last.
        if let Some(exit) = dir.exit()? {
            return replica(ReplicaPhase::Exited(exit));
        }
        if !shim.life.is(&self.life) {
            return replica(ReplicaPhase::Exited(host_restarted(&record)));
        }
        replica(ReplicaPhase::Orphaned)
    }

    fn seen(&self, record: &LaunchRecord) -> Option<Seen> {
        self.tracked.lock().get(&record.launch.nonce).map(|it| it.seen())
    }

    /// All live engines, children included, whose use of devices is ours; and those that have ended.
    pub(crate) fn engines(&self) -> io::Result<Engines> {
        let mut engines = Engines::default();
        for dir in ReplicaDir::all(&self.run)? {
            let Some(ShimRecord { life, engine: Some(engine), .. }) = dir.shim()? else { continue };
            if !life.is(&self.life) {
                continue;
            }
            let record = match dir.launch() {
                Ok(Some(it)) if it.installation == self.installation => Some(it),
                // A copied folder's engines are another installation's.
                Ok(_) => continue,
                // One that can't be read keeps its devices by its row.
                Err(_) => None,
            };
            let family = identity::family(engine)?;
            if family.is_empty() {
                engines.former.push(engine);
                let devices = record.into_iter().flat_map(|it| it.launch.devices);
                engines.former_devices.extend(devices.filter(|it| !it.kind.is_cpu()).map(|it| it.id));
            } else {
                engines.devices.extend(record.into_iter().flat_map(|it| it.launch.devices));
            }
            engines.processes.extend(family);
        }
        Ok(engines)
    }
}

/// Whether no folder could be read for that reason.
fn is_of_all(err: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(err);
    errno.is_some_and(|it| [Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&it))
}

fn unread(dir: &ReplicaDir, err: &io::Error) -> Unreadable {
    let shim = dir.shim().ok().flatten();
    let who = shim.map_or(String::new(), |it| format!("; its supervisor was process {}", it.shim.pid));
    // Tenants are told it, whom the folders above are no business of.
    let err = err.to_string().replace(&dir.path().display().to_string(), &format!("run/{}", dir.name()));
    Unreadable { name: dir.name(), why: format!("{err}{who}") }
}

fn observed(record: &LaunchRecord, phase: ReplicaPhase) -> ObservedReplica {
    let (id, nonce) = (record.launch.replica, record.launch.nonce);
    ObservedReplica { id, nonce, node: NodeId::LOCAL, phase, isolation: None, unready: None }
}

fn phase(seen: &Seen, dir: &ReplicaDir, record: &LaunchRecord) -> ReplicaPhase {
    let address = || record.address(dir);
    match seen {
        Seen::Launching { progress_at, percent } => {
            ReplicaPhase::Launching { progress_at: *progress_at, percent: *percent }
        }
        Seen::Ready => ReplicaPhase::Ready { address: address() },
        Seen::Unresponsive { since } => ReplicaPhase::Unresponsive { since: *since, address: address() },
    }
}

/// Another boot, or a container that was started again: its processes are gone, whatever the folder says.
fn host_restarted(record: &LaunchRecord) -> Exit {
    Exit { code: None, signal: None, cause: FailureCause::HostRestarted, at: record.at, log_tail: Vec::new() }
}
