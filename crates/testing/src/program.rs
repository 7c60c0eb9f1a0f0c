//! Where the programs are that tests start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The fake engine's program, built first if need be.
///
/// # Panics
/// If it can't be built.
pub fn fake_engine() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| program("dedi-testing", "dedi-fake-engine")).clone()
}

/// A program of another package of this workspace. Cargo names only a package's own programs to its tests,
/// so this one is built into the folder that the running test lies in.
///
/// # Panics
/// If it can't be built.
pub fn program(package: &str, name: &str) -> PathBuf {
    built(package, &["--bin", name], name)
}

/// The library that stands in for NVIDIA's, built first if need be. It reads its GPUs from the JSON file that
/// `DEDI_FAKE_NVML` names.
///
/// # Panics
/// If it can't be built.
pub fn fake_nvml() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("dedi-fake-nvml", &["--lib"], "libdedi_fake_nvml.so")).clone()
}

#[expect(clippy::expect_used, reason = "for tests, which end here")]
fn built(package: &str, target: &[&str], file: &str) -> PathBuf {
    // <target>/<profile>/deps/<test>
    let test = std::env::current_exe().expect("the test has a path");
    let profile_dir = test.parent().and_then(|it| it.parent()).expect("the test lies in a profile's folder");
    let target_dir = profile_dir.parent().expect("the profile's folder lies in the target folder");
    let profile = match profile_dir.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let path = profile_dir.join(file);
    // Not asking cargo when there is nothing to do: it would wait for whoever else is building.
    if is_newer(&path, &Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(package_folder(package))) {
        return path;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--profile", profile])
        .args(target)
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(ran.status.success(), "{file} was not built: {}", String::from_utf8_lossy(&ran.stderr));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// `dedi-testing` lies in `crates/testing`.
fn package_folder(package: &str) -> &str {
    package.strip_prefix("dedi-").unwrap_or(package)
}

/// Whether the program is newer than every file of its package. Other packages' changes are not seen; the
/// programs that tests start hang on none that would matter.
fn is_newer(program: &Path, package: &Path) -> bool {
    let Ok(built_at) = program.metadata().and_then(|it| it.modified()) else { return false };
    let mut folders = vec![package.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return false };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { return false };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.modified().is_ok_and(|it| it > built_at) {
                return false;
            }
        }
    }
    true
}
