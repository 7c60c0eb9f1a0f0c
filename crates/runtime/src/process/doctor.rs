//! What this host can and can't do for replicas, in sentences for `dedi doctor`.

use std::fs;

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
    /// What of the next level the kernel offers.
    pub kernel: Kernel,
}

/// Means of the kernel to confine a process that has no rights of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Rules of which files a process may reach.
    pub landlock: bool,
    /// Filters of system calls.
    pub seccomp: bool,
    /// Namespaces without root.
    pub user_namespaces: bool,
}

impl Kernel {
    fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            landlock: read("/sys/kernel/security/lsm").split(',').any(|it| it.trim() == "landlock"),
            seccomp: read("/proc/sys/kernel/seccomp/actions_avail").contains("errno"),
            user_namespaces: read("/proc/sys/user/max_user_namespaces")
                .trim()
                .parse::<u64>()
                .is_ok_and(|it| it > 0),
        }
    }

    fn means(self) -> [(&'static str, bool); 3] {
        [
            ("Landlock", self.landlock),
            ("a filter of system calls", self.seccomp),
            ("user namespaces", self.user_namespaces),
        ]
    }
}

impl Isolation {
    /// The level that every replica has on this host, of those that docs/architecture.md lists. Nothing beyond
    /// 0 is set up by this version, whatever the kernel offers.
    pub fn level(&self) -> u8 {
        0
    }

    /// What that level is made of, and what of a control group is there besides, in one sentence.
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
        format!(
            "level {}: a replica has a cleared environment, a session and a folder of its own, no new privileges \
             and no open files of the server; it is {kill}; {limits}",
            self.level()
        )
    }

    /// What is missing for the next level.
    pub fn next_level(&self) -> String {
        let list = |offered: bool| {
            let means = self.kernel.means();
            means.into_iter().filter(|it| it.1 == offered).map(|it| it.0).collect::<Vec<_>>().join(", ")
        };
        let (offered, lacking) = (list(true), list(false));
        let host = match (offered.is_empty(), lacking.is_empty()) {
            (_, true) => "this kernel offers them all".to_owned(),
            (true, false) => "this kernel offers none of them".to_owned(),
            (false, false) => format!("this kernel offers {offered} and lacks {lacking}"),
        };
        format!(
            "level {} needs Landlock, a filter of system calls and namespaces around the engine, which this version \
             does not set up; {host}. Until then an engine can read what the server's user can read, and reach \
             the network: run engines that you trust, or dedi as a user of its own",
            self.level() + 1
        )
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
        kernel: Kernel::look(),
    };
    groups.remove();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_name_the_level_and_what_the_next_one_lacks() {
        let mut it = Isolation {
            kills_whole_group: false,
            limits_memory: true,
            limits_processes: false,
            kernel: Kernel { landlock: false, seccomp: true, user_namespaces: true },
        };
        let said = it.sentence();
        assert!(said.starts_with("level 0: ") && said.contains("its number of processes is not"), "{said}");
        let next = it.next_level();
        assert!(next.starts_with("level 1 needs Landlock, "), "{next}");
        assert!(
            next.contains("offers a filter of system calls, user namespaces and lacks Landlock"),
            "{next}"
        );
        assert!(it.advice().is_some_and(|it| it.contains("Delegate=yes")));
        it.kernel.landlock = true;
        assert!(it.next_level().contains("offers them all"));
    }
}
