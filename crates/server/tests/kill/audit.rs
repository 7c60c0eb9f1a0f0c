//! What must hold at every moment, and what must hold once things have settled.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::client::Reply;
use crate::ledger::{Ledger, Wish};
use crate::plane::Plane;
use crate::snapshot::{self, Process, Snapshot};
use crate::strangers::Strangers;

/// Longest wait for a killed plane to come to rest. It takes about a second.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK_DELAY: Duration = Duration::from_millis(10);

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A process that belongs to no row, or is left after everything was deleted.
    Orphan,
    /// Something acknowledged is not there, or something deleted is.
    Lost,
    /// A process that is none of ours was signalled.
    Stranger,
    /// One launch, two processes.
    Double,
    /// A replica that nothing happened to was ended.
    Disturbed,
    /// It never came to rest.
    Stuck,
    /// Something is left on the host after everything was deleted: a folder, a control group, a device.
    Leftover,
    /// A running time that is more than its replica ran, or that is nobody's.
    Minutes,
}

impl Wrong {
    pub(crate) const ALL: [Self; 8] = [
        Self::Orphan,
        Self::Lost,
        Self::Stranger,
        Self::Double,
        Self::Disturbed,
        Self::Stuck,
        Self::Leftover,
        Self::Minutes,
    ];
}

/// What was found, and the sentence.
pub(crate) type Finding = (Wrong, String);

/// The account of a plane against what is there.
pub(crate) struct Auditor {
    pub(crate) ledger: Ledger,
    pub(crate) strangers: Strangers,
    /// Engines that no kill was aimed at, by mark.
    undisturbed: BTreeSet<String>,
    /// Marks whose second start was reported already.
    reported: BTreeSet<String>,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            strangers: Strangers::new(),
            undisturbed: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    /// From now on these engines must stay.
    pub(crate) fn keep(&mut self, marks: impl IntoIterator<Item = String>) {
        self.undisturbed = marks.into_iter().collect();
    }

