//! Whether two folders are on one mount: a rename works within one only, also where two mounts are of one disk.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// Whether a folder, which need not be there, is on another mount than the one that it is in.
pub(super) fn is_apart(folder: &Path, parent: &Path) -> bool {
    match (mount_of(folder), mount_of(parent)) {
        (Some(one), Some(other)) => one != other,
        (Some(_) | None, _) => false,
    }
}

/// The mount's number where the kernel tells it (5.8), and the device.
fn mount_of(folder: &Path) -> Option<(Option<u64>, u32, u32)> {
    let it = statx(CWD, folder, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let is_told = it.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Some((is_told.then_some(it.stx_mnt_id), it.stx_dev_major, it.stx_dev_minor))
}
