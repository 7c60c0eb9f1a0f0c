//! What this host can and can't do for replicas, in sentences for `dedi doctor`.

use super::cgroup::{Groups, Hierarchies, Limits};

/// How far a replica is kept apart from the rest of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Everything of a replica can be killed at one word.
    pub kills_whole_group: bool,
    /// A replica's memory limit is enforced.
    pub limits_memory: bool,
    /// A replica's limit of processes is enforced.
    pub limits_processes: bool,
}

impl Isolation {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let kill = if self.kills_whole_group {
            "ended as a whole through a control group"
        } else {
            "ended through its process group and by following its children, as no cgroup v2 can be made here"
        };
        let limits = match (self.limits_memory, self.limits_processes) {
            (true, true) => "its memory and number of processes are limited",
            (true, false) => "its memory is limited, its number of processes is not",
            (false, true) => "its number of processes is limited, its memory is not",
            (false, false) => "neither its memory nor its number of processes is limited",
        };
        format!("a replica is {kill}; {limits}")
    }

    /// What to do for more, if anything is missing.
    pub fn advice(&self) -> Option<&'static str> {
        let has_all = self.kills_whole_group && self.limits_memory && self.limits_processes;
        (!has_all).then_some(
            "run dedi with a delegated cgroup (systemd: Delegate=yes) or as root for limits that are enforced",
        )
    }
}

/// Tries it out: makes the groups of a replica, and removes them.
pub fn isolation_level() -> Isolation {
    let name = format!("doctor-{}", std::process::id());
    let limits = Limits { memory_bytes: Some(1 << 30), pids: 64 };
    let groups = Groups::create(&Hierarchies::discover(), "dedi-doctor", &name, limits);
    let found = Isolation {
        kills_whole_group: groups.can_kill(),
        limits_memory: groups.memory_limited,
        limits_processes: groups.pids_limited,
    };
    groups.remove();
    found
}