    /// Those engines, by mark.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.undisturbed.iter().cloned().collect()
    }

    /// Whether this process is one of those, or the shim of one.
    pub(crate) fn is_kept(&self, process: &Process) -> bool {
        let is_kept = |mark: &String| self.undisturbed.contains(mark);
        process.mark.as_ref().is_some_and(is_kept)
            || children(process.pid).iter().any(|it| snapshot::mark(*it).as_ref().is_some_and(is_kept))
    }

    /// True of every moment, whoever was just killed.
    pub(crate) fn always(&mut self, snapshot: &Snapshot) -> Vec<Finding> {
        let mut found: Vec<Finding> =
            self.ledger.lost(snapshot).into_iter().map(|what| (Wrong::Lost, what)).collect();
        for (mark, n) in &snapshot.starts {
            if *n > 1 && self.reported.insert(mark.clone()) {
                found.push((Wrong::Double, format!("launch {mark} was started {n} times")));
            }
        }
        for (process, mark) in snapshot.engines() {
            if !snapshot.replicas.iter().any(|it| it.nonce == mark) {
                found.push((Wrong::Orphan, format!("engine {} ({mark}) has no row", process.pid)));
            }
        }
        for mark in &self.undisturbed {
            if !snapshot.engines().any(|(_, it)| it == mark) {
                found.push((Wrong::Disturbed, format!("engine {mark} should have been left alone")));
            }
        }
        found.extend(snapshot.minutes.iter().map(|it| (Wrong::Minutes, it.clone())));
        found.extend(self.strangers.signalled().into_iter().map(|what| (Wrong::Stranger, what)));
        found
    }

    /// Waits until rows, processes and folders agree with the ledger and with each other.
    pub(crate) fn until_settled(&mut self, plane: &mut Plane) -> Result<Snapshot, Vec<Finding>> {
        let began = Instant::now();
        loop {
            let why = match Snapshot::at(plane) {
                Ok(snapshot) => {
                    let found = self.always(&snapshot);
                    if !found.is_empty() {
                        return Err(found);
                    }
                    match self.unsettled(&snapshot) {
                        None => {
                            self.ledger.settle(&snapshot);
                            let unlisted = self.unlisted(plane);
                            return if unlisted.is_empty() { Ok(snapshot) } else { Err(unlisted) };
                        }
                        Some(why) => why,
                    }
                }
                Err(why) => why,
            };
            if !plane.is_running() {
                return Err(vec![(Wrong::Stuck, format!("the server ended by itself; {why}"))]);
            }
            if began.elapsed() > SETTLE_MAX {
                return Err(vec![(Wrong::Stuck, why)]);
            }
            std::thread::sleep(LOOK_DELAY);
        }
    }

    /// Why this snapshot is not one of a plane at rest.
    pub(crate) fn unsettled(&self, snapshot: &Snapshot) -> Option<String> {
        if let Some(why) = self.ledger.entries().iter().find_map(|it| it.unsettled(snapshot)) {
            return Some(why);
        }
        let rows: BTreeSet<&str> = snapshot.replicas.iter().map(|it| it.nonce.as_str()).collect();
        let live: Vec<&str> = snapshot.engines().map(|(_, mark)| mark).collect();
        let n_shims = snapshot.shims().count();
        if live.len() != rows.len() || live.iter().any(|it| !rows.contains(it)) {
            return Some(format!("{} engine(s) for {} row(s)", live.len(), rows.len()));
        }
        if n_shims != live.len() {
            return Some(format!("{n_shims} shim(s) for {} engine(s)", live.len()));
        }
        let names: BTreeSet<String> = snapshot
            .replicas
            .iter()
            .map(|it| it.id.trim_start_matches("replica-").replace('-', "").chars().take(12).collect())
            .collect();
        let is_elsewhere = |it: &&Process| it.folder.as_ref().is_some_and(|folder| !names.contains(folder));
        if let Some(it) = snapshot.processes.iter().find(is_elsewhere) {
            return Some(format!("process {} stands in {:?}, which belongs to no row", it.pid, it.folder));
        }
        let others: Vec<&String> = snapshot.folders.iter().filter(|it| !names.contains(*it)).collect();
        if !others.is_empty() || snapshot.folders.len() != names.len() {
            return Some(format!("folders {others:?} belong to no row"));
        }
        let held: i64 = snapshot.replicas.iter().map(|it| it.n_devices).sum();
        (held != snapshot.devices_held)
            .then(|| format!("{} devices are held by nobody", snapshot.devices_held - held))
    }

    /// Where the list that clients get is not the ledger's.
    fn unlisted(&self, plane: &Plane) -> Vec<Finding> {
        let Reply::Answer(200, body) = plane.client().get("/endpoints") else {
            return vec![(Wrong::Stuck, "the list was not answered".to_owned())];
        };
        let listed: BTreeSet<&str> =
            body["data"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect();
        let wanted: BTreeSet<&str> = self
            .ledger
            .entries()
            .iter()
            .filter(|it| self.ledger.wish(&it.tag) != Wish::Gone)
            .filter_map(|it| it.id.as_deref())
            .collect();
        let wrong = listed.symmetric_difference(&wanted);
        wrong.map(|it| (Wrong::Lost, format!("{it} is listed and gone, or there and not listed"))).collect()
    }

    /// After everything was deleted: nothing is left of any of it.
    pub(crate) fn until_empty(&mut self, plane: &mut Plane) -> Vec<Finding> {
        let snapshot = match self.until_settled(plane) {
            Ok(snapshot) => snapshot,
            Err(found) => return found,
        };
        let mut found = Vec::new();
        if self.ledger.entries().iter().any(|it| self.ledger.wish(&it.tag) != Wish::Gone) {
            found.push((Wrong::Lost, "an endpoint is left after its deletion".to_owned()));
        }
        for it in &snapshot.processes {
            found.push((Wrong::Orphan, format!("process {} is left", it.pid)));
        }
        if snapshot.devices_held > 0 {
            found.push((Wrong::Leftover, format!("{} devices are still held", snapshot.devices_held)));
        }
        found.extend(groups(plane).into_iter().map(|it| (Wrong::Leftover, format!("control group {it}"))));
        found
    }
}

fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|it| it.parse().ok()).collect()
}

/// Control groups of this installation, wherever this process may make any.
fn groups(plane: &Plane) -> Vec<String> {
    let text = std::fs::read_to_string(plane.data().join("run/installation")).unwrap_or_default();
    let name = format!("dedi-{}", text.trim().trim_matches('"').get(..8).unwrap_or("?"));
    let mut found = Vec::new();
    let mut folders = vec![(std::path::PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|it| it.file_type().is_ok_and(|it| it.is_dir())) {
            if entry.file_name().to_str() == Some(&name) {
                let below = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
                let below = below.filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
                found.extend(below.map(|it| it.path().display().to_string()));
            } else if depth < 6 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    found
}
