//! The supervisor of one replica: a small process that outlives the server. It starts the engine, owns its
//! output, ends it when asked, and writes down how it ended.
//!
//! Promises: at most one engine for a folder, ever; when `exit.json` is there, no process of the replica
//! is; the engine's pipe is never blocked. Absent on purpose: an async runtime, a network, and any
//! need for the server to be alive. One thread, but for the moment in which the engine is started.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use dedi_domain::{Exit, FailureCause};
use dedi_failpoint as failpoint;
use dedi_replica_logs::LogFile;
use rustix::fs::{FlockOperation, Mode};
use rustix::process::{Resource, Rlimit};

use crate::cgroup::{Groups, Hierarchies, Limits};
use crate::identity::{Life, ProcessId};
use crate::records::{ReplicaDir, ShimRecord};
use crate::signals::Signals;
use crate::start::start;
use crate::{cgroup, clock, disk, supervise};

/// Descriptors that a process of a replica may have open: drivers of many devices need thousands.
const DESCRIPTORS_MAX: u64 = 65_536;

/// Longest file that a process of a replica may write, in bytes: its log and what it keeps in its folder are far
/// below, one that writes without end is stopped.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// Runs the shim of a replica's folder until the replica is over. The program's `main` calls this before it
/// does anything else.
pub fn main(dir: &Path) -> ExitCode {
    match run(&ReplicaDir::at(dir.to_owned())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Nobody reads it when the server started us; a person who tries it by hand does.
            let _unheard = writeln!(io::stderr(), "dedi shim: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &ReplicaDir) -> io::Result<()> {
    confine_self()?;
    let signals = Signals::listen()?;
    // Held until the process ends, however it ends.
    let Some(_lock) = take(dir)? else { return Ok(()) };
    let Some(record) = dir.launch()? else { return Ok(()) };

    let (host, name) = (Hierarchies::discover(), dir.name());
    let family = cgroup::family(&record.installation);
    let own_pid = i32::try_from(std::process::id()).unwrap_or(0);
    let shim = ProcessId::of(own_pid)?.ok_or_else(|| io::Error::other("own start time is unknown"))?;
    let mut who = ShimRecord {
        life: Life::now()?,
        nonce: record.launch.nonce,
        shim,
        engine: None,
        cgroups: host.groups(&family, &name),
        isolation: None,
    };
    // Without it, an end on a full disk would be known as a loss only.
    let reserved = dir.reserve();
    // On disk before the engine or its groups exist: whoever finds it knows that this launch has been used up,
    // and where to look for what is left of it.
    failpoint::hit("shim.before", "record");
    dir.write_shim(&who)?;
    failpoint::hit("shim.after", "record");
    let limits = Limits { memory_bytes: record.launch.memory_limit_bytes, pids: record.pids_max };
    let mut groups = Groups::create(&host, &family, &name, limits);
    failpoint::hit("shim.after", "groups");

    let mut log = LogFile::open(&record.log, record.log_bytes_max, record.log_files);
    if let Err(err) = reserved {
        log.note(&format!("room for the record of its end could not be reserved: {err}"));
    }
    groups.enter();
    failpoint::hit("shim.before", "engine");
    let started = start(dir, &record, &mut log);
    failpoint::hit("shim.after", "engine");
    groups.leave();
    let exit = match started {
        Ok(started) => {
            let pid = started.pid();
            // First in line when the host runs out of memory, before the server and the shims.
            let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "500");
            if let Some(most) = record.disk_bytes_max {
                disk::limit_files(pid, most);
            }
            who.engine = ProcessId::of(pid).ok().flatten();
            who.isolation = Some(started.isolation);
            failpoint::hit("shim.before", "engine-record");
            let recorded = dir.write_shim(&who);
            failpoint::hit("shim.after", "engine-record");
            if let Err(err) = recorded {
                log.note(&format!("the record of the engine's pid could not be written: {err}"));
            }
            supervise::Supervisor::new(dir, &record, groups.clone(), started, signals, log).run()
        }
        Err(err) => {
            log.note(&err.to_string());
            Exit {
                code: None,
                signal: None,
                cause: FailureCause::SpawnFailed,
                at: clock::now(),
                log_tail: log.into_tail(),
            }
        }
    };
    failpoint::hit("shim.after", "end");
    groups.remove();
    let _ = fs::remove_file(dir.socket());
    failpoint::hit("shim.before", "exit");
    let written = dir.write_exit(&exit).or_else(|_| {
        // A disk that is almost full may still take the short form.
        dir.write_exit(&Exit { log_tail: Vec::new(), ..exit })
    });
    failpoint::hit("shim.after", "exit");
    written
}

/// What every process of the replica inherits.
fn confine_self() -> io::Result<()> {
    // Fails only for a process that leads a group, as when started by hand from a terminal.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    limit(Resource::Nofile, DESCRIPTORS_MAX)?;
    limit(Resource::Fsize, FILE_BYTES_MAX)?;
    rustix::thread::set_no_new_privs(true)?;
    // Processes whose parent died become our children, so that none is lost from sight.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Sockets or pipes that the server was started with are nothing to us or to the engine.
    close_fds::set_fds_cloexec(3, &[]);
    Ok(())
}

/// Lowers a limit to this, and leaves one that is lower.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(most, |it| it.min(most));
    rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(Into::into)
}

/// Takes the folder; `None` if this launch is another shim's, is over, or is not wanted any more.
fn take(dir: &ReplicaDir) -> io::Result<Option<fs::File>> {
    let lock = match OpenOptions::new().read(true).write(true).open(dir.lock()) {
        Ok(lock) => lock,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(None),
        Err(err) => return Err(err.into()),
    }
    // Looked at only now: what is written from here on is written by somebody who sees the lock.
    let is_same_file = fs::metadata(dir.lock())
        .is_ok_and(|it| lock.metadata().is_ok_and(|own| own.ino() == it.ino() && own.dev() == it.dev()));
    let is_unused = !dir.has_shim()? && !dir.has_exit()?;
    let is_wanted = !dir.is_asked_to_stop()? && !dir.is_to_be_removed()?;
    Ok((is_same_file && is_unused && is_wanted).then_some(lock))
}
