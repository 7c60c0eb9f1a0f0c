//! The loop that watches one engine from its start to the end of its last process.

use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dedi_domain::engine::StopSignal;
use dedi_domain::{Exit, FailureCause, Timestamp};
use dedi_failpoint as failpoint;
use dedi_replica_logs::LogFile;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::cgroup::Groups;
use crate::classify::{Ending, classify, may_have_lacked};
use crate::clock;
use crate::disk::Disk;
use crate::identity::{self, children};
use crate::records::{LaunchRecord, ReplicaDir};
use crate::signals::Signals;
use crate::start::Started;

/// Bytes taken from the pipe at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks taken before signals and deadlines are looked at again, however fast the engine writes.
const CHUNKS_MAX: usize = 16;

/// Between two looks at processes that were killed and are not gone yet.
const SWEEP_DELAY: Duration = Duration::from_millis(10);

/// Last lines that tell of the cause of an end.
const LINES_LOOKED_AT: usize = 50;

/// What an operator can do if level 1 is too little for an engine.
const ISOLATION_HINT: &str = "isolation level 1 may have refused that: runtime.read_pass and runtime.write_pass let \
     engines reach more files, runtime.isolation = 0 lets them reach everything";

pub(crate) struct Supervisor<'a> {
    dir: &'a ReplicaDir,
    record: &'a LaunchRecord,
    groups: Groups,
    engine: i32,
    output: Option<PipeReader>,
    signals: Signals,
    log: LogFile,
    isolation: u8,
    /// Set when somebody asked us to end: when the grace is over.
    kill_at: Option<Instant>,
    was_killed: bool,
    disk: Option<Disk>,
    chunk: Vec<u8>,
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(
        dir: &'a ReplicaDir,
        record: &'a LaunchRecord,
        groups: Groups,
        started: Started,
        signals: Signals,
        log: LogFile,
    ) -> Self {
        Self {
            dir,
            record,
            groups,
            engine: started.pid(),
            output: Some(started.output),
            signals,
            log,
            isolation: started.isolation,
            kill_at: None,
            was_killed: false,
            disk: record.disk_bytes_max.map(|most| Disk::new(dir.own(), most)),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Returns when no process of the replica is left.
    pub(crate) fn run(mut self) -> Exit {
        // Our own child that nobody else reaps: the pid is its own until we are done with it.
        let held = Pid::from_raw(self.engine)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        while !self.engine_has_ended() {
            self.wait(held.as_ref());
            self.take_output();
            if drain(&self.signals.child) {
                self.reap_adopted();
            }
            if drain(&self.signals.stop) && self.kill_at.is_none() {
                self.begin_stop();
            }
            self.look_at_disk();
            if self.kill_at.is_some_and(|at| Instant::now() >= at) && !self.was_killed {
                self.was_killed = true;
                self.log.note("still running after the grace: killed");
                self.kill_group(Signal::KILL);
                self.groups.kill();
            }
        }
        let (code, signal) = self.engine_status();
        let at = clock::now();
        failpoint::hit("shim.before", "sweep");
        self.sweep();
        self.take_output();
        self.log.finish();
        let was_ready = self.dir.ready().ok().flatten().is_some();
        let ending = Ending {
            code,
            signal,
            oom_kills: self.groups.oom_kills(),
            forks_refused: self.groups.forks_refused(),
            disk_full: self.disk.as_ref().is_some_and(Disk::is_full),
            has_gpus: self.record.launch.devices.iter().any(|it| !it.kind.is_cpu()),
            was_ready,
        };
        let last: Vec<String> = self.log.tail().rev().take(LINES_LOOKED_AT).collect();
        let cause = classify(ending, &self.record.exits, &last);
        let was_asked = self.kill_at.is_some();
        let may_lack = self.isolation > 0 && !was_asked && !was_ready && code != Some(0);
        if may_lack && may_have_lacked(last) {
            self.log.note(ISOLATION_HINT);
        }
        let exit = Exit { code, signal, cause, at, log_tail: self.log.into_tail() };
        if was_asked { stopped(at, exit) } else { exit }
    }

    /// Ends an engine that fills the host's disk; the folder goes with the replica.
    fn look_at_disk(&mut self) {
        let Some(found) = self.disk.as_mut().and_then(|it| it.look(self.engine)) else { return };
        self.log.note(&found);
        self.was_killed = true;
        self.kill_group(Signal::KILL);
        self.groups.kill();
    }

    fn begin_stop(&mut self) {
        // Written before the signal: a shim killed in between leaves the truth behind.
        failpoint::hit("shim.before", "stop-mark");
        if let Err(err) = self.dir.ask_to_stop() {
            self.log.note(&format!("the stop could not be recorded: {err}"));
        }
        failpoint::hit("shim.before", "term");
        self.kill_at = Some(Instant::now() + Duration::from_secs(self.record.stop_grace_secs));
        self.kill_group(match self.record.stop_signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
        });
    }

    /// The group's id is the engine's pid, which cannot be given away while the engine is unreaped.
    fn kill_group(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.engine) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    fn wait(&self, held: Option<&OwnedFd>) {
        let mut timeout = Duration::from_secs(if held.is_some() { 3600 } else { 1 });
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        if let (Some(at), false) = (self.kill_at, self.was_killed) {
            timeout = timeout.min(until(at));
        }
        if let Some(at) = self.disk.as_ref().and_then(Disk::look_at) {
            timeout = timeout.min(until(at));
        }
        let mut fds = vec![
            PollFd::new(&self.signals.stop, PollFlags::IN),
            PollFd::new(&self.signals.child, PollFlags::IN),
        ];
        fds.extend(held.map(|it| PollFd::new(it, PollFlags::IN)));
        fds.extend(self.output.as_ref().map(|it| PollFd::new(it, PollFlags::IN)));
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // Interrupted or refused: the caller looks at everything anyway.
        if poll(&mut fds, Some(&timeout)).is_err_and(|err| err != rustix::io::Errno::INTR) {
            std::thread::sleep(SWEEP_DELAY);
        }
    }

    fn take_output(&mut self) {
        for _ in 0..CHUNKS_MAX {
            let Some(output) = &mut self.output else { return };
            match output.read(&mut self.chunk) {
                Ok(0) => self.output = None,
                Ok(n_bytes) => self.log.write(self.chunk.get(..n_bytes).unwrap_or_default()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.output = None,
            }
        }
    }

    fn engine_has_ended(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.engine) else { return true };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), look) {
            Ok(status) => status.is_some(),
            Err(err) => err != rustix::io::Errno::INTR,
        }
    }

    /// Read without reaping: the zombie keeps the group's id ours until the group is dead.
    fn engine_status(&self) -> (Option<i32>, Option<i32>) {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = Pid::from_raw(self.engine)
            .and_then(|pid| rustix::process::waitid(WaitId::Pid(pid), look).ok().flatten());
        status.map_or((None, None), |it| (it.exit_status(), it.terminating_signal()))
    }

    /// Reaps processes that became ours when their parent died, the engine itself excepted.
    fn reap_adopted(&self) {
        for pid in children(own_pid()).unwrap_or_default() {
            let is_zombie = identity::stat(pid).is_ok_and(|it| it.is_some_and(|it| !it.is_running()));
            if pid != self.engine && is_zombie {
                reap(pid);
            }
        }
    }

    /// Kills and reaps until nothing is left. Deeper processes become our children as their parents die,
    /// and our own children's pids are ours until we reap them.
    fn sweep(&mut self) {
        self.kill_group(Signal::KILL);
        self.groups.kill();
        loop {
            let children = children(own_pid());
            let members = self.groups.members();
            if matches!(&children, Ok(it) if it.is_empty()) && members.is_empty() {
                return;
            }
            for pid in children.unwrap_or_default() {
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
                reap(pid);
            }
            for pid in members {
                let held = identity::ProcessId::of(pid).and_then(|it| it.map_or(Ok(None), |it| it.hold()));
                // Still a member after it is held: then it is that process and no other.
                if let Ok(Some(held)) = held
                    && self.groups.members().contains(&pid)
                {
                    let _ = held.signal(Signal::KILL);
                }
            }
            self.take_output();
            std::thread::sleep(SWEEP_DELAY);
        }
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn reap(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Empties a signal's socket; whether there was anything in it.
fn drain(mut stream: &UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut had_any = false;
    while matches!(stream.read(&mut bytes), Ok(n) if n > 0) {
        had_any = true;
    }
    had_any
}

/// An end that was asked for is no failure, however it went.
fn stopped(at: Timestamp, mut exit: Exit) -> Exit {
    exit.cause = FailureCause::Stopped;
    exit.at = at;
    exit
}
