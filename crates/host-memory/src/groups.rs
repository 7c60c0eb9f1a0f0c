//! The control groups above this process that limit memory. A group's limit holds whatever is below it, so the innermost
//! one alone is not enough: an outer one may be lower, as a limit on `system.slice` or on a pod is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Memory;

/// More levels than anybody nests; ends the walk if a path has a loop in it.
const LEVELS_MAX: usize = 64;

/// In version 1, what "no limit" is written as: the largest multiple of a page.
const UNLIMITED_MIN: u64 = 1 << 60;

/// The names of a version's files.
struct Names {
    limits: &'static [&'static str],
    usage: &'static str,
    /// In `memory.stat`: caches that are given back, of this group and those below it.
    cache: &'static str,
    /// In `memory.stat`: the least limit of all groups above, those that a container can't see included.
    inherited: Option<&'static str>,
}

const V1: Names = Names {
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    cache: "total_inactive_file",
    inherited: Some("hierarchical_memory_limit"),
};

const V2: Names = Names {
    // Beyond `high` a process is not killed but slowed down until it is no use.
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    cache: "inactive_file",
    inherited: None,
};

/// Where a hierarchy is mounted.
struct Mount {
    /// The group that is seen at the mount point; not `/` in a container that was given its own group only.
    group: PathBuf,
    at: PathBuf,
    names: &'static Names,
}

/// What each group above this process leaves, from the innermost to the outermost that can be seen.
pub(crate) fn all(root: &Path) -> Vec<Memory> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (memberships, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut found = Vec::new();
    for mount in mounts.lines().filter_map(mount) {
        let Some(path) = memberships.lines().find_map(|it| membership(it, mount.names)) else { continue };
        let top = root.join(mount.at.strip_prefix("/").unwrap_or(&mount.at));
        found.extend(
            groups_of(&top, &inside(&mount, Path::new(path)))
                .iter()
                .filter_map(|it| limited(it, mount.names)),
        );
    }
    found
}

/// A line of `/proc/self/mountinfo`, where it is a hierarchy that may limit memory.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let names = match (after.next()?, after.nth(1)?) {
        ("cgroup2", _) => &V2,
        ("cgroup", options) if options.split(',').any(|it| it == "memory") => &V1,
        (_, _) => return None,
    };
    let mut before = before.split(' ').skip(3);
    let (group, at) = (before.next()?, before.next()?);
    Some(Mount { group: unescaped(group), at: unescaped(at), names })
}

/// The kernel writes blanks in paths as `\040`.
fn unescaped(path: &str) -> PathBuf {
    path.replace("\\040", " ").into()
}

/// The path of this process's group in the hierarchy, from a line of `/proc/self/cgroup`.
fn membership<'a>(line: &'a str, names: &Names) -> Option<&'a str> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let is_it = match names.inherited {
        None => controllers.is_empty(),
        Some(_) => controllers.split(',').any(|it| it == "memory"),
    };
    is_it.then_some(path)
}

/// The group's path below the mount point. One that lies outside of what is mounted, as with the host's paths in a
/// container, is seen as the mount point itself.
fn inside(mount: &Mount, path: &Path) -> PathBuf {
    let below = path.strip_prefix(&mount.group).unwrap_or(Path::new(""));
    let is_plain = below.components().all(|it| matches!(it, std::path::Component::Normal(_)));
    if is_plain { below.to_owned() } else { PathBuf::new() }
}

/// The folders of a group and of all above it up to the mount point.
fn groups_of(top: &Path, below: &Path) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = below.ancestors().take(LEVELS_MAX).map(|it| top.join(it)).collect();
    match all.first() {
        // The host's path in a container: what is there is at the top.
        Some(own) if !own.is_dir() => vec![top.to_owned()],
        _ => all,
    }
}

