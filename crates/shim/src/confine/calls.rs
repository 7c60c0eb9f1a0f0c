//! Which system calls an engine does without, as filters of seccomp. A list of what is refused, not of what is
//! allowed: drivers of GPUs and their libraries change what they use with every version.
//!
//! Refused is what reaches other processes, the kernel itself or the network; what reaches files past
//! Landlock, which does not look at every call; and every way around this filter.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Refused with EPERM, whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // Other processes' memory, files and limits.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // An engine is asked and asks nobody. Landlock knows sockets that are files from its version 9 on only, and
    // behind such a socket are other replicas, container engines and the system's bus.
    libc::SYS_connect,
    // Memory and queues that all processes of a user share by number or by name.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // What Landlock lets pass: it looks at opening, not at owners, modes, times and attributes.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    // Landlock knows it from version 3 on; an open file is shortened by another call.
    libc::SYS_truncate,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_mknodat,
    // The kernel's own: keys, modules, tracing, clocks, swap, the machine itself.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// The same where an older name of it, or this processor, has calls of its own.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_mknod,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Answered as by a kernel that does not have them, so that libraries take the older way. `clone3` hides its flags
/// from a filter; what is asked through an `io_uring` is not seen by one at all.
const UNKNOWN: &[libc::c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

// The C library's list of numbers is behind the kernel's here; from 424 on they are the same on every processor.
const FCHMODAT2: libc::c_long = 452;
const SETXATTRAT: libc::c_long = 463;
const REMOVEXATTRAT: libc::c_long = 466;
const OPEN_TREE_ATTR: libc::c_long = 467;
const FILE_SETATTR: libc::c_long = 469;

/// Netlink to ask for the host's network devices and to hear of hardware.
const NETLINK_ASKED: [libc::c_int; 2] = [libc::NETLINK_ROUTE, libc::NETLINK_KOBJECT_UEVENT];

/// Sockets' kinds carry flags in the bits above.
const SOCKET_KIND: u64 = 0xf;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters, each to be put in force. One that listens on TCP may make sockets for that; Landlock holds it to its port.
pub(super) fn filters(listens_on_tcp: bool) -> Result<[BpfProgram; 2], BackendError> {
    let always = |calls: &[libc::c_long]| calls.iter().map(|it| (*it, Vec::new())).collect::<Rules>();
    let mut refused = always(REFUSED);
    refused.extend(always(REFUSED_HERE));
    refused.extend(by_arguments(listens_on_tcp)?);
    Ok([filter(refused, libc::EPERM)?, filter(always(UNKNOWN), libc::ENOSYS)?])
}

/// Refused for some arguments.
fn by_arguments(listens_on_tcp: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let (unix, netlink) = (number(libc::AF_UNIX), number(libc::AF_NETLINK));
    let mut other_netlink = vec![is(0, netlink)?];
    for protocol in NETLINK_ASKED {
        other_netlink.push(is_not(2, number(protocol))?);
    }
    // No network: neither the internet's nor that of machines, radios and cables.
    let mut networks = vec![is_not(0, unix)?, is_not(0, netlink)?];
    if listens_on_tcp {
        networks.push(is_not(0, number(libc::AF_INET))?);
    }
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(networks)?, SeccompRule::new(other_netlink)?]);
    if listens_on_tcp {
        not_tcp(&mut rules)?;
    }
    // A datagram goes to any socket that is a file, without a `connect`. Raw ones are datagrams here.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        let is_datagram = || is_masked(1, SOCKET_KIND, number(kind));
        let sockets = rules.entry(libc::SYS_socket).or_default();
        sockets.push(SeccompRule::new(vec![is(0, unix)?, is_datagram()?])?);
        let pairs = rules.entry(libc::SYS_socketpair).or_default();
        pairs.push(SeccompRule::new(vec![is_datagram()?])?);
    }
    // Limits of itself only.
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![is_not(0, 0)?])?]);
    let mut namespaces = Vec::new();
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        namespaces.push(SeccompRule::new(vec![is_masked(0, number(flag), number(flag))?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    Ok(rules)
}

/// Of the internet's sockets (version 4), those that are not plain TCP, which Landlock's rules for ports do not cover; and
/// the sends that connect.
fn not_tcp(rules: &mut Rules) -> Result<(), BackendError> {
    let inet = number(libc::AF_INET);
    let sockets = rules.entry(libc::SYS_socket).or_default();
    for kind in (0..=SOCKET_KIND).filter(|it| *it != number(libc::SOCK_STREAM)) {
        sockets.push(SeccompRule::new(vec![is(0, inet)?, is_masked(1, SOCKET_KIND, kind)?])?);
    }
    let tcp = number(libc::IPPROTO_TCP);
    sockets.push(SeccompRule::new(vec![is(0, inet)?, is_not(2, 0)?, is_not(2, tcp)?])?);
    let connects = number(libc::MSG_FASTOPEN);
    for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        rules.insert(call, vec![SeccompRule::new(vec![is_masked(flags, connects, connects)?])?]);
    }
    Ok(())
}

/// Another architecture's calls on this processor (32-bit programs) end the process: their numbers mean other things.
fn filter(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let action = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(with_x32(rules), SeccompAction::Allow, action, architecture)?.try_into()
}

/// The x32 calls of an x86-64 kernel are the same ones under other numbers: with a high bit, some renumbered.
#[cfg(target_arch = "x86_64")]
fn with_x32(mut rules: Rules) -> Rules {
    const BIT: i64 = 0x4000_0000;
    const RENUMBERED: [(i64, i64); 4] = [
        (libc::SYS_ptrace, 521),
        (libc::SYS_kexec_load, 528),
        (libc::SYS_process_vm_readv, 539),
        (libc::SYS_process_vm_writev, 540),
    ];
    let doubles: Rules = rules
        .iter()
        .map(|(call, rules)| {
            let renumbered = RENUMBERED.iter().find(|it| it.0 == *call);
            (renumbered.map_or(*call, |it| it.1) | BIT, rules.clone())
        })
        .collect();
    rules.extend(doubles);
    rules
}

#[cfg(not(target_arch = "x86_64"))]
fn with_x32(rules: Rules) -> Rules {
    rules
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

fn is_masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
}

/// The kernel's flags and numbers are small and positive.
fn number(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}
