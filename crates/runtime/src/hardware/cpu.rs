//! Cores as devices, each with an equal part of the memory.

use std::fs;
use std::io;

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId, DeviceKind};
use dedi_host_memory::{Memory, kib_field, memory};

use super::HardwareSettings;

/// Programs that are named as users of memory.
const NAMED_USERS_MAX: usize = 3;

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
        id: DeviceId::local(format!("cpu-{index}")),
        kind: kind.clone(),
        index,
        health: Health::Healthy,
        memory_total_bytes: each,
        foreign_bytes: foreign,
        foreign_processes: foreign_processes.clone(),
        leftover_bytes: 0,
        barred: None,
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
    let foreign = memory.used().saturating_sub(our_bytes).saturating_sub(spare);
    (foreign / u64::from(n_devices.max(1))).min(each)
}

/// Memory that only this process uses; a model's mapped file is cache, and counted as available.
pub(super) fn anonymous_bytes(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib_field(&text, "RssAnon:").unwrap_or(0) + kib_field(&text, "RssShmem:").unwrap_or(0)
}

fn largest_users(ours: &[i32]) -> Vec<String> {
    let pids = crate::process::pids().unwrap_or_default();
    let mut users: Vec<(u64, i32)> =
        pids.into_iter().filter(|it| !ours.contains(it)).map(|it| (anonymous_bytes(it), it)).collect();
    users.sort_unstable_by(|a, b| b.cmp(a));
    users.into_iter().take(NAMED_USERS_MAX).map(|(bytes, pid)| used_by(Some(bytes), pid)).collect()
}

/// `72 GiB used by python3 (pid 4711)`. A process of another container has no name here, and one that the driver does
/// not number no pid.
pub(super) fn used_by(bytes: Option<u64>, pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let who = match (name.as_deref().map(str::trim), pid) {
        (Some(name), _) => format!("{name} (pid {pid})"),
        (None, ..=0) => "a process that can't be seen from here".to_owned(),
        (None, _) => format!("pid {pid}"),
    };
    match bytes {
        Some(bytes) => format!("{} used by {who}", size(bytes)),
        None => format!("used by {who}"),
    }
}

/// Bytes for people: `72 GiB`, `1.5 GiB`, `300 MiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(super) fn size(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    match bytes >> 20 {
        mib @ ..1024 => format!("{mib} MiB"),
        _ if gib >= 10.0 => format!("{gib:.0} GiB"),
        _ => format!("{gib:.1} GiB"),
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
        let memory = Memory { total: 23 * GIB, available: 14 * GIB };
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
        assert_eq!(found[2].id.name(), "cpu-2");
        assert_eq!(found[0].kind.name(), "cpu_2gb");
        assert_eq!(found[0].memory_total_bytes, 2 * GIB);
        let none = HardwareSettings { cpu_devices: Some(0), ..settings };
        assert!(devices(&none, &[]).unwrap().is_empty());
    }
}
