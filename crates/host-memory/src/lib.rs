//! How much memory this process may use: the host's, or what its control groups leave of it where that is less. A
//! limit on any group above counts, in both versions of control groups. Reads files of the kernel; keeps nothing.

mod groups;

use std::fs;
use std::io;
use std::path::Path;

/// Memory in bytes, of the host or of the control groups that hold this process to less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All there is for this process and those that share it.
    pub total: u64,
    /// What of it can still be had: free, or taken by file caches that the kernel gives back.
    pub available: u64,
}

impl Memory {
    /// Used by somebody, whoever it is, and not to be had by asking.
    #[must_use]
    pub fn used(self) -> u64 {
        self.total.saturating_sub(self.available)
    }
}

/// The memory as it is now.
///
/// # Errors
/// If the kernel's own figures can't be read. Control groups that can't be read are no limit.
pub fn memory() -> io::Result<Memory> {
    memory_below(Path::new("/"))
}

/// The same for another root than `/`, below which `proc` and the mounted groups lie.
fn memory_below(root: &Path) -> io::Result<Memory> {
    let text = fs::read_to_string(root.join("proc/meminfo"))?;
    let field = |name| kib_field(&text, name);
    let total = field("MemTotal:").ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
    // Kernels before 3.14 have no estimate; free memory and caches are what it is made of.
    let cached = || Some(field("MemFree:")?.saturating_add(field("Cached:").unwrap_or(0)));
    let available = field("MemAvailable:").or_else(cached).unwrap_or(total).min(total);
    let host = Memory { total, available };
    Ok(groups::all(root).into_iter().fold(host, |least, it| Memory {
        total: least.total.min(it.total),
        available: least.available.min(it.available),
    }))
}

/// A line such as `MemTotal:  24 kB`, in bytes.
#[must_use]
pub fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_memory() {
        let now = memory().unwrap();
        assert!(now.available > 0 && now.available <= now.total, "{now:?}");
    }

    #[test]
    fn fields_are_read_by_their_whole_name() {
        assert_eq!(
            kib_field("MemTotal: 8 kB\nMemAvailable:    1234 kB\n", "MemAvailable:"),
            Some(1234 << 10)
        );
        assert_eq!(kib_field("MemTotal: 8 kB\n", "MemAvailable:"), None);
    }
}
