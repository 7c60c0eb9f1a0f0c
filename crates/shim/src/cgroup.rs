//! Control groups of a replica, where the host lets us have any: one to kill everything in it at once, and
//! limits of memory and processes. All of it is optional; what can't be had is left out and said so.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The group above those of an installation's replicas.
pub fn family(installation: &str) -> String {
    format!("dedi-{}", installation.get(..8).unwrap_or("x"))
}

/// Where below the host's hierarchies this process may make groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 2: our own group in the unified hierarchy.
    unified: Option<PathBuf>,
    /// Version 1: our own group in the memory hierarchy.
    memory: Option<PathBuf>,
    /// Version 1: our own group in the pids hierarchy.
    pids: Option<PathBuf>,
}

impl Hierarchies {
    /// Those of this process.
    pub fn discover() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    /// Where the groups of a replica would be, whether or not they can be made.
    pub fn groups(&self, family: &str, name: &str) -> Vec<PathBuf> {
        let all = [&self.unified, &self.memory, &self.pids];
        all.into_iter().flatten().map(|it| it.join(family).join(name)).collect()
    }

    fn parse(mountinfo: &str, memberships: &str) -> Self {
        let own = |controller: &str| {
            memberships.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                controllers.split(',').any(|it| it == controller).then_some(path)
            })
        };
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, kind)) = line.split_once(" - ") else { continue };
            let fields: Vec<&str> = mount.split(' ').collect();
            let (Some(root), Some(point)) = (fields.get(3), fields.get(4)) else { continue };
            let group_of = |controller| {
                let below = Path::new(own(controller)?).strip_prefix(root).ok()?;
                Some(Path::new(point).join(below))
            };
            let mut words = kind.split(' ');
            match (words.next(), words.nth(1)) {
                (Some("cgroup2"), _) => found.unified = found.unified.or_else(|| group_of("")),
                (Some("cgroup"), Some(options)) => {
                    if options.split(',').any(|it| it == "memory") {
                        found.memory = found.memory.or_else(|| group_of("memory"));
                    }
                    if options.split(',').any(|it| it == "pids") {
                        found.pids = found.pids.or_else(|| group_of("pids"));
                    }
                }
                (Some(_) | None, _) => {}
            }
        }
        found
    }
}

/// What a replica may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; `None` for all there are.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
}

/// The groups of one replica; those that could be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Ends everything in it at one word; version 2.
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    /// Groups we came from, and go back to.
    home: Vec<PathBuf>,
    /// The limit of memory is in force.
    pub memory_limited: bool,
    /// The limit of processes is in force.
    pub pids_limited: bool,
}

impl Groups {
    /// Makes them, as many as the host allows, with the limits it can enforce.
    pub fn create(host: &Hierarchies, family: &str, name: &str, limits: Limits) -> Self {
        let mut groups = Self::default();
        if let Some(own) = &host.unified {
            let parent = own.join(family);
            // Succeeds where our own group may hand out controllers; elsewhere the group only kills.
            let _ = fs::create_dir(&parent);
            for group in [own, &parent] {
                for controller in ["+memory", "+pids"] {
                    let _ = write(&group.join("cgroup.subtree_control"), controller);
                }
            }
            groups.unified = make(&parent.join(name));
            if let Some(group) = &groups.unified {
                groups.home.push(own.clone());
                if let Some(bytes) = limits.memory_bytes {
                    groups.memory_limited = write(&group.join("memory.max"), &bytes.to_string()).is_ok();
                    let _ = write(&group.join("memory.swap.max"), "0");
                    let _ = write(&group.join("memory.oom.group"), "1");
                }
                groups.pids_limited = write(&group.join("pids.max"), &limits.pids.to_string()).is_ok();
            }
        }
        if let (Some(own), Some(bytes), false) = (&host.memory, limits.memory_bytes, groups.memory_limited) {
            groups.memory = make(&own.join(family).join(name));
            if let Some(group) = &groups.memory {
                groups.home.push(own.clone());
                groups.memory_limited =
                    write(&group.join("memory.limit_in_bytes"), &bytes.to_string()).is_ok();
                // Absent where swap is not accounted for.
                let _ = write(&group.join("memory.memsw.limit_in_bytes"), &bytes.to_string());
            }
        }
        if let (Some(own), false) = (&host.pids, groups.pids_limited) {
            groups.pids = make(&own.join(family).join(name));
            if let Some(group) = &groups.pids {
                groups.home.push(own.clone());
                groups.pids_limited = write(&group.join("pids.max"), &limits.pids.to_string()).is_ok();
            }
        }
        groups
    }

