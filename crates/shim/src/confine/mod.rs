//! Isolation level 1: what an engine may reach and ask of the kernel, set up around it when it is started.
//!
//! Promises: all of it or nothing; what was set up is never taken back, and everything the engine starts has
//! it too. Absent on purpose: namespaces (docs/decisions/0007-isolation.md says why), code between fork and
//! exec, and `unsafe`.

mod calls;
mod files;

use std::path::PathBuf;
use std::thread;

use landlock::{LandlockStatus, RestrictionStatus, RulesetStatus};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

/// Landlock's version from which on signals stay among the engine's own processes (Linux 6.12).
const SIGNALS_SINCE: i32 = 6;

/// Landlock's version from which on a process is held to certain TCP ports (Linux 6.7).
const PORTS_SINCE: i32 = 4;

/// Stack of the thread that goes behind the rules and starts the engine.
const STACK_BYTES: usize = 256 << 10;

/// What one engine may reach besides what every program needs; decided by the server, kept in the launch record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confinement {
    /// The replica is not started without it.
    pub is_required: bool,
    /// Files and folders to read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders to write.
    pub write: Vec<PathBuf>,
    /// It runs on GPUs: their drivers' files are there for it.
    pub has_gpus: bool,
    /// The one TCP port that it may listen on.
    pub tcp_port: Option<u16>,
    /// Its processes share memory in `/dev/shm`, where other programs of this user do, too.
    pub shares_memory: bool,
}

/// Level 1 is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// Landlock's version in this kernel.
    pub landlock: i32,
}

impl Confined {
    /// Whether other processes of the engine's user are out of reach of its signals.
    pub fn keeps_signals(self) -> bool {
        self.landlock >= SIGNALS_SINCE
    }
}

/// What this kernel lacks for level 1, in a clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lacking(String);

impl From<&str> for Lacking {
    fn from(clause: &str) -> Self {
        Self(clause.to_owned())
    }
}

impl Confinement {
    /// Does `work` behind the rules: what it starts has them from its first instruction. `work` is not done
    /// if they can't be set up.
    ///
    /// The rules bind a thread and what comes of it, not the process. So a thread that ends right after `work` is
    /// enough: this process keeps its rights, and nothing has to run between fork and exec.
    pub fn behind<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<(T, Confined), Lacking> {
        thread::scope(|scope| {
            let confined = || self.enter().map(|confined| (work(), confined));
            match thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, confined) {
                Ok(thread) => thread.join().unwrap_or_else(|_panic| Err("its setting up ended early".into())),
                Err(err) => Err(lacking("a thread to set it up in", err)),
            }
        })
    }

    /// For this thread, and for good.
    fn enter(&self) -> Result<Confined, Lacking> {
        let filters = calls::filters(self.tcp_port.is_some())
            .map_err(|err| lacking("a filter of system calls", err))?;
        let rules = files::rules(self).map_err(|err| lacking("Landlock", err))?;
        let landlock = version(&rules.restrict_self().map_err(|err| lacking("Landlock", err))?)?;
        if self.tcp_port.is_some() && landlock < PORTS_SINCE {
            return Err("this kernel can't hold an engine to one TCP port (Linux 6.7 can)".into());
        }
        drop_capabilities().map_err(|err| lacking("a way to give up capabilities", err))?;
        for filter in &filters {
            seccompiler::apply_filter(filter).map_err(|err| lacking("a filter of system calls", err))?;
        }
        Ok(Confined { landlock })
    }
}

/// What level 1 is on this host: tried out, by a thread that ends at once.
pub fn tried_out() -> Result<Confined, Lacking> {
    Confinement::default().behind(|| ()).map(|((), confined)| confined)
}

