//! Which files an engine may reach, as Landlock's rules. What is not named here is out of reach: it can't be
//! opened, listed, made, renamed or removed.

use std::fs;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, make_bitflags, path_beneath_rules,
};

use super::Confinement;

/// The newest version of Landlock that these rules were written for. An older kernel does what it knows of them.
const VERSION: ABI = ABI::V9;

/// Programs, libraries and the data that comes with them.
const PROGRAMS: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/opengl-driver",
    "/opt/nvidia",
];

/// What the loader, the C library and runtimes look up. Of `/proc` the kernel keeps back what belongs to processes
/// outside (environment, memory, open files); of `/sys` what describes the hardware is here and nothing else.
const FACTS: [&str; 21] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/OpenCL",
    "/etc/nvidia",
    "/etc/vulkan",
    "/proc",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
    "/sys/module",
    "/dev/random",
    "/dev/urandom",
];

/// Devices without an inside.
const SINKS: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// Device files of GPUs: NVIDIA's (`nvidiactl`, `nvidia-uvm`, `nvidia0`, `nvidia-caps` …), AMD's and Intel's, and
/// the one that stands for them under WSL. By the beginning of their names.
const GPUS: [&str; 4] = ["nvidia", "dri", "kfd", "dxg"];

/// Libraries for them that lie outside of `/usr`. By the beginning of their folders' names in `/opt`.
const STACKS: [&str; 3] = ["rocm", "amdgpu", "intel"];

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const RUN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});
const USE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev});

/// All that a folder of one's own is for, without device files, and without links: what follows one later would
/// follow it with rights that the engine does not have.
const OWN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSock | MakeFifo | RemoveFile | RemoveDir
        | ResolveUnix
});

/// The rules, ready to be put in force. No TCP but the one port to listen on, where there is one; signals and abstract sockets stay among the
/// engine's own processes.
pub(super) fn rules(it: &Confinement) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?
        // What is not there needs no rule.
        .add_rules(path_beneath_rules(PROGRAMS, RUN))?
        .add_rules(path_beneath_rules(FACTS, READ))?
        .add_rules(path_beneath_rules(SINKS, make_bitflags!(AccessFs::{ReadFile | WriteFile})))?
        .add_rules(path_beneath_rules(&it.read, RUN))?
        .add_rules(path_beneath_rules(&it.write, OWN))?;
    if let Some(port) = it.tcp_port {
        rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    if it.has_gpus || it.shares_memory {
        // Several processes meet there, those of one GPU too; so do other programs of this user.
        rules = rules.add_rules(path_beneath_rules(["/dev/shm"], OWN))?;
    }
    if it.has_gpus {
        let devices = GPUS.iter().flat_map(|name| beginning_with("/dev", name));
        let stacks = STACKS.iter().flat_map(|name| beginning_with("/opt", name));
        rules =
            rules.add_rules(path_beneath_rules(devices, USE))?.add_rules(path_beneath_rules(stacks, RUN))?;
    }
    Ok(rules)
}

fn beginning_with(folder: &str, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|it| it.file_name().to_str().is_some_and(|it| it.starts_with(name)))
        .map(|it| it.path())
        .collect()
}
