//! What tells a replica's processes apart from all others without any file: marks in their environment. They say
//! whose a process is when the replica's folder is gone, shims' too.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};

use dedi_domain::{Nonce, ReplicaId};

use crate::identity::{ProcessId, is_gone, pids};

/// The variable that carries the launch's mark into every process of a replica but the shim; engines echo it.
pub const NONCE_VARIABLE: &str = "DEDI_NONCE";

/// The variable that carries a [`Mark`] into every process of a replica but the shim.
pub const REPLICA_VARIABLE: &str = "DEDI_REPLICA";

/// The variable that carries a [`Mark`] into the shim. Another one, so that its engine does not inherit it.
pub const SHIM_VARIABLE: &str = "DEDI_SHIM";

/// Whose a process is. Processes of a version before this have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The installation that started it.
    pub installation: String,
    /// The replica it belongs to.
    pub replica: ReplicaId,
    /// The launch.
    pub nonce: Nonce,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.installation, self.replica, self.nonce)
    }
}

impl Mark {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let installation = words.next()?.to_owned();
        Some(Self { installation, replica: words.next()?.parse().ok()?, nonce: words.next()?.parse().ok()? })
    }
}

/// A running process with a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The process that carries the mark.
    pub process: ProcessId,
    /// The installation, replica and launch it belongs to.
    pub mark: Mark,
    /// `true` for the shim, `false` for the engine and its children.
    pub is_shim: bool,
}

/// All running processes with a mark of this installation. Other users' processes can't be looked into and are
/// not ours.
pub fn of_installation(installation: &str) -> io::Result<Vec<Marked>> {
    find(|process, environment| {
        let shim = value(environment, SHIM_VARIABLE);
        let mark = Mark::parse(shim.or_else(|| value(environment, REPLICA_VARIABLE))?)?;
        (mark.installation == installation).then(|| Marked { process, mark, is_shim: shim.is_some() })
    })
}

/// Running processes of a launch, the shim excepted. One that another installation has marked is not of it: a copied
/// database may launch anew what its original has launched.
pub fn of_launch(nonce: Nonce, installation: &str) -> io::Result<Vec<ProcessId>> {
    let nonce = nonce.to_string();
    find(|process, environment| {
        let is_of_it = value(environment, NONCE_VARIABLE) == Some(nonce.as_bytes());
        let mark = value(environment, REPLICA_VARIABLE).and_then(Mark::parse);
        (is_of_it && mark.is_none_or(|it| it.installation == installation)).then_some(process)
    })
}

fn value<'a>(environment: &'a [u8], variable: &str) -> Option<&'a [u8]> {
    environment
        .split(|it| *it == 0)
        .find_map(|it| it.strip_prefix(variable.as_bytes())?.strip_prefix(b"=".as_slice()))
}

fn find<T>(of: impl Fn(ProcessId, &[u8]) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for pid in pids()? {
        // The start time is read first: if the pid changes hands in between, it no longer fits.
        let Some(process) = ProcessId::of(pid)? else { continue };
        match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => found.extend(of(process, &environment)),
            Err(err) if is_gone(&err) || err.kind() == ErrorKind::PermissionDenied => {}
            Err(err) => return Err(err),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_own_installation_only() {
        let own = format!("installation-{}", std::process::id());
        let mark = Mark {
            installation: own.clone(),
            replica: "replica-00000000-0000-4000-8000-000000000001".parse().unwrap(),
            nonce: "nonce-00000000-0000-4000-8000-000000000002".parse().unwrap(),
        };
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env(REPLICA_VARIABLE, mark.to_string())
            .env(NONCE_VARIABLE, mark.nonce.to_string())
            .spawn()
            .unwrap();
        let process = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        let all = of_installation(&own).unwrap();
        assert_eq!(all, [Marked { process, mark: mark.clone(), is_shim: false }]);
        assert_eq!(of_launch(mark.nonce, &own).unwrap(), [process]);
        assert_eq!(of_installation("another").unwrap(), []);
        assert_eq!(of_launch(mark.nonce, "another").unwrap(), []);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
