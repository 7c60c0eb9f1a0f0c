//! Where the programs are that the server starts.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

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
    } else if !program.is_file() {
        Err(format!("{key} = \"{}\" is not a file", program.display()))
    } else if rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_err() {
        let shown = program.display();
        Err(format!("{key} = \"{shown}\" may not be executed: name a program, or `chmod +x {shown}`"))
    } else {
        Ok(Some(program.to_owned()))
    }
}

/// What the config names outside of itself: the programs, whether the shim is one, and the hub's token.
///
/// # Errors
///
/// A sentence that names the key and says what would work.
pub(crate) async fn check(config: &Config) -> Result<(), String> {
    engine(config)?;
    let shim = shim(config)?;
    // The one that dedi finds itself was built with it.
    if !config.shim.as_os_str().is_empty() {
        let said = version(&shim).await.map_err(|err| err.to_string());
        match said {
            Ok(text) if is_shim(&text) => {}
            Ok(text) => return Err(no_shim(&shim, &format!("its --version says {:?}", first_line(&text)))),
            Err(why) => return Err(no_shim(&shim, &why)),
        }
    }
    config.hub.check_token_file()
}

fn no_shim(program: &Path, why: &str) -> String {
    format!(
        "shim = \"{}\" is no dedi-shim ({why}): name the dedi-shim that was built with this dedi, or leave the key out",
        program.display()
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Whether that is what `dedi-shim --version` or `dedi --version` says: both can supervise.
pub(crate) fn is_shim(version: &str) -> bool {
    ["dedi-shim ", "dedi "].iter().any(|it| version.starts_with(it))
}

/// What a program's `--version` says.
///
/// # Errors
///
/// If it does not start, hangs, or ends with an error.
pub(crate) async fn version(program: &Path) -> Result<String, NoVersion> {
    let asked = tokio::process::Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(VERSION_WAIT, asked).await {
        Ok(Ok(said)) if said.status.success() => Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned()),
        Ok(Ok(said)) => Err(NoVersion::Ended(said.status)),
        Ok(Err(err)) => Err(NoVersion::Unstarted(err)),
        Err(_elapsed) => Err(NoVersion::Hangs),
    }
}

/// Longest wait for a program to say its version.
const VERSION_WAIT: Duration = Duration::from_secs(10);

/// Why a program did not say its version.
#[derive(Debug)]
pub(crate) enum NoVersion {
    Ended(ExitStatus),
    Unstarted(io::Error),
    Hangs,
}

impl fmt::Display for NoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(status) => write!(f, "--version ended with {status}"),
            Self::Unstarted(err) => write!(f, "does not start: {err}"),
            Self::Hangs => f.write_str("hangs"),
        }
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_that_are_configured_must_exist() {
        let config = Config { shim: "/nowhere/dedi-shim".into(), ..Config::default() };
        assert_eq!(shim(&config).unwrap_err(), "shim = \"/nowhere/dedi-shim\" is not a file");
    }

    #[tokio::test]
    async fn programs_that_are_configured_must_answer() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("x");
        let with = |mode: u32, text: &str| {
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            let engine = std::env::current_exe().unwrap();
            Config { engine, shim: program.clone(), ..Config::default() }
        };
        let said = check(&with(0o600, "")).await.unwrap_err();
        assert!(said.starts_with("shim = ") && said.contains("may not be executed"), "{said}");
        let said = check(&with(0o700, "#!/bin/sh\n")).await.unwrap_err();
        assert!(said.contains("is no dedi-shim (its --version says \"\")"), "{said}");
        let said = check(&with(0o700, "#!/bin/sh\nexit 3\n")).await.unwrap_err();
        assert!(said.contains("is no dedi-shim (--version ended with exit status: 3)"), "{said}");
        check(&with(0o700, "#!/bin/sh\necho dedi-shim 0.1.0\n")).await.unwrap();
    }

    #[test]
    fn programs_that_need_a_loader_are_not_static() {
        // This test is linked as programs usually are.
        assert!(!is_static(&std::env::current_exe().unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("x");
        std::fs::write(&script, format!("#!/bin/sh\n{}", "#".repeat(64))).unwrap();
        assert_eq!(is_static(&script).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
