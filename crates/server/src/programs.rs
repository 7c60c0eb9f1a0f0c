//! Where the programs are that the server starts.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The engine program: the configured one, else `dedi-engine` beside this program, else in PATH.
///
/// # Errors
///
/// A sentence that says what to do, if there is none.
pub(crate) fn engine(config: &Config) -> Result<PathBuf, String> {
    if let Some(program) = configured("engine", &config.engine)? {
        return Ok(program);
    }
    let in_path = std::env::var_os("PATH")
        .map(|paths| std::env::split_paths(&paths).map(|it| it.join("dedi-engine")).collect::<Vec<_>>());
    beside("dedi-engine")
        .into_iter()
        .chain(in_path.into_iter().flatten())
        .find(|it| it.is_file())
        .ok_or_else(|| "the program dedi-engine is neither beside dedi nor in PATH: build it with `cargo build --release -p dedi-engine`, or name it with `engine` in the config".to_owned())
}

/// The program that supervises a replica: the configured one, else `dedi-shim` beside this program, else this
/// program, which does the same and takes more memory.
///
/// # Errors
///
/// A sentence that says what to do, if the configured one is not there.
pub(crate) fn shim(config: &Config) -> Result<PathBuf, String> {
    if let Some(program) = configured("shim", &config.shim)? {
        return Ok(program);
    }
    // Not one from PATH: it may be of any version.
    match beside("dedi-shim").filter(|it| it.is_file()) {
        Some(program) => Ok(program),
        None => std::env::current_exe().map_err(|err| format!("the path of this program is unknown: {err}")),
    }
}

fn configured(key: &str, program: &Path) -> Result<Option<PathBuf>, String> {
    if program.as_os_str().is_empty() {
        Ok(None)
    } else if program.is_file() {
        Ok(Some(program.to_owned()))
    } else {
        Err(format!("{key} = \"{}\" is not a file", program.display()))
    }
}

fn beside(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(name))
}

/// Whether the program needs no other files to run: no loader, so no shared library.
///
/// # Errors
///
/// If it can't be read, or is not a program of this processor (64 bits, lowest byte first).
pub(crate) fn is_static(program: &Path) -> io::Result<bool> {
    /// The kind of segment that names the loader.
    const INTERPRETER: u32 = 3;
    let file = File::open(program)?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no program of this processor"));
    }
    // Where the table of segments is, the bytes of one entry, and how many there are.
    let table = header.get(32..40).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes);
    let half =
        |at: usize| header.get(at..at + 2).and_then(|it| it.try_into().ok()).map_or(0, u16::from_le_bytes);
    let (entry, n_entries) = (u64::from(half(54)), u64::from(half(56)));
    for at in 0..n_entries {
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, table.saturating_add(at * entry))?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_must_be_there() {
        let config = Config { shim: "/nowhere/dedi-shim".into(), ..Config::default() };
        assert_eq!(shim(&config).unwrap_err(), "shim = \"/nowhere/dedi-shim\" is not a file");
    }

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        // This test is linked as programs usually are.
        assert!(!is_static(&std::env::current_exe().unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("x");
        std::fs::write(&script, format!("#!/bin/sh\n{}", "#".repeat(64))).unwrap();
        assert_eq!(is_static(&script).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