fn limited(group: &Path, names: &Names) -> Option<Memory> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let in_stat = |name: &str| {
        stat.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let own = names.limits.iter().filter_map(|it| number(it));
    let total = own.chain(names.inherited.and_then(in_stat)).min().filter(|it| *it < UNLIMITED_MIN)?;
    let used = number(names.usage).unwrap_or(0).saturating_sub(in_stat(names.cache).unwrap_or(0));
    Some(Memory { total, available: total.saturating_sub(used) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_below;

    const GIB: u64 = 1 << 30;

    /// A host of 64 GiB with 60 available, below a folder.
    fn host(mountinfo: &str, cgroup: &str, files: &[(&str, String)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 64 << 20, 60 << 20);
        let fixed = [
            ("proc/meminfo", meminfo),
            ("proc/self/mountinfo", mountinfo.to_owned()),
            ("proc/self/cgroup", cgroup.to_owned()),
        ];
        for (path, text) in fixed.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn seen(root: &tempfile::TempDir) -> (u64, u64) {
        let it = memory_below(root.path()).unwrap();
        (it.total / GIB, it.available / GIB)
    }

    const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn outer_limit_of_version_2_counts_though_the_inner_group_has_none() {
        let root = host(
            V2_MOUNT,
            "0::/system.slice/dedi.service/engine\n",
            &[
                ("sys/fs/cgroup/system.slice/dedi.service/engine/memory.max", "max\n".into()),
                ("sys/fs/cgroup/system.slice/dedi.service/engine/memory.current", "1\n".into()),
                ("sys/fs/cgroup/system.slice/dedi.service/memory.max", format!("{}\n", 32 * GIB)),
                ("sys/fs/cgroup/system.slice/dedi.service/memory.current", format!("{}\n", 2 * GIB)),
                ("sys/fs/cgroup/system.slice/memory.max", format!("{}\n", 16 * GIB)),
                ("sys/fs/cgroup/system.slice/memory.current", format!("{}\n", 10 * GIB)),
                ("sys/fs/cgroup/system.slice/memory.stat", format!("anon 5\ninactive_file {}\n", 4 * GIB)),
            ],
        );
        assert_eq!(seen(&root), (16, 10));
    }

    #[test]
    fn group_with_less_left_counts_though_its_limit_is_higher() {
        let root = host(
            V2_MOUNT,
            "0::/a/b\n",
            &[
                ("sys/fs/cgroup/a/b/memory.max", format!("{}\n", 8 * GIB)),
                ("sys/fs/cgroup/a/b/memory.current", "0\n".into()),
                ("sys/fs/cgroup/a/memory.max", format!("{}\n", 20 * GIB)),
                ("sys/fs/cgroup/a/memory.current", format!("{}\n", 19 * GIB)),
            ],
        );
        assert_eq!(seen(&root), (8, 1));
    }

    #[test]
    fn soft_limit_of_version_2_counts() {
        let root = host(
            V2_MOUNT,
            "0::/a\n",
            &[
                ("sys/fs/cgroup/a/memory.max", format!("{}\n", 8 * GIB)),
                ("sys/fs/cgroup/a/memory.high", format!("{}\n", 4 * GIB)),
                ("sys/fs/cgroup/a/memory.current", "0\n".into()),
            ],
        );
        assert_eq!(seen(&root), (4, 4));
    }

    #[test]
    fn outer_limit_of_version_1_counts_seen_or_inherited() {
        let mounts = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let unlimited = "9223372036854771712\n".to_owned();
        let group = "sys/fs/cgroup/memory/docker/abc";
        let files = [
            (format!("{group}/memory.limit_in_bytes"), unlimited.clone()),
            (format!("{group}/memory.usage_in_bytes"), format!("{GIB}\n")),
            ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes".into(), format!("{}\n", 12 * GIB)),
            ("sys/fs/cgroup/memory/docker/memory.usage_in_bytes".into(), format!("{}\n", 3 * GIB)),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes".into(), unlimited),
        ];
        let files: Vec<(&str, String)> =
            files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        let cgroup = "12:cpu:/\n5:memory:/docker/abc\n0::/\n";
        assert_eq!(seen(&host(mounts, cgroup, &files)), (12, 9));

        // In a container, the groups above can't be seen; the kernel reports their least limit.
        let mounts = "31 23 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let files = [
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n".to_owned()),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", format!("{GIB}\n")),
            ("sys/fs/cgroup/memory/memory.stat", format!("hierarchical_memory_limit {}\n", 6 * GIB)),
        ];
        assert_eq!(seen(&host(mounts, cgroup, &files)), (6, 5));
    }

    #[test]
    fn path_of_the_host_in_a_container_means_what_is_mounted() {
        for (mounts, cgroup) in [
            (V2_MOUNT, "0::/kubepods/pod1/c1\n"),
            (V2_MOUNT, "0::/../../user.slice\n"),
            (
                "30 23 0:26 /kubepods/pod1/c1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                "0::/kubepods/pod1/c1\n",
            ),
        ] {
            let files = [
                ("sys/fs/cgroup/memory.max", format!("{}\n", 2 * GIB)),
                ("sys/fs/cgroup/memory.current", "0\n".into()),
            ];
            assert_eq!(seen(&host(mounts, cgroup, &files)), (2, 2), "{cgroup}");
        }
    }

    #[test]
    fn host_without_control_groups_has_its_own_memory() {
        assert_eq!(seen(&host("", "", &[])), (64, 60));
        let more = [("sys/fs/cgroup/a/memory.max", format!("{}\n", 200 * GIB))];
        assert_eq!(seen(&host(V2_MOUNT, "0::/a\n", &more)), (64, 60), "a limit above what there is");
    }
}
