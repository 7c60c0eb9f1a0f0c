//! What the model store's folder lets this server do, and how it is said. A store that can only be read is a store: its
//! models run.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// What keeps this server from writing to the model store, as a sentence; none if nothing does. Looks only.
pub(crate) fn obstacle(folder: &Path) -> Option<String> {
    // As the user that writes, and the only question that a read-only file system answers to root.
    match accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(err @ (Errno::ROFS | Errno::ACCESS | Errno::PERM)) => Some(said(folder, &err.into())),
        // What else there is, the write itself finds.
        Ok(()) | Err(_) => None,
    }
}

/// Whether the error says that this place is not to be written to, whoever tries again.
pub(crate) fn is_read_only(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// What an error in the folder of the store means, with what helps where that is known.
pub(crate) fn said(folder: &Path, err: &io::Error) -> String {
    let shown = folder.display();
    if err.kind() == io::ErrorKind::ReadOnlyFilesystem {
        return format!(
            "the model store {shown} is read-only: mount it writable, or change its models from a host that may write"
        );
    }
    if err.kind() == io::ErrorKind::PermissionDenied {
        let user = rustix::process::geteuid().as_raw();
        return format!(
            "the model store {shown} is read-only for user {user}, as whom this server runs ({err}): let that user write there"
        );
    }
    format!("the model store {shown} can't be written to: {}", cause(err))
}

/// Whether the disk, or this server's part of it, is full.
pub(crate) fn is_out_of_room(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What an error of a disk means, with what helps where that is known.
pub(crate) fn cause(err: &io::Error) -> String {
    let known = [
        (io::ErrorKind::StorageFull, "the disk is full: free some room there"),
        (
            io::ErrorKind::QuotaExceeded,
            "the disk quota of this server's user is used up: raise it, or free some room there",
        ),
        (
            io::ErrorKind::FileTooLarge,
            "the file would be larger than its file system or the file-size limit of this server (RLIMIT_FSIZE, `ulimit -f`) allows",
        ),
    ];
    let words = known.iter().find(|(kind, _)| err.kind() == *kind);
    words.map_or_else(|| err.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::obey_modes;

    #[test]
    fn store_without_rights_is_read_only_and_one_that_is_not_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(obstacle(folder.path()), None);
        assert_eq!(obstacle(&folder.path().join("absent")), None);
        obey_modes();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let said = obstacle(folder.path()).unwrap();
        assert!(said.contains("is read-only for user ") && said.contains("let that user write"), "{said}");
    }
}
