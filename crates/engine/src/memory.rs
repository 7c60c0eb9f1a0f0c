//! How much memory this process may still use, as far as Linux says.

use std::fs;

/// The least of what the machine has available and what the process's cgroups leave; nothing when neither says.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|it| meminfo_available(&it));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|it| cgroup_available(&it));
    match (machine, group) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Bytes as people write them.
#[must_use]
pub fn readable(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let bytes = bytes as f64;
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.0} MB", (bytes / 1e6).ceil()) }
}

fn meminfo_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|it| it.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// cgroup v2: each group up to the root may have a limit; file cache counts as use but can be taken back.
fn cgroup_available(cgroup: &str) -> Option<u64> {
    let path = cgroup.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let mut least = None;
    let mut group = Some(std::path::Path::new(path));
    while let Some(here) = group {
        let folder = std::path::Path::new("/sys/fs/cgroup").join(here);
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        if let (Some(most), Some(used)) = (number("memory.max"), number("memory.current")) {
            let cache = fs::read_to_string(folder.join("memory.stat"))
                .ok()
                .and_then(|it| {
                    it.lines().find_map(|it| it.strip_prefix("inactive_file ")?.parse::<u64>().ok())
                })
                .unwrap_or(0);
            let left = most.saturating_sub(used.saturating_sub(cache));
            least = Some(least.map_or(left, |it: u64| it.min(left)));
        }
        group = here.parent();
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_calls_available_is_read() {
        assert_eq!(meminfo_available("MemTotal: 8 kB\nMemAvailable:    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(meminfo_available("MemTotal: 8 kB\n"), None);
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!(readable(2_128_768), "3 MB");
        assert_eq!(readable(16_500_000_000), "16.5 GB");
    }
}