fn version(status: &RestrictionStatus) -> Result<i32, Lacking> {
    let lacks = |why: &str| Err(Lacking(format!("this kernel has no Landlock: {why}")));
    match (status.landlock, &status.ruleset) {
        (LandlockStatus::NotEnabled, _) => {
            lacks("it is not in the list that the boot parameter `lsm=` gives")
        }
        (LandlockStatus::NotImplemented, _) => lacks("it is older than 5.13 or was built without it"),
        (LandlockStatus::Available { .. }, RulesetStatus::NotEnforced) => lacks("its rules are not in force"),
        (
            LandlockStatus::Available { effective_abi, kernel_abi },
            RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced,
        ) => Ok(kernel_abi.unwrap_or(effective_abi as i32)),
    }
}

/// A server that runs as root has engines that do. Of root's rights they keep the one to read files whoever owns
/// them, as far as the rules let them reach any: models may belong to a user.
fn drop_capabilities() -> rustix::io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::DAC_READ_SEARCH;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

fn lacking(what: &str, err: impl std::error::Error) -> Lacking {
    Lacking(format!("this host does not give {what}: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_rules_hold_for_the_thread_behind_them_and_for_no_other() {
        if !dedi_testing::host::has(tried_out().is_ok(), "Landlock and a filter of system calls") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "x").unwrap();
        let (inside, confined) = Confinement::default().behind(|| fs::read(&file)).unwrap();
        assert_eq!(inside.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        assert!(confined.landlock >= 1);
        assert_eq!(fs::read(&file).unwrap(), b"x");
        let allowed = Confinement { read: vec![file.clone()], ..Confinement::default() };
        assert_eq!(allowed.behind(|| fs::read(&file)).unwrap().0.unwrap(), b"x");
    }

    #[test]
    fn engine_on_tcp_listens_on_its_port_and_does_nothing_else_with_the_network() {
        use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
        let has_ports = tried_out().is_ok_and(|it| it.landlock >= PORTS_SINCE);
        if !dedi_testing::host::has(has_ports, "Landlock with rules for TCP ports") {
            return;
        }
        let here = |port| (Ipv4Addr::LOCALHOST, port);
        let others = TcpListener::bind(here(0)).unwrap();
        // Free a moment ago.
        let own = TcpListener::bind(here(0)).unwrap().local_addr().unwrap().port();
        let work = || {
            let listens = TcpListener::bind(here(own)).is_ok();
            let elsewhere = [0, own ^ 1].map(|port| TcpListener::bind(here(port)).is_ok());
            let connects = TcpStream::connect(others.local_addr().unwrap()).is_ok();
            let sends = UdpSocket::bind(here(0)).is_ok();
            let tcp =
                rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
            let opens_fast = tcp.map_err(std::io::Error::from).and_then(|socket| {
                let flags = rustix::net::SendFlags::from_bits_retain(libc::MSG_FASTOPEN.unsigned_abs());
                Ok(rustix::net::sendto(&socket, b"x", flags, &others.local_addr()?)?)
            });
            let multipath = rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                Some(rustix::net::ipproto::MPTCP),
            );
            (listens, elsewhere, connects, sends, opens_fast.is_ok(), multipath.is_ok())
        };
        let confined = Confinement { tcp_port: Some(own), ..Confinement::default() };
        let (done, _) = confined.behind(work).unwrap();
        assert_eq!(done, (true, [false, false], false, false, false, false));
        let (done, _) = Confinement::default().behind(work).unwrap();
        assert_eq!(done, (false, [false, false], false, false, false, false));
    }

    #[test]
    fn root_gives_up_its_rights_behind_them() {
        if !dedi_testing::host::has(tried_out().is_ok(), "Landlock and a filter of system calls") {
            return;
        }
        let status = || fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |text: &str| text.lines().find(|it| it.starts_with("CapEff:")).unwrap().to_owned();
        let (inside, _) = Confinement::default().behind(status).unwrap();
        let rights = u64::from_str_radix(line(&inside)["CapEff:".len()..].trim(), 16).unwrap();
        assert_eq!(rights & !CapabilitySet::DAC_READ_SEARCH.bits(), 0, "{rights:x}");
        assert!(inside.contains("Seccomp:\t2"), "{inside}");
    }
}
