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

    /// Makes the folder and those below it, readable by this user only.
    pub(crate) fn create(&self) -> io::Result<()> {
        for dir in [self.0.clone(), self.run(), self.logs(), self.models(), self.servers()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        }
        let mut mode = fs::metadata(&self.0)?.permissions();
        if mode.mode() & 0o077 != 0 {
            mode.set_mode(0o700);
            fs::set_permissions(&self.0, mode)?;
        }
        Ok(())
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
    fn a_path_too_long_for_sockets_is_refused_with_both_numbers() {
        let long = PathBuf::from(format!("/{}", "x".repeat(80)));
        let said = DataDir::resolve(Some(&long)).unwrap_err();
        assert!(said.contains("81 bytes") && said.contains("at most 72"), "{said}");
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
