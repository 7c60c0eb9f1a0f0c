//! TCP ports of this host for engines that listen on none but TCP. A port is a launch's from before it is started until
//! its folder goes.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use dedi_domain::Nonce;
use dedi_shim::identity::ProcessId;
use dedi_shim::records::ReplicaDir;

/// Below the ports that the kernel gives to outgoing connections by default.
const FIRST: u16 = 23_000;
const COUNT: u16 = 9_000;

/// The kernel's number of a socket that listens.
const LISTENING: &str = "0A";

/// A port that no record in the run folder names and on which nobody listens now. Each launch begins to look somewhere
/// else, so that one whose port was taken meanwhile gets another at its next try.
pub(super) fn choose(run: &Path, nonce: Nonce) -> io::Result<u16> {
    let mut taken = Vec::new();
    for dir in ReplicaDir::all(run)? {
        // One that can't be read is told by the look; its port shows by whoever listens there.
        taken.extend(dir.launch().ok().flatten().and_then(|it| it.port));
    }
    let begin = u16::try_from(nonce.uuid().as_u128() % u128::from(COUNT)).unwrap_or(0);
    let ports = (0..COUNT).map(|n| FIRST + (begin + n) % COUNT);
    ports
        .filter(|it| !taken.contains(it))
        .find(|it| TcpListener::bind((Ipv4Addr::LOCALHOST, *it)).is_ok())
        .ok_or_else(|| {
            let last = FIRST + COUNT - 1;
            io::Error::other(format!("no port of {FIRST} to {last} is free on 127.0.0.1"))
        })
}

/// Whether one of these processes is who listens on that port of this host.
pub(super) fn is_of(port: u16, family: &[ProcessId]) -> io::Result<bool> {
    let sockets = fs::read_to_string("/proc/net/tcp")?;
    let listening: Vec<String> =
        sockets.lines().filter_map(|it| listener(it, port)).map(|it| format!("socket:[{it}]")).collect();
    for process in family {
        let open = match fs::read_dir(format!("/proc/{}/fd", process.pid)) {
            Ok(open) => open,
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(err),
        };
        for entry in open.flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            if listening.iter().any(|it| target.as_os_str() == it.as_str()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The inode of the socket that a line of `/proc/net/tcp` is about, if it listens on that port.
fn listener(line: &str, port: u16) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, own) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(own, 16) == Ok(port) && *fields.get(3)? == LISTENING;
    is_it.then(|| fields.get(9).copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_that_somebody_listens_on_is_not_chosen_and_whose_it_is_is_known() {
        let run = tempfile::tempdir().unwrap();
        let nonce = Nonce::from_uuid(uuid::Uuid::from_u128(u128::from(std::process::id())));
        let first = choose(run.path(), nonce).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_ne!(choose(run.path(), nonce).unwrap(), first);
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        assert!(is_of(first, &[own]).unwrap());
        assert!(!is_of(first, &[]).unwrap());
        drop(listener);
        assert!(!is_of(first, &[own]).unwrap());
    }
}
