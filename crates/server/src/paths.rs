//! Where things lie in the data folder. Everything dedi keeps is below it; nothing is written elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The data folder and its parts.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// Longest path of the data folder in bytes: sockets below it must stay within the 107 bytes the kernel allows.
const PATH_BYTES_MAX: usize = 72;

impl DataDir {
    /// The folder that was asked for, or the XDG one: `$XDG_DATA_HOME/dedi`, else `~/.local/share/dedi`.
    pub(crate) fn resolve(asked: Option<&Path>) -> Result<Self, String> {
        let path = match asked {
            Some(path) => {
                std::path::absolute(path).map_err(|err| format!("--data-dir {}: {err}", path.display()))?
            }
            None => xdg_data_home()
                .ok_or("neither HOME nor XDG_DATA_HOME is set: name a folder with --data-dir")?
                .join("dedi"),
        };
        if path.to_str().is_none() {
            return Err(format!(
                "the data folder \"{}\" has a name that is not UTF-8, as the database and the engines need it: choose another with --data-dir",
                path.as_os_str().as_encoded_bytes().escape_ascii()
            ));
        }
        let n_bytes = path.as_os_str().len();
        if n_bytes > PATH_BYTES_MAX {
            return Err(format!(
                "the data folder {} has a path of {n_bytes} bytes; at most {PATH_BYTES_MAX} work, because sockets lie below it: choose a shorter one with --data-dir",
                path.display()
            ));
        }
        Ok(Self(path))
    }

    /// Makes the folder and those below it, readable by this user only, also what an earlier version or another umask
    /// left otherwise.
    ///
    /// # Errors
    ///
    /// If that fails; with nothing changed, if the folder is somebody else's.
    pub(crate) fn create(&self) -> io::Result<()> {
        if let Some(others) = self.holds_others()? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, others));
        }
        for dir in [self.0.clone(), self.run(), self.logs(), self.models(), self.servers()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        }
        make_private(&self.0)?;
        self.make_parts_private();
        Ok(())
    }

    /// Whether something of it was made by a server, or for one.
    pub(crate) fn is_ours(&self) -> bool {
        MARKS.iter().any(|it| self.0.join(it).symlink_metadata().is_ok())
    }

    /// What is in a folder that is no data folder, as a sentence without a subject.
    pub(crate) fn holds_others(&self) -> io::Result<Option<String>> {
        let entries = match fs::read_dir(&self.0) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        let names = entries.map(|it| it.map(|it| it.file_name())).collect::<io::Result<Vec<_>>>()?;
        let mut others: Vec<_> = names.iter().filter(|it| !PARTS.iter().any(|part| it == part)).collect();
        others.sort();
        let (Some(first), false) = (others.first(), self.is_ours()) else { return Ok(None) };
        let more = match others.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Ok(Some(format!(
            "it is not empty and not a data folder of dedi: it holds {}{more}; choose a new or an empty folder with \
             --data-dir",
            first.display()
        )))
    }

    /// The records, logs and sockets. What can't be changed is left: the folder around it is private.
    fn make_parts_private(&self) {
        for name in PRIVATE_FILES {
            let _absent = make_private(&self.0.join(name));
        }
        for dir in [self.run(), self.logs(), self.servers()] {
            let _unreadable = make_all_private(&dir, PRIVATE_DEPTH);
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Replicas' folders and sockets.
    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Replicas' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The model store.
    pub(crate) fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// The admin key, 0600; the command line reads it.
    pub(crate) fn admin_key(&self) -> PathBuf {
        self.0.join("admin.key")
    }

    /// The address the server listens on, for scripts and for port 0.
    pub(crate) fn address(&self) -> PathBuf {
        self.0.join("address")
    }

    /// The admin listener.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// Where a running server hands its listening socket to a successor.
    pub(crate) fn takeover_socket(&self) -> PathBuf {
        self.0.join("takeover.sock")
    }

    /// The sockets on which server processes hear that they are to stop, one each.
    pub(crate) fn servers(&self) -> PathBuf {
        self.0.join("servers")
    }

    /// The config file read when none is named.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("dedi.toml")
    }
}

