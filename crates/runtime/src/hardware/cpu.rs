//! Cores as devices, each with an equal part of the memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId, DeviceKind};

use super::HardwareSettings;

/// Programs that are named as users of memory.
const NAMED_USERS_MAX: usize = 3;

/// What the host has and uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    /// Used by somebody, whoever it is, and not to be had by asking.
    used: u64,
}

pub(super) fn devices(settings: &HardwareSettings, ours: &[i32]) -> io::Result<Vec<Device>> {
    let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let n_cores = u32::try_from(n_cores).unwrap_or(u32::MAX);
    let n_devices = settings.cpu_devices.unwrap_or(n_cores);
    if n_devices == 0 {
        return Ok(Vec::new());
    }
    let memory = memory()?;
    let memory_gb = settings.cpu_memory_gb.unwrap_or_else(|| share_gb(memory.total, n_devices)).max(1);
    let each = u64::from(memory_gb) << 30;
    let our_bytes: u64 = ours.iter().map(|pid| anonymous_bytes(*pid)).sum();
    let foreign = foreign_share(memory, our_bytes, each, n_devices);
    let foreign_processes = if foreign > 0 { largest_users(ours) } else { Vec::new() };
    let kind = DeviceKind { product: "cpu".to_owned(), memory_gb, link: String::new() };
    let device = |index| Device {
        id: DeviceId(format!("cpu-{index}")),
        kind: kind.clone(),
        index,
        health: Health::Healthy,
        memory_total_bytes: each,
        foreign_bytes: foreign,
        foreign_processes: foreign_processes.clone(),
        leftover_bytes: 0,
    };
    Ok((0..n_devices).map(device).collect())
}

/// The largest power of two, in GiB, that every device can have.
fn share_gb(total: u64, n_devices: u32) -> u32 {
    let share = u32::try_from((total >> 30) / u64::from(n_devices.max(1))).unwrap_or(u32::MAX);
    1 << share.max(1).ilog2()
}

/// What others use beyond the memory that is not on offer anyway, spread over the devices.
fn foreign_share(memory: Memory, our_bytes: u64, each: u64, n_devices: u32) -> u64 {
    let on_offer = each.saturating_mul(u64::from(n_devices));
    let spare = memory.total.saturating_sub(on_offer);
    let foreign = memory.used.saturating_sub(our_bytes).saturating_sub(spare);
    (foreign / u64::from(n_devices.max(1))).min(each)
}

/// The host's memory, or the control group's where that is less.
fn memory() -> io::Result<Memory> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name| kib_field(&text, name).unwrap_or(0);
    let total = field("MemTotal:");
    let host = Memory { total, used: total.saturating_sub(field("MemAvailable:")) };
    Ok(group_memory().filter(|it| it.total < total).unwrap_or(host))
}

/// The limit of our control group, of whichever version. The innermost only: an outer one is not ours to see.
fn group_memory() -> Option<Memory> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |root: &str, path: &str, limit: &str, usage: &str, cache: &str| {
        let inner = Path::new(root).join(path.trim_start_matches('/'));
        // In a container the group is mounted as the root.
        [inner, PathBuf::from(root)].into_iter().find_map(|dir| {
            let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
            let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
            let reclaimable = stat
                .lines()
                .find_map(|it| it.strip_prefix(cache)?.strip_prefix(' ')?.parse::<u64>().ok())
                .unwrap_or(0);
            Some(Memory { total: number(limit)?, used: number(usage)?.saturating_sub(reclaimable) })
        })
    };
    membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        match rest.split_once(':')? {
            ("", path) => of("/sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file"),
            (controllers, path) if controllers.split(',').any(|it| it == "memory") => of(
                "/sys/fs/cgroup/memory",
                path,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
            (_, _) => None,
        }
    })
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Memory that only this process uses; a model's mapped file is cache, and counted as available.
fn anonymous_bytes(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib_field(&text, "RssAnon:").unwrap_or(0) + kib_field(&text, "RssShmem:").unwrap_or(0)
}

fn largest_users(ours: &[i32]) -> Vec<String> {
    let pids = crate::process::pids().unwrap_or_default();
    let mut users: Vec<(u64, i32)> =
        pids.into_iter().filter(|it| !ours.contains(it)).map(|it| (anonymous_bytes(it), it)).collect();
    users.sort_unstable_by(|a, b| b.cmp(a));
    users.into_iter().take(NAMED_USERS_MAX).map(|(_, pid)| process_label(pid)).collect()
}

/// `1234 python3`, as people look for it.
pub(super) fn process_label(pid: i32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} {}", name.trim()),
        Err(_) => pid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn each_core_gets_a_power_of_two() {
        assert_eq!(share_gb(23 * GIB, 2), 8);
        assert_eq!(share_gb(16 * GIB, 2), 8);
        assert_eq!(share_gb(15 * GIB, 2), 4);
        assert_eq!(share_gb(GIB, 8), 1);
    }

    #[test]
    fn strangers_count_only_where_they_eat_into_what_is_on_offer() {
        let memory = Memory { total: 23 * GIB, used: 9 * GIB };
        // 7 of 23 GiB are not on offer; of the 9 used, 1 is ours and 1 is too much.
        assert_eq!(foreign_share(memory, GIB, 8 * GIB, 2), GIB / 2);
        assert_eq!(foreign_share(memory, 3 * GIB, 8 * GIB, 2), 0);
    }

    #[test]
    fn this_host_has_the_devices_that_were_pinned() {
        let settings =
            HardwareSettings { cpu_devices: Some(3), cpu_memory_gb: Some(2), ..HardwareSettings::default() };
        let found = devices(&settings, &[]).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[2].id.0, "cpu-2");
        assert_eq!(found[0].kind.name(), "cpu_2gb");
        assert_eq!(found[0].memory_total_bytes, 2 * GIB);
        let none = HardwareSettings { cpu_devices: Some(0), ..settings };
        assert!(devices(&none, &[]).unwrap().is_empty());
    }
}
