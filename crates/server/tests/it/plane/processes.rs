//! Processes by what their command lines say, and conditions that are waited for.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Sends a signal by name.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).output();
}

/// Polls `condition` until it gives something, for [`PATIENCE`] at most.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(it) = condition() {
            return it;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("waited {} s for {what}", PATIENCE.as_secs());
}

pub(super) fn processes(folder: &Path, wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
    let folder = folder.display().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
            let args: Vec<String> =
                line.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let named = args.iter().any(|it| it.contains(&folder)) || cwd.starts_with(&folder);
            named && wanted(&args) && is_alive(*pid)
        })
        .collect()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|it| it.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}