/// By which a data folder is known.
const MARKS: [&str; 4] = ["state.db", "admin.key", "dedi.toml", "run/installation"];
/// What may be in a data folder before a server was in it, as other programs make it.
const PARTS: [&str; 7] = ["run", "logs", "models", "servers", "server.lock", "server.log", "lost+found"];
/// Files of the data folder that are nobody else's business. The config is the operator's.
const PRIVATE_FILES: [&str; 10] = [
    "state.db",
    "state.db-wal",
    "state.db-shm",
    "state.db-journal",
    "server.lock",
    "address",
    "admin.key",
    "admin.sock",
    "takeover.sock",
    "server.log",
];
/// Levels of folders below `run` and `logs`: a replica's folder, the engine's in it, and one more.
const PRIVATE_DEPTH: u32 = 3;

/// Takes away what others may do with it; a link is left as it is.
fn make_private(path: &Path) -> io::Result<()> {
    let it = fs::symlink_metadata(path)?;
    let mode = it.permissions().mode() & 0o777;
    if it.is_symlink() || mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))
}

/// The same for a folder and what is in it.
fn make_all_private(dir: &Path, depth: u32) -> io::Result<()> {
    make_private(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && depth > 0 {
            let _unreadable = make_all_private(&entry.path(), depth - 1);
        } else {
            let _gone = make_private(&entry.path());
        }
    }
    Ok(())
}

fn xdg_data_home() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")))
}

/// Writes a file whole or not at all: a reader sees the old text or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("next");
    let _ = fs::remove_file(&next);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_too_long_for_sockets_are_refused_with_both_lengths() {
        let long = PathBuf::from(format!("/{}", "x".repeat(80)));
        let said = DataDir::resolve(Some(&long)).unwrap_err();
        assert!(said.contains("81 bytes") && said.contains("at most 72"), "{said}");
    }

    #[test]
    fn paths_of_others_are_refused_and_left_unchanged() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(temp.path())).unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Names that are ours, too, in a folder that is not.
        for name in ["run", "logs", "photos", "zoo"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let said = data.create().unwrap_err().to_string();
        assert!(said.contains("it holds photos and 1 more; choose a new or an empty folder"), "{said}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 4);
        assert_eq!(fs::metadata(temp.path()).unwrap().permissions().mode() & 0o777, 0o755);
        for name in ["photos", "zoo"] {
            fs::remove_dir(temp.path().join(name)).unwrap();
        }
        data.create().unwrap();
        fs::write(temp.path().join("state.db"), "").unwrap();
        fs::write(temp.path().join("notes"), "").unwrap();
        data.create().unwrap(); // it was ours before the notes came
    }

    #[test]
    fn paths_that_others_could_read_are_made_private() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(temp.path())).unwrap();
        data.create().unwrap();
        let (database, log) = (temp.path().join("state.db"), data.logs().join("e/attempt-1.log"));
        fs::create_dir(log.parent().unwrap()).unwrap();
        let config = temp.path().join("dedi.toml");
        for file in [&database, &log, &config] {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o664)).unwrap();
        }
        fs::set_permissions(log.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        data.create().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&database), mode(&log), mode(log.parent().unwrap())), (0o600, 0o600, 0o700));
        assert_eq!(mode(&config), 0o664, "the operator's");
    }

    #[test]
    fn data_folder_whose_name_is_no_text_is_refused_byte_by_byte() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/d\xff"));
        let said = DataDir::resolve(Some(odd)).unwrap_err();
        assert!(said.contains(r#""/tmp/d\xff" has a name that is not UTF-8"#), "{said}");
    }

    #[test]
    fn the_data_folder_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(&temp.path().join("d"))).unwrap();
        data.create().unwrap();
        assert_eq!(fs::metadata(data.root()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
