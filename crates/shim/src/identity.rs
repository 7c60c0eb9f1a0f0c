//! Who a process is: boot, pid and start time together. Promises that nothing is signalled that was not
//! checked first, and that "I could not look" is never taken for "it is gone".

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use serde::{Deserialize, Serialize};

/// One process of this boot. Two processes with one pid differ in their start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number, as long as it runs.
    pub pid: i32,
    /// Clock ticks after boot, as `/proc/<pid>/stat` says.
    pub start_time: u64,
}

/// What `/proc/<pid>/stat` says, as far as we use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub state: char,
    pub parent: i32,
    pub n_threads: u32,
    pub start_time: u64,
}

impl Stat {
    /// A zombie holds nothing but its pid and its exit status. The state is the first thread's: as long as other
    /// threads are left, so is all that the process holds, its devices' memory above all.
    pub(crate) fn is_running(self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x') || self.n_threads > 1
    }
}

/// The kernel's id of this boot; pids and start times mean nothing in another one.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Among which processes a pid means something: those of one boot and one PID namespace. A container that is stopped and
/// started has a new namespace in the same boot, and nothing of the old one runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The boot.
    pub boot_id: String,
    /// The namespace, and since when it has its first process: the kernel may use a number again. `None` in records of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_space: Option<String>,
}

impl Life {
    /// This process's.
    ///
    /// # Errors
    ///
    /// If the boot is unknown. A namespace that is unknown counts as the same as every other.
    pub fn now() -> io::Result<Self> {
        Ok(Self { boot_id: boot_id()?, pid_space: pid_space() })
    }

    /// Whether what ran in this one may run in that one.
    pub fn is(&self, other: &Self) -> bool {
        let may_be = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.boot_id == other.boot_id && may_be(&self.pid_space, &other.pid_space)
    }

    /// Whether it is another namespace of the same boot, whose processes can't be seen and may run.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.boot_id == other.boot_id && !self.is(other)
    }
}

fn pid_space() -> Option<String> {
    let name = fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
    if name == FIRST_NAMESPACE {
        return Some(name);
    }
    let first = stat(1).ok().flatten()?;
    Some(format!("{name} since {}", first.start_time))
}

/// The kernel's own number for the PID namespace that a host begins with, the same on all hosts
/// (`PROC_PID_INIT_INO`).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// `None` if there is no such process; an error if that could not be found out.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => parse_stat(&text)
            .map(Some)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("/proc/{pid}/stat is unreadable"))),
        Err(err) if is_gone(&err) => Ok(None),
        Err(err) => Err(err),
    }
}

/// The command's name may hold anything, `)` too: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let n_threads = fields.nth(15)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, parent, n_threads, start_time })
}

/// Whether the error says that the process (or file) does not exist, rather than that we could not look.
pub(crate) fn is_gone(err: &io::Error) -> bool {
    err.kind() == ErrorKind::NotFound || err.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        Ok(stat(pid)?.filter(|it| it.is_running()).map(|it| Self { pid, start_time: it.start_time }))
    }

    /// Whether it still runs. A zombie does not.
    pub fn is_alive(self) -> io::Result<bool> {
        Ok(Self::of(self.pid)? == Some(self))
    }

    /// A handle that can only ever mean this process; `None` if it is gone.
    pub fn hold(self) -> io::Result<Option<Held>> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 1) else { return Ok(None) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(err) => return Err(err.into()),
        };
        // Checked after the handle exists: from here on the pid cannot be given to another process
        // without the handle noticing.
        Ok(self.is_alive()?.then_some(Held { fd }))
    }
}

/// A verified process, held so that a signal cannot reach another one.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
}

impl Held {
    /// Sends it; a process that is gone is a success.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// The handle itself: readable once the process has ended.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

/// Whether it is certain that nothing runs under this pid. A process of another pid namespace can't be seen from
/// here, nor can others' where `/proc` hides them: neither is known to be gone.
pub fn is_certainly_gone(pid: i32) -> bool {
    match stat(pid) {
        Ok(Some(stat)) => !stat.is_running(),
        Ok(None) => {
            sees_all_pids() && Pid::from_raw(pid).is_some_and(|it| test_kill_process(it) == Err(Errno::SRCH))
        }
        Err(_) => false,
    }
}

/// Whether this process is in the pid namespace that the host began with, in which all processes have a pid.
pub fn sees_all_pids() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|it| it.as_os_str() == FIRST_NAMESPACE)
}

/// All pids there are now.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|it| it.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Children of a process, zombies included.
pub(crate) fn children(parent: i32) -> io::Result<Vec<i32>> {
    match fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        Ok(text) => Ok(text.split_ascii_whitespace().filter_map(|it| it.parse().ok()).collect()),
        // Absent on kernels built without it; then everybody is asked for their parent.
        Err(err) if is_gone(&err) => {
            let mut found = Vec::new();
            for pid in pids()? {
                if stat(pid)?.is_some_and(|it| it.parent == parent) {
                    found.push(pid);
                }
            }
            Ok(found)
        }
        Err(err) => Err(err),
    }
}

/// A running process and everything below it. Empty if it is gone.
pub fn family(root: ProcessId) -> io::Result<Vec<ProcessId>> {
    let mut found: Vec<ProcessId> = Vec::new();
    found.extend(root.is_alive()?.then_some(root));
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        for pid in children_of_all_threads(parent.pid)? {
            // Its start time is read with its parent: a pid that changed hands since is nobody's child here.
            let child = stat(pid)?.filter(|it| it.parent == parent.pid && it.is_running());
            found.extend(child.map(|it| ProcessId { pid, start_time: it.start_time }));
        }
    }
    Ok(found)
}

fn children_of_all_threads(pid: i32) -> io::Result<Vec<i32>> {
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(err) if is_gone(&err) => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("children")) else { continue };
        found.extend(text.split_ascii_whitespace().filter_map(|it| it.parse::<i32>().ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1 1";
        let stat = Stat { state: 'S', parent: 1, n_threads: 1, start_time: 4242 };
        assert_eq!(parse_stat(text), Some(stat));
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_runs_until_its_last_one_has() {
        let text = "7 (a) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 4242 1 1 1";
        let stat = parse_stat(text).unwrap();
        assert!(stat.is_running());
        assert!(!Stat { n_threads: 1, ..stat }.is_running());
    }

    #[test]
    fn a_new_namespace_or_boot_is_another_life_and_an_old_record_is_not() {
        let life = |boot: &str, space: Option<&str>| Life {
            boot_id: boot.to_owned(),
            pid_space: space.map(str::to_owned),
        };
        let now = life("a", Some("pid:[2] since 9"));
        assert!(now.is(&now) && !now.is_beside(&now));
        assert!(life("a", None).is(&now), "written by an older version");
        let restarted = life("a", Some("pid:[2] since 4"));
        assert!(!restarted.is(&now) && restarted.is_beside(&now), "the number was used again");
        let before = life("b", Some("pid:[2] since 9"));
        assert!(!before.is(&now) && !before.is_beside(&now));
        assert!(Life::now().unwrap().is(&Life::now().unwrap()));
    }

    #[test]
    fn a_process_with_another_start_time_is_another_process() {
        let me = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        assert!(me.is_alive().unwrap() && me.hold().unwrap().is_some());
        let other = ProcessId { start_time: me.start_time + 1, ..me };
        assert!(!other.is_alive().unwrap() && other.hold().unwrap().is_none());
    }
}
