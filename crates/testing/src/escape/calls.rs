//! System calls as such: each with arguments that change nothing, should they be permitted.
#![expect(unsafe_code, reason = "raw system calls; none of them is given memory that it could write to")]

use std::io;

use super::Report;

/// Its arguments are numbers or null pointers, or memory that outlives it.
pub(super) fn call(number: libc::c_long, arguments: [libc::c_long; 6]) -> io::Result<libc::c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: callers pass numbers and null pointers only, or pointers to values that they hold on to; the kernel
    // checks both.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}

pub(super) fn attempt(report: &mut Report) {
    const NONE: libc::c_long = 0;
    const WRONG: libc::c_long = -1;
    // Two flags that the kernel does not take together: no process is made.
    let namespace = libc::c_long::from(libc::CLONE_NEWUSER | libc::CLONE_FS);
    let device = libc::c_long::from(libc::S_IFCHR);
    let calls = [
        ("mount", libc::SYS_mount, [NONE; 6]),
        ("unmount", libc::SYS_umount2, [NONE, 0xffff, 0, 0, 0, 0]),
        ("open a tree of mounts", libc::SYS_open_tree, [WRONG, NONE, WRONG, 0, 0, 0]),
        ("change the root", libc::SYS_chroot, [NONE; 6]),
        ("swap the root", libc::SYS_pivot_root, [NONE; 6]),
        ("leave namespaces", libc::SYS_unshare, [1, 0, 0, 0, 0, 0]),
        ("enter a namespace", libc::SYS_setns, [WRONG, 0, 0, 0, 0, 0]),
        ("make a process in a namespace", libc::SYS_clone, [namespace, 0, 0, 0, 0, 0]),
        ("hide the flags of a new process", libc::SYS_clone3, [NONE; 6]),
        ("load a program into the kernel", libc::SYS_bpf, [9999, NONE, 0, 0, 0, 0]),
        ("trace the kernel", libc::SYS_perf_event_open, [NONE, 0, -1, -1, 0, 0]),
        ("load a module", libc::SYS_finit_module, [WRONG, NONE, 0, 0, 0, 0]),
        ("remove a module", libc::SYS_delete_module, [NONE; 6]),
        ("load another kernel", libc::SYS_kexec_load, [0, 0, NONE, 0xffff, 0, 0]),
        ("restart the machine", libc::SYS_reboot, [NONE; 6]),
        ("read the kernel's log", libc::SYS_syslog, [10, NONE, 0, 0, 0, 0]),
        ("take part in keyrings", libc::SYS_keyctl, [0, -3, 0, 0, 0, 0]),
        ("add a key", libc::SYS_add_key, [NONE; 6]),
        ("request a key", libc::SYS_request_key, [NONE; 6]),
        ("handle page faults", libc::SYS_userfaultfd, [0xffff, 0, 0, 0, 0, 0]),
        ("go through a ring", libc::SYS_io_uring_setup, [0, NONE, 0, 0, 0, 0]),
        ("open by a handle", libc::SYS_open_by_handle_at, [WRONG, NONE, 0, 0, 0, 0]),
        ("watch all files", libc::SYS_fanotify_init, [-1, 0, 0, 0, 0, 0]),
        ("shorten by a path", libc::SYS_truncate, [NONE; 6]),
        ("set an attribute", libc::SYS_setxattr, [NONE; 6]),
        ("change an owner", libc::SYS_fchownat, [WRONG, NONE, 0, 0, 0, 0]),
        ("make a device node", libc::SYS_mknodat, [WRONG, NONE, device, 0, 0, 0]),
        ("share memory by a number", libc::SYS_shmget, [0x0ded, 1, 0, 0, 0, 0]),
        ("share a queue by a name", libc::SYS_mq_open, [NONE; 6]),
        ("set the clock", libc::SYS_clock_settime, [9999, NONE, 0, 0, 0, 0]),
        ("name the host", libc::SYS_sethostname, [NONE, -1, 0, 0, 0, 0]),
        ("swap", libc::SYS_swapon, [NONE; 6]),
    ];
    for (name, number, arguments) in calls {
        report.note(name, call(number, arguments));
    }
    // In a thread of its own: asked for in this raw way, the new user is that thread's only.
    let other = std::thread::spawn(|| call(libc::SYS_setuid, [65_533, 0, 0, 0, 0, 0]));
    report
        .note("become another user", other.join().unwrap_or_else(|_panic| Err(io::ErrorKind::Other.into())));
}