    /// The groups that a record names, as far as they exist.
    pub fn named(paths: &[PathBuf]) -> Self {
        let mut groups = Self::default();
        for path in paths {
            if path.join("cgroup.kill").exists() {
                groups.unified = Some(path.clone());
            } else if path.join("memory.limit_in_bytes").exists() {
                groups.memory = Some(path.clone());
            } else if path.join("pids.max").exists() {
                groups.pids = Some(path.clone());
            }
        }
        groups
    }

    /// Whether everything in them can be ended at one word.
    pub fn can_kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|it| it.join("cgroup.kill").exists())
    }

    fn each(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.unified, &self.memory, &self.pids].into_iter().flatten()
    }

    /// Moves this process in, so that what it starts is in from its first instruction.
    pub(crate) fn enter(&mut self) {
        let enter = |group: &mut Option<PathBuf>| {
            if group.as_ref().is_some_and(|it| write(&it.join("cgroup.procs"), "0").is_err()) {
                *group = None;
            }
        };
        enter(&mut self.unified);
        enter(&mut self.memory);
        enter(&mut self.pids);
    }

    /// Moves this process back out. A group that can't be left is not used to kill: we are in it.
    pub(crate) fn leave(&mut self) {
        for home in std::mem::take(&mut self.home) {
            let beside = home.join("dedi-shims");
            let is_out = write(&home.join("cgroup.procs"), "0").is_ok()
                || (make(&beside).is_some() && write(&beside.join("cgroup.procs"), "0").is_ok());
            if !is_out && self.unified.as_ref().is_some_and(|it| it.starts_with(&home)) {
                self.unified = None;
            }
        }
    }

    /// Ends every process in the unified group at once, those being forked included.
    pub fn kill(&self) {
        if let Some(group) = &self.unified {
            let _ = write(&group.join("cgroup.kill"), "1");
        }
    }

    /// Processes in any of them, this one excepted. Zombies leave a group when they are reaped.
    pub fn members(&self) -> Vec<i32> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut members: Vec<i32> = self
            .each()
            .filter_map(|it| fs::read_to_string(it.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|it| it.parse().ok()).collect::<Vec<i32>>())
            .filter(|it| *it != own && *it > 1)
            .collect();
        members.sort_unstable();
        members.dedup();
        members
    }

    /// Processes that the kernel killed because the group's memory was used up.
    pub(crate) fn oom_kills(&self) -> u64 {
        let unified = self.unified.as_ref().map_or(0, |it| counter(&it.join("memory.events"), "oom_kill"));
        let memory = self.memory.as_ref().map_or(0, |it| counter(&it.join("memory.oom_control"), "oom_kill"));
        unified + memory
    }

    /// Forks refused because the group was full.
    pub(crate) fn forks_refused(&self) -> u64 {
        [&self.unified, &self.pids]
            .into_iter()
            .flatten()
            .map(|it| counter(&it.join("pids.events"), "max"))
            .sum()
    }

    /// Removes them; a group that still has processes stays.
    pub fn remove(&self) {
        for group in self.each() {
            let _ = fs::remove_dir(group);
            // The parent goes with the last replica.
            if let Some(parent) = group.parent() {
                let _ = fs::remove_dir(parent);
            }
        }
    }
}

/// Makes the group and the one above it. Twice: another replica's end may remove the upper one in between.
fn make(path: &Path) -> Option<PathBuf> {
    (0..2).find_map(|_| {
        if let Some(parent) = path.parent() {
            let _ = fs::create_dir(parent);
        }
        match fs::create_dir(path) {
            Ok(()) => Some(path.to_owned()),
            Err(err) if err.kind() == ErrorKind::AlreadyExists => Some(path.to_owned()),
            Err(_) => None,
        }
    })
}

/// Opened without creating: a control file that does not exist is a limit that can't be had.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn counter(path: &Path, name: &str) -> u64 {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_side_by_side_are_found() {
        let mounts = "24 23 0:21 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n\
            25 24 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            26 24 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(mounts, "4:memory:/a/b\n0::/c\n");
        assert_eq!(found.memory.as_deref(), Some(Path::new("/sys/fs/cgroup/memory/a/b")));
        assert_eq!(found.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/c")));
        assert_eq!(found.pids, None);
    }

    #[test]
    fn a_mount_of_a_part_is_read_relative_to_that_part() {
        let found = Hierarchies::parse(
            "1 2 0:1 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "0::/docker/x/y\n",
        );
        assert_eq!(found.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/y")));
        let outside =
            Hierarchies::parse("1 2 0:1 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/other\n");
        assert_eq!(outside.unified, None);
    }
}
