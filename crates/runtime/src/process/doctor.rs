//! What this host can and can't do for replicas, in sentences for `dedi doctor`.

use super::config::IsolationSetting;
use dedi_runtime_api::Finding;
use dedi_shim::cgroup::{Groups, Hierarchies, Limits};
use dedi_shim::confine::{self, Confined, Lacking};

/// How far a replica is kept apart from the rest of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Everything of a replica can be killed at one word.
    pub kills_whole_group: bool,
    /// A replica's memory limit is enforced.
    pub limits_memory: bool,
    /// A replica's limit of processes is enforced.
    pub limits_processes: bool,
    /// What was asked for.
    setting: IsolationSetting,
    /// Level 1, as it was tried out.
    level_1: Result<Confined, Lacking>,
}

impl Isolation {
    /// The level that every replica gets on this host, of those that docs/architecture.md lists. `None` if what is
    /// asked for can't be had, so that no replica is started.
    pub fn level(&self) -> Option<u8> {
        match (self.setting, &self.level_1) {
            (IsolationSetting::Level0, _) | (IsolationSetting::Auto, Err(_)) => Some(0),
            (IsolationSetting::Auto | IsolationSetting::Level1, Ok(_)) => Some(1),
            (IsolationSetting::Level1, Err(_)) => None,
        }
    }

    /// Whether replicas at level 1 can't send signals to each other and to the server.
    pub fn keeps_signals(&self) -> bool {
        self.level_1.as_ref().is_ok_and(|it| it.keeps_signals())
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
        let level = match self.level() {
            Some(0) => {
                "level 0: a replica has a cleared environment, a session and a folder of its own, no new privileges \
                 and no open files of the server"
            }
            Some(_) => {
                "level 1: besides what level 0 gives, a replica reaches no files but its model, the system's libraries \
                 and its own folder, has no network and none of root's rights, and asks nothing of other processes"
            }
            None => "no level: runtime.isolation = 1 can't be had, so no replica is started",
        };
        format!("{level}; it is {kill}; {limits}")
    }

    /// What is missing for the next level, or why it is not used.
    pub fn next_level(&self) -> String {
        const EXPOSED: &str = "an engine can read what the server's user can read, and reach the network: run engines \
             that you trust, or dedi as a user of its own";
        match (self.setting, &self.level_1) {
            (IsolationSetting::Level0, Ok(_)) => format!(
                "level 1 could be had here and is switched off by runtime.isolation = 0. Until then {EXPOSED}"
            ),
            (_, Err(lacking)) => {
                format!(
                    "level 1 needs Landlock and a filter of system calls: {lacking}. Until then {EXPOSED}"
                )
            }
            (IsolationSetting::Auto | IsolationSetting::Level1, Ok(confined)) => {
                let signals = if confined.keeps_signals() {
                    ""
                } else {
                    "; with this kernel's Landlock, replicas can also send each other and the server signals (Linux \
                     6.12 prevents that)"
                };
                let on_gpus = match self.setting {
                    IsolationSetting::Auto => {
                        "replicas on GPUs stay at level 0 unless runtime.isolation = 1 demands more. "
                    }
                    IsolationSetting::Level0 | IsolationSetting::Level1 => "",
                };
                format!(
                    "{on_gpus}level 2 needs a user for each tenant and control of each device, which this version does \
                     not set up: replicas share the server's user and all GPUs' device files{signals}"
                )
            }
        }
    }

    /// All of that for `dedi doctor`.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let sentence = format!("isolation: {}", self.sentence());
        let level = match self.level() {
            Some(_) => Finding::Good(sentence),
            None => {
                Finding::Bad(sentence, "set runtime.isolation = \"auto\", or use a newer kernel".to_owned())
            }
        };
        let notes = self.advice().map(str::to_owned).into_iter().chain([self.next_level()]);
        [level].into_iter().chain(notes.map(|it| Finding::Note(format!("isolation: {it}")))).collect()
    }

    /// What to do for more, if anything is missing.
    pub fn advice(&self) -> Option<&'static str> {
        let has_all = self.kills_whole_group && self.limits_memory && self.limits_processes;
        (!has_all).then_some(
            "run dedi with a delegated cgroup (systemd: Delegate=yes) or as root for limits that are enforced",
        )
    }
}

/// Tries it out: makes the groups of a replica, and removes them; has a thread give up what an engine would, and
/// ends it.
pub fn isolation_level(setting: IsolationSetting) -> Isolation {
    let name = format!("doctor-{}", std::process::id());
    let limits = Limits { memory_bytes: Some(1 << 30), pids: 64 };
    let groups = Groups::create(&Hierarchies::discover(), "dedi-doctor", &name, limits);
    let found = Isolation {
        kills_whole_group: groups.can_kill(),
        limits_memory: groups.memory_limited,
        limits_processes: groups.pids_limited,
        setting,
        level_1: confine::tried_out(),
    };
    groups.remove();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolation(setting: IsolationSetting, level_1: Result<Confined, Lacking>) -> Isolation {
        Isolation { kills_whole_group: false, limits_memory: true, limits_processes: false, setting, level_1 }
    }

    #[test]
    fn the_sentences_name_the_level_and_what_the_next_one_lacks() {
        let lacking = || Err(Lacking::from("this kernel has no Landlock"));
        let it = isolation(IsolationSetting::Auto, lacking());
        assert!(it.sentence().starts_with("level 0: "), "{}", it.sentence());
        assert!(it.sentence().contains("its number of processes is not"), "{}", it.sentence());
        assert!(it.next_level().contains("this kernel has no Landlock. Until then"), "{}", it.next_level());
        assert!(it.advice().is_some_and(|it| it.contains("Delegate=yes")));
        let it = isolation(IsolationSetting::Level1, lacking());
        assert_eq!(it.level(), None);
        assert!(it.sentence().contains("no replica is started"), "{}", it.sentence());
    }

    #[test]
    fn what_the_kernel_gives_is_the_level_unless_it_is_switched_off() {
        let it = isolation(IsolationSetting::Auto, Ok(Confined { landlock: 7 }));
        assert_eq!(it.level(), Some(1));
        assert!(!it.next_level().contains("signals"), "{}", it.next_level());
        let older = isolation(IsolationSetting::Level1, Ok(Confined { landlock: 2 }));
        assert_eq!(older.level(), Some(1));
        assert!(older.next_level().contains("signals"), "{}", older.next_level());
        let off = isolation(IsolationSetting::Level0, Ok(Confined { landlock: 7 }));
        assert_eq!(off.level(), Some(0));
        assert!(off.next_level().contains("runtime.isolation = 0"), "{}", off.next_level());
    }
}
