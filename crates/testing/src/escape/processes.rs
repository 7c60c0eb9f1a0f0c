//! Other processes: signals, memory, what `/proc` shows of them.

use std::fs::{self, File, OpenOptions};
use std::io;

use dedi_testing::EscapeTargets;

use super::Report;
use super::calls::call;

/// Attaches without stopping; over when the thread that did it ends.
const PTRACE_SEIZE: libc::c_long = 0x4206;

pub(super) fn attempt(targets: &EscapeTargets, report: &mut Report) {
    let supervisor = std::os::unix::process::parent_id().cast_signed();
    let own = ("the replica's own supervisor".to_owned(), supervisor);
    for (name, pid) in targets.processes.iter().map(|it| (it.0.clone(), *it.1)).chain([own]) {
        let pid_word = libc::c_long::from(pid);
        report.note(format!("signal {name}"), call(libc::SYS_kill, [pid_word, 0, 0, 0, 0, 0]));
        report.note(format!("read the environment of {name}"), fs::read(format!("/proc/{pid}/environ")));
        report.note(format!("open the memory of {name}"), File::open(format!("/proc/{pid}/mem")));
        report.note(format!("write the memory of {name}"), write_memory(pid));
        report.note(format!("look at the open files of {name}"), fs::read_link(format!("/proc/{pid}/fd/0")));
        report.note(format!("reach the files of {name}"), fs::read_dir(format!("/proc/{pid}/cwd/")));
        report.note(format!("read from {name}"), call(libc::SYS_process_vm_readv, [pid_word, 0, 0, 0, 0, 0]));
        report.note(format!("write to {name}"), call(libc::SYS_process_vm_writev, [pid_word, 0, 0, 0, 0, 0]));
        report.note(
            format!("look at the limits of {name}"),
            call(libc::SYS_prlimit64, [pid_word, 0, 0, 0, 0, 0]),
        );
        report.note(format!("take a file of {name}"), take_file(pid_word));
        report.note(format!("trace {name}"), trace(pid_word));
    }
    let limits = call(libc::SYS_prlimit64, [0; 6]);
    report.note("own: look at the own limits", limits);
    let own = libc::c_long::from(std::process::id());
    report.note("own: signal itself", call(libc::SYS_kill, [own, 0, 0, 0, 0, 0]));
}

fn write_memory(pid: i32) -> io::Result<File> {
    OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"))
}

/// A process's standard input.
fn take_file(pid: libc::c_long) -> io::Result<()> {
    let held = call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0])?;
    call(libc::SYS_pidfd_getfd, [held, 0, 0, 0, 0, 0]).map(drop)
}

fn trace(pid: libc::c_long) -> io::Result<()> {
    let traced = std::thread::spawn(move || call(libc::SYS_ptrace, [PTRACE_SEIZE, pid, 0, 0, 0, 0]));
    traced.join().unwrap_or_else(|_panic| Err(io::ErrorKind::Other.into())).map(drop)
}
